"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Loaded here and not in the function: that one runs between fork and exec, where a lock which
# another thread held at the fork would never be released.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends (Linux only).

    To be used as ``preexec_fn`` or called by the child itself. The kernel means the starting
    *thread*: start children from a thread that lives as long as they should.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
