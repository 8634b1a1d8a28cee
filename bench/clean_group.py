"""Clean 20 M rows and group them by user: the Python API against Polars' streaming engine.

Run as a script: ``python bench/clean_group.py ours|polars FOLDER``.
"""

import sys
from pathlib import Path


def ours(folder):
    import pyarrow as pa

    import ess_dask as ess

    def each(table):
        # One thread: the batches already run on all cores.
        grouped = table.group_by("userID", use_threads=False)
        return grouped.aggregate([("price", "count"), ("price", "sum")])

    def merge(parts):
        both = pa.concat_tables(parts).group_by("userID")
        sums = both.aggregate([("price_count", "sum"), ("price_sum", "sum")])
        return sums.rename_columns(["userID", "n", "total"])

    purchase = ess.select(folder).category(
        "purchase", "purchase_*.csv.gz", columns={"userID": "string", "price": "float64"}
    )
    result = purchase.all().clean("select userID, price from records where price > 0")
    return result.fold(each, merge)


def polars(folder):
    import polars as pl

    files = sorted(Path(folder).glob("purchase_*.csv.gz"))
    columns = {
        "purchaseDate": pl.String,
        "userID": pl.String,
        "articleID": pl.String,
        "price": pl.Float64,
        "refID": pl.String,
    }
    scan = pl.scan_csv(
        files, schema=columns, ignore_errors=True, truncate_ragged_lines=True, quote_char=None
    )
    cleaned = scan.select("userID", "price").filter(pl.col("price") > 0)
    grouped = cleaned.group_by("userID").agg(n=pl.len(), total=pl.col("price").sum())
    return grouped.collect(engine="streaming").to_arrow()


if __name__ == "__main__":
    result = {"ours": ours, "polars": polars}[sys.argv[1]](sys.argv[2])
    totals = result["total"].to_pylist()
    print(len(totals), round(sum(totals), 2))
