"""A cluster that goes while somebody talks to it: Dask's errors about it in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ess_dask.errors import EssError, TransientError

if TYPE_CHECKING:
    from distributed import Client


def lost(what: str) -> TransientError:
    """Return the error of ``what`` was being done when the cluster went."""
    return TransientError(
        f"{what}: the cluster stopped or was restarted; what it held in memory is lost",
        hint="import it again",
    )


@contextmanager
def loss_told(what: str, client: Client | None = None) -> Iterator[None]:
    """Turn whatever Dask raises when the scheduler is gone into ``TransientError``.

    Once ``client`` has given its connection up, that is any error at all: it misses what it had.
    """
    try:
        yield
    except EssError:
        raise
    except Exception as error:
        if not _tells_loss(error) and (client is None or client.status == "running"):
            raise
        raise lost(what) from None


def _tells_loss(error: Exception) -> bool:
    from distributed import CancelledError
    from distributed.client import ClosedClientError, FutureCancelledError
    from distributed.comm.core import CommClosedError

    kinds = (CancelledError, FutureCancelledError, ClosedClientError, CommClosedError)
    return isinstance(error, kinds) or "ConnectionPool is closed" in str(error)
