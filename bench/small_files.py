"""10,000 small files through per-batch SQL or Python cleaning; prints files per second.

Run as a script: ``python bench/small_files.py sql|python FOLDER``.
"""

import sys
import time


def keep(frame):
    return frame[frame["price"] > 0]


def main(kind, folder):
    import ess_dask as ess

    columns = {"purchaseDate": "timestamp", "userID": "string", "price": "float64"}
    purchase = ess.select(folder).category("purchase", "purchase_*.csv.gz", columns=columns)
    step = keep if kind == "python" else "select * from records where price > 0"
    selection = purchase.all().clean(step)
    started = time.perf_counter()
    rows = selection.fold(lambda table: table.num_rows, sum)
    seconds = time.perf_counter() - started
    files = len(selection.files())
    print(f"{files / seconds:.0f} {rows}")


if __name__ == "__main__":
    main(*sys.argv[1:])
