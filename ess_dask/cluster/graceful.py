"""Workers that are to go hand on what they hold, so that no row of a table is lost with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ess_dask.errors import TransientError

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 900.0
"""Seconds that moving the data of workers may take."""


def before_removal(client: Client, addresses: Sequence[str], say: Callable[[str], None]) -> None:
    """Move what the workers at ``addresses`` hold to the others; they then take no more work.

    Raises ``TransientError`` when there is no room for it: the workers then stay.
    """
    if not addresses:
        return
    say(f"moving the data of {len(addresses)} worker{'s' * (len(addresses) > 1)} to the others")
    scheduler = client.scheduler
    assert scheduler is not None
    try:
        gone = client.sync(
            scheduler.retire_workers,
            workers=list(addresses),
            close_workers=False,
            remove=True,
            callback_timeout=PATIENCE,
        )
    except TimeoutError:
        gone = {}
    stayed = sorted(set(addresses) - set(gone))
    if stayed:
        raise TransientError(
            f"what {', '.join(stayed)} holds cannot be moved: the other workers have no room",
            hint="drop tables, or add workers first: ess cluster create --add",
        )
