"""Clean 20 M rows and group them by user: the Python API against Polars' streaming engine.

Run as a script: ``python bench/clean_group.py ours|polars FOLDER``.
"""

import sys
from pathlib import Path


def ours(folder):
    import polars as pl

    import ess_dask as ess

    def each(table):
        frame = pl.from_arrow(table)
        return frame.group_by("userID").agg(n=pl.len(), total=pl.col("price").sum())

    def merge(parts):
        return pl.concat(parts).group_by("userID").agg(pl.col("n").sum(), pl.col("total").sum())

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
    return grouped.collect(engine="streaming")


if __name__ == "__main__":
    result = {"ours": ours, "polars": polars}[sys.argv[1]](sys.argv[2])
    print(result.height, round(result["total"].sum(), 2))
