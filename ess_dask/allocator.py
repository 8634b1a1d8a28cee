"""How the C library keeps memory that was freed.

Reading asks for blocks of some megabytes again and again. By default glibc gives each back at once,
and the kernel clears every page again that is asked for next: a sixth of the processor time of two
reading threads. (Dask's nannies set an even smaller threshold for their workers.)
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
MIB = 1 << 20
KEPT = {_M_MMAP_THRESHOLD: 32 * MIB, _M_TRIM_THRESHOLD: 128 * MIB, _M_TOP_PAD: 16 * MIB}
"""Blocks below 32 MiB come from the heap; up to 128 MiB of it stay when they are free."""


@cache
def keep_freed_memory() -> None:
    """Let this process keep some freed memory for its next blocks; does nothing without glibc."""
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in KEPT.items():
            mallopt(parameter, value)
