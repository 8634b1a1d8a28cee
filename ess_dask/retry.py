"""Trying again what may pass, and saying so in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ess_dask.errors import EssError

T = TypeVar("T")

_NO_TIME = 1e-6


def retrying(on: type[EssError], call: Callable[[], T], level: int, **limits: Any) -> T:
    """Return ``call()``; while it raises ``on``, wait and try again, at last raise it.

    Each further try is logged at ``level``. ``limits`` are those of ``stamina.retry_context``:
    ``attempts`` (None: any number), ``timeout`` in seconds (0 or None: none), ``wait_max``, ...
    """
    began = time.monotonic()
    try:
        return call()
    except on as error:
        failed: EssError | None = error
    if seconds := limits.get("timeout"):
        limits["timeout"] = max(seconds - (time.monotonic() - began), _NO_TIME)
    # Only now: most calls succeed at once, and this import is a tenth of a short command.
    import stamina

    # Stamina's own words are for programmers, and do not say what went wrong.
    stamina.instrumentation.set_on_retry_hooks([])
    cause = ""
    for attempt in stamina.retry_context(on=on, **limits):
        if cause:
            logging.getLogger("ess_dask").log(level, "%s; trying again", cause)
        with attempt:
            try:
                return _once_more(call, failed)
            except on as error:
                cause, failed = error.message, None
                raise
    raise AssertionError("unreachable: the last attempt raises")


def _once_more(call: Callable[[], T], failed: EssError | None) -> T:
    """Call again; the attempt that has ``failed`` already counts as the first one."""
    if failed:
        raise failed
    return call()
