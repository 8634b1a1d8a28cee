"""Clean 20 M rows and group them by user: the Python API against Polars' streaming engine.

Run as a script: ``python bench/clean_group.py ours|polars FOLDER``.
"""

import sys
from pathlib import Path

PER_FILE = """
select userID, count(*) as n, sum(price) as total from records where price > 0 group by userID
"""


def ours(folder):
    import duckdb
    import pyarrow as pa

    import ess_dask as ess

    columns = {"userID": "string", "price": "float64"}
    purchase = ess.select(folder).category("purchase", "purchase_*.csv.gz", columns=columns)
    by_user = purchase.all().clean(ess.sql(PER_FILE, per="file"))
    parts = by_user.fold(lambda table: table, pa.concat_tables)  # noqa: F841 - DuckDB sees it
    whole = duckdb.sql("select userID, sum(n) as n, sum(total) as total from parts group by userID")
    return whole.to_arrow_table()


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
