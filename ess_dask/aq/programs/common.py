"""What every aq program does around its work: signals, errors, exit codes."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence

from ess_dask.aq.surroundings import complain
from ess_dask.errors import EssError
from ess_dask.openblas import start_no_threads

INTERRUPTED = 130
SYSTEM_ERROR = 4
MEMORY_ERROR = 1
_GC_THRESHOLD = 100_000


def run_main(name: str, work: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> int:
    """Run ``work``; print an error in the program's name and return the exit code."""
    try:
        work(arguments)
    except EssError as error:
        complain(f"{name}: {_printable(error.message)}\n")
        if error.hint:
            complain(f"  hint: {_printable(error.hint)}\n")
        return error.exit_code
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except MemoryError:
        complain(f"{name}: out of memory\n")
        return MEMORY_ERROR
    except RecursionError:
        complain(f"{name}: the options are nested too deeply\n")
        return 2
    except OSError as error:
        complain(f"{name}: {error}\n")
        return SYSTEM_ERROR
    return 0


def _printable(text: str) -> str:
    """Return text of bytes as the terminal wants it."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def console(name: str, work: Callable[[Sequence[str]], None]) -> int:
    """Be the console script ``name``."""
    # A reader that has seen enough ends the program, as it ends every text tool.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # Rows and frames hold no cycles: looking for them often only costs, most of all at start-up.
    gc.set_threshold(_GC_THRESHOLD)
    start_no_threads()
    code = run_main(name, work, sys.argv[1:])
    sys.stderr.flush()
    # Nothing is left to do, and taking down what was imported costs time.
    os._exit(code)
