"""20 M rows from files into a table of the cluster's memory; prints rows per second.

Run as a script: ``python bench/memory_import.py FOLDER``. The cluster is started before the clock.
"""

import sys
import time


def main(folder):
    import ess_dask as ess

    columns = {"purchaseDate": "timestamp", "userID": "string", "price": "float64"}
    purchase = ess.select(folder).category("purchase", "purchase_*.csv.gz", columns=columns)
    with ess.connect() as cluster:
        started = time.perf_counter()
        table = purchase.all().into("bench.sales", key="userID", cluster=cluster)
        seconds = time.perf_counter() - started
        rows = table.count()
        table.drop()
    print(f"{rows / seconds:.0f} {rows}")


if __name__ == "__main__":
    main(sys.argv[1])
