"""10,000 small files of 365 days: what the same backfill takes again when all is done.

Run as a script: ``python -m bench.backfill FILES``; prints the seconds of the first go (by month)
and of three further ones, by month, by week and by day.
"""

import gzip
import os
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

from bench.measure import once

PIPELINE = """\
name: shop
source: {store: ./lake, category: sale, pattern: "sale_*.csv.gz", columns: {day: date, n: int32}}
clean: [sql: select * from records where n >= 0]
load: {table: sales}
"""


def make(folder, count):
    (folder / "lake").mkdir()
    (folder / "shop.yaml").write_text(PIPELINE)
    for number in range(count):
        day = date(2014, 1, 1) + timedelta(days=number % 365)
        rows = f"day,n\n{day},{number}\n{day},{number + 1}\n"
        path = folder / "lake" / f"sale_{day:%Y%m%d}_{number // 365:03}.csv.gz"
        path.write_bytes(gzip.compress(rows.encode(), 1))


def main(count="10000"):
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        make(folder, int(count))
        os.chdir(folder)
        env = {**os.environ, "HOME": home, "ESS_CACHE_DIR": f"{home}/.ess"}
        ess = [sys.executable, "-m", "ess_dask.cli", "backfill", "shop.yaml", "--quiet", "--chunk"]
        runs = [once([*ess, chunk], env) for chunk in ("month", "month", "week", "day")]
        print(*(f"{run.wall:.2f}" for run in runs))


if __name__ == "__main__":
    main(*sys.argv[1:])
