"""Whose hands do the work: this machine's, or those of a cluster of other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.model import Datastore
from ess_dask.cluster import machines
from ess_dask.dataclass import dataclass
from ess_dask.engine.executor import ClusterExecutor, Executor
from ess_dask.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client

    from ess_dask.cluster.endpoint import Endpoint
    from ess_dask.engine.remote import RemoteExecutor
    from ess_dask.settings import Settings


@dataclass(frozen=True, slots=True)
class Errand:
    """What work on other machines is for: ``root`` is the folder of this machine that results name
    files in ('': none), ``owner`` that of the work's ``StepContext``, ``stores`` those whose keys
    are needed, ``threads`` the pipelines on each worker (0: as many as it has threads)."""

    root: str
    owner: str
    stores: tuple[Datastore, ...] = ()
    threads: int = 0


def cluster_executor(client: Client, endpoint: Endpoint, errand: Errand) -> Executor:
    """Return an executor on a cluster that a client is connected to."""
    if not endpoint.remote:
        return ClusterExecutor(client, errand.owner)
    from ess_dask.engine.remote import RemoteExecutor
    from ess_dask.engine.workplace import prepare

    prepare(client, errand.stores)
    return RemoteExecutor(client, endpoint.name, errand.root, errand.owner, errand.threads)


@contextmanager
def working(
    say: Callable[[str], None], kind: str = "", stores: Sequence[Datastore] = ()
) -> Iterator[tuple[Client, Endpoint]]:
    """Connect to the cluster of other machines in force, its workers made ready for commands.

    Raises what ``machines.ensure_started`` and ``machines.connect`` raise.
    """
    from ess_dask.cluster.passing import pass_environment
    from ess_dask.credentials import keys_of_files
    from ess_dask.engine.workplace import prepare

    endpoint = machines.ensure_started(say, kind)
    client = machines.connect(endpoint)
    try:
        pass_environment(client, keys_of_files() if endpoint.remote else None)
        prepare(client, stores)
        yield client, endpoint
    finally:
        client.close()


@contextmanager
def far_executor(say: Callable[[str], None], kind: str, errand: Errand) -> Iterator[RemoteExecutor]:
    """Give the workers of the cluster in force as an executor; see ``RemoteExecutor``."""
    from ess_dask.engine.remote import RemoteExecutor

    with working(say, kind, errand.stores) as (client, endpoint):
        executor = RemoteExecutor(client, endpoint.name, errand.root, errand.owner, errand.threads)
        try:
            yield executor
        finally:
            executor.close()


def refuse_unseen(store: Datastore, settings: Settings) -> None:
    """Raise ``ConfigError`` for a datastore that the workers of the cluster in force cannot see."""
    if machines.is_remote(settings.cluster) and not is_seen(store, settings):
        raise ConfigError(
            f"{store.root} is a folder of this machine, and the workers of the cluster are on "
            "others",
            hint="put the files into S3; or work here: ESS_CLUSTER=local; or, if all machines have "
            f"this folder by a network disk: ESS_SHARED_FOLDERS={store.root}",
        )


def is_seen(store: Datastore, settings: Settings) -> bool:
    """Whether workers on other machines can read the files of a datastore."""
    shared = [Path(folder) for folder in settings.shared_folders.split(":") if folder]
    root = Path(store.root)
    return not store.is_local or any(root.is_relative_to(folder) for folder in shared)
