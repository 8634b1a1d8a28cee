"""numpy's threads for linear algebra.

OpenBLAS starts one for each core when numpy is imported, and each waits busily for work: 0.1 s of
processor time, for something that no program of this package does.
"""

from __future__ import annotations

import os


def start_no_threads() -> None:
    """Have none in this process, unless its user says how many. To be called before numpy comes."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
