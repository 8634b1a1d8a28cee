"""aq_pp as it is installed: with the databases of the local cluster behind -imp, -exp and -cnt."""

from __future__ import annotations

from collections.abc import Sequence

from ess_dask.aq.programs.aq_pp import aq_pp
from ess_dask.aq.programs.common import console
from ess_dask.udb.store import MemoryStore


def wired(arguments: Sequence[str]) -> None:
    """Run the option list; errors carry the exit code."""
    aq_pp(arguments, MemoryStore())


def main() -> int:
    """Be the console script."""
    return console("aq_pp", wired)
