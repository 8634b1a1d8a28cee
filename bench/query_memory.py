"""Ask 20 M rows in memory, beside a table of DuckDB's own in this process; prints median seconds.

Run as a script: ``python bench/query_memory.py FOLDER TIMES``. One line: our group by, DuckDB's,
our look-up of one key, another one each time.
"""

import itertools
import statistics
import sys
import time

GROUP = "select userID, count(*) as n, sum(price) as total from {} group by userID order by userID"
KEY = "select userID, price from this where userID = '{}'"


def timed(*calls, times):
    """Return the median seconds of each call; they take turns, the first turn does not count."""
    seconds = [[] for _ in calls]
    for _ in range(times + 1):
        for each, call in zip(seconds, calls, strict=True):
            started = time.perf_counter()
            call()
            each.append(time.perf_counter() - started)
    return [statistics.median(each[1:]) for each in seconds]


def main(folder, times):
    import duckdb

    import ess_dask as ess

    columns = {"userID": "string", "price": "float64"}
    purchase = ess.select(folder).category("purchase", "purchase_*.csv.gz", columns=columns)
    with ess.connect() as cluster, duckdb.connect() as database:
        table = purchase.all().into("bench.sales", key="userID", cluster=cluster)
        rows = table.to_arrow()
        database.execute("create table sales as select * from rows")
        del rows
        ours, theirs = timed(
            lambda: table.sql(GROUP.format("this")).to_arrow(),
            lambda: database.sql(GROUP.format("sales")).to_arrow_table(),
            times=times,
        )
        users = itertools.count(4242)
        (look_up,) = timed(lambda: table.sql(KEY.format(next(users))).to_arrow(), times=10 * times)
        table.drop()
    print(ours, theirs, look_up)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    main(sys.argv[1], int(sys.argv[2]))
