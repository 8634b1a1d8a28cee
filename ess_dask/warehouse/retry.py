"""Trying again while a warehouse is busy, for a bounded time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ess_dask import retry
from ess_dask.errors import EssError

T = TypeVar("T")


def retrying(on: type[EssError], seconds: float, call: Callable[[], T]) -> T:
    """Return ``call()``; while it raises ``on``, try again for so many seconds, then raise it."""
    # Waiting for one's turn is no warning; a time-out of 0 would be none.
    limits = {"attempts": None, "timeout": max(seconds, 0.001)}
    return retry.retrying(on, call, logging.INFO, **limits, wait_initial=0.05, wait_max=0.5)
