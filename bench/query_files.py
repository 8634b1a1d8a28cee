"""Ask a lake of gz CSV files: this package, Polars' streaming engine and DuckDB, the same files.

Run as a script: ``python bench/query_files.py ours|polars|duckdb top|distinct|join FOLDER``.
"""

import sys
from pathlib import Path

STATEMENTS = {
    "top": "select userID, count(*) as n, sum(price) as total from {purchase} where price > 2"
    " group by userID order by total desc, userID limit 10",
    "distinct": "select count(distinct userID) as users from {purchase}",
    "join": "select wood, count(*) as n, sum(price) as total from {purchase} as p"
    " join {articles} as a on p.articleID = a.articleID group by wood order by wood",
}
ARTICLES = "articles.csv"


def dimension(folder):
    """Write the dimension file of the join beside the purchases."""
    woods = ("oak", "beech", "ash", "maple", "pine")
    lines = [f"{number},{woods[number % 5]}\n" for number in range(48)]
    (Path(folder) / ARTICLES).write_text("articleID,wood\n" + "".join(lines))


def ours(question, folder):
    import warnings

    import ess_dask as ess

    warnings.simplefilter("ignore")
    lake = ess.select(folder)
    text = STATEMENTS[question].format(purchase="purchase:*:*", articles=f"'{ARTICLES}'")
    return lake.sql(text).to_arrow().to_pylist()


def polars(question, folder):
    import polars as pl

    files = sorted(Path(folder).glob("purchase_*.csv.gz"))
    kinds = {"articleID": pl.Int32, "price": pl.Float64}
    names = ["purchaseDate", "userID", "articleID", "price", "refID"]
    rows = pl.scan_csv(
        files,
        schema={name: kinds.get(name, pl.String) for name in names},
        ignore_errors=True,
        truncate_ragged_lines=True,
        quote_char=None,
    )
    sums = {"n": pl.len(), "total": pl.col("price").sum()}
    if question == "top":
        grouped = rows.filter(pl.col("price") > 2).group_by("userID").agg(**sums)
        made = grouped.sort("total", "userID", descending=[True, False]).limit(10)
    elif question == "distinct":
        made = rows.select(users=pl.col("userID").n_unique())
    else:
        articles = pl.scan_csv(Path(folder) / ARTICLES, schema_overrides={"articleID": pl.Int32})
        made = rows.join(articles, on="articleID").group_by("wood").agg(**sums).sort("wood")
    return made.collect(engine="streaming").to_dicts()


def duckdb(question, folder):
    import duckdb

    def scan(files, compression):
        columns = {"purchaseDate": "varchar", "userID": "varchar", "articleID": "int"}
        columns |= {"price": "double", "refID": "varchar"}
        return (
            f"select * from read_csv({files}, columns = {columns}, header = true, quote = '',"
            f" ignore_errors = true, auto_detect = false, delim = ',', compression = {compression})"
        )

    stored = {True: [], False: []}
    for path in sorted(Path(folder).glob("purchase_*.csv.gz")):
        # It goes by names; one file of the lake is plain text.
        stored[path.read_bytes()[:2] == b"\x1f\x8b"].append(str(path))
    purchase = f"({scan(stored[True], 'gzip')} union all {scan(stored[False], 'none')})"
    articles = f"read_csv('{folder}/{ARTICLES}')"
    text = STATEMENTS[question].format(purchase=purchase, articles=articles)
    return duckdb.sql(text).to_arrow_table().to_pylist()


if __name__ == "__main__":
    for row in {"ours": ours, "polars": polars, "duckdb": duckdb}[sys.argv[1]](*sys.argv[2:]):
        values = (round(value, 2) if isinstance(value, float) else value for value in row.values())
        print(*values, sep=",")
