"""Who makes the rows of files: threads of this process, or the workers of other machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING

from ess_dask.api.warn import tell

if TYPE_CHECKING:
    from ess_dask.catalog.model import Datastore
    from ess_dask.engine.executor import Executor
    from ess_dask.settings import Settings


def is_away(store: Datastore, settings: Settings) -> bool:
    """Whether workers of other machines make the rows: of a cluster that can see the files."""
    from ess_dask.cluster.machines import is_remote
    from ess_dask.engine.hands import is_seen

    return is_remote(settings.cluster) and is_seen(store, settings)


@contextmanager
def executor_for(store: Datastore, settings: Settings) -> Iterator[Executor]:
    """Give what makes the rows of files of a datastore.

    Raises what ``engine.hands.far_executor`` raises when that is a cluster of other machines.
    """
    from ess_dask.engine.executor import ThreadExecutor, usable_cores
    from ess_dask.engine.hands import Errand, far_executor

    if is_away(store, settings):
        errand = Errand("", f"rows-{token_hex(8)}", (store,))
        with far_executor(tell, settings.cluster, errand) as far:
            yield far
        return
    executor = ThreadExecutor(settings.threads or usable_cores())
    try:
        yield executor
    finally:
        executor.close()
