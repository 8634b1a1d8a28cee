"""Peak memory of ``ess stream`` and ``ess run`` on a lake and on one four times its size.

``python -m bench.memory [ROWS]``: rows of the smaller lake (default 2,000,000, 80 MB of text).
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

FILES = 4
TIMES = 4
SETTINGS = {"ESS_BATCH_BYTES": "1MiB", "ESS_CHUNK_BYTES": "1MiB", "ESS_THREADS": "2"}
MAKE = f"""
import sys
from pathlib import Path
from ess_dask.testing.lake import LakeShape, make_lake
shape = LakeShape(days={FILES}, purchases_per_day=int(sys.argv[2]), browses_per_day=0, users=999)
make_lake(Path(sys.argv[1]), shape)
"""
PIPELINE = """
name: memory
source:
  store: {lake}
  category: purchase
  pattern: "purchase_*.gz"
  columns:
    {{purchaseDate: timestamp, userID: string, articleID: int32, price: float64, refID: int32}}
clean:
  - sql: select * from records where price > 0
load: {{to: "duckdb:///out.duckdb", table: sales}}
rejects: {{limit: "5%"}}
"""


@dataclass(frozen=True)
class Peaks:
    """Peak resident memory in MiB on the small and on the large lake."""

    small: float
    large: float

    @property
    def ratio(self):
        """How much more the large lake needs."""
        return self.large / self.small


def measure(folder, rows):
    """Return the peaks of ``stream`` and ``run`` on ``rows`` and ``TIMES * rows`` purchases.

    To be called in a small process: a child's peak is never below that of the one that starts it.
    """
    found = {"stream": [], "run": []}
    for size in (rows, rows * TIMES):
        lake = folder / f"lake-{size}"
        # In a process of its own, so that this one stays small.
        subprocess.run([sys.executable, "-c", MAKE, lake, str(size // FILES)], check=True)
        home = folder / f"home-{size}"
        home.mkdir()
        (home / "memory.yaml").write_text(PIPELINE.format(lake=lake))
        _ess(home, "select", lake, "--label", "bench")
        _ess(home, "category", "add", "purchase", "purchase_*.gz", "--noprobe")
        found["stream"].append(_ess(home, "stream", "purchase", "*", "*", "cat; true"))
        found["run"].append(_ess(home, "run", "memory.yaml", "--quiet"))
    return {name: Peaks(*peaks) for name, peaks in found.items()}


def _ess(home, *args):
    """Run ``ess`` in a home of its own; return the peak memory of its process in MiB."""
    child = subprocess.Popen(
        [sys.executable, "-m", "ess_dask.cli", *map(str, args)],
        cwd=home,
        env=os.environ | SETTINGS | {"HOME": str(home), "ESS_CACHE_DIR": str(home / ".ess")},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return usage.ru_maxrss / 1024


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory() as folder:
        for name, peaks in measure(Path(folder), rows).items():
            print(
                f"ess {name}, {rows:,} and {rows * TIMES:,} rows: {peaks.small:.0f} and "
                f"{peaks.large:.0f} MiB, {peaks.ratio:.2f} (promised < 1.30)"
            )


if __name__ == "__main__":
    main()
