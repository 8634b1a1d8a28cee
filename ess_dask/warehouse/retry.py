"""Trying again while a warehouse is busy, for a bounded time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ess_dask.errors import EssError

if TYPE_CHECKING:
    import stamina.instrumentation

T = TypeVar("T")


def retrying(on: type[EssError], seconds: float, call: Callable[[], T]) -> T:
    """Return ``call()``; while it raises ``on``, try again for so many seconds, then raise it."""
    import stamina

    # stamina takes a time-out of 0 for none.
    limit = max(seconds, 0.001)
    stamina.instrumentation.set_on_retry_hooks([_tell])
    for attempt in stamina.retry_context(
        on=on, attempts=None, timeout=limit, wait_initial=0.05, wait_max=0.5
    ):
        with attempt:
            return call()
    raise AssertionError("unreachable: the last attempt raises")


def _tell(details: stamina.instrumentation.RetryDetails) -> None:
    # In place of stamina's own hook, which through structlog would print on stdout.
    cause = getattr(details.caused_by, "message", details.caused_by)
    logging.getLogger("ess_dask").info("%s; trying again in %.1f s", cause, details.wait_for)
