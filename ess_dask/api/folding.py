"""What is made of each batch's rows, beside the rows: on this machine or on others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ess_dask.engine.model import Batch, Job


@dataclass(frozen=True, slots=True)
class Packed:
    """A user's function as bytes: workers need not have the script it stands in."""

    payload: bytes

    def __call__(self, argument: Any) -> Any:
        """Call the function."""
        from ess_dask.clean.carried import unpack

        return unpack(self.payload)(argument)


def packed(function: Callable[[Any], Any], *, away: bool) -> Callable[[Any], Any]:
    """Return a function as it can travel if it is to be called ``away`` from here.

    Raises ``ConfigError`` for one that holds what cannot travel.
    """
    if not away:
        return function
    from ess_dask.clean.carried import pack_callable

    return Packed(pack_callable(function))


def fold_batch(batch: Batch, job: Job, each: Callable[[Any], Any]) -> Any:
    """Return ``each(clean rows of the batch)``; raises when one of its files failed."""
    from ess_dask.engine.collect import collect_table

    return each(collect_table(batch, job))
