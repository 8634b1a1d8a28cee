"""What a worker on another machine is made ready with, and what it ends by itself.

A plug-in travels over mutual TLS; workers that join later get it, too. The worker's process then
stands in its *work folder* (``~/.ess/work`` there), has the client's language and time zone, and
ends what nobody waits for any more: the commands of a task that was cancelled or whose client is
gone, and files that such a task had left to be fetched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import Datastore
from ess_dask.clean.running import running
from ess_dask.cluster.environment import ON_WORKER
from ess_dask.credentials import Keys, to_lend
from ess_dask.engine.elsewhere import remove_parcels
from ess_dask.errors import TransientError
from ess_dask.retry import retrying

if TYPE_CHECKING:
    from distributed import Client


def prepare(client: Client, stores: Iterable[Datastore] = ()) -> None:
    """Make the workers ready, those to come included; the last client's language is in force, and
    its keys of these datastores where they stand in files of this machine.

    Raises ``TransientError`` when workers go on dying while they are told, and what
    ``credentials.resolve`` raises.
    """
    import logging

    language = {name: value for name, value in os.environ.items() if is_language(name)}
    references = [store.credentials for store in stores if not store.is_local]
    plugin = _plugin(language, to_lend(references))

    def register() -> None:
        try:
            client.register_plugin(plugin, name=plugin.name)
        except OSError as error:
            raise TransientError(f"a worker was lost while it was made ready ({error})") from None

    retrying(TransientError, register, logging.INFO, attempts=20, timeout=30, wait_initial=0.05)


def _plugin(language: Mapping[str, str], keys: Mapping[str, Keys]) -> Any:
    from distributed import WorkerPlugin

    class Workplace(WorkerPlugin):
        """Sets up a worker's process and ends what nobody waits for any more."""

        name = "ess-workplace"

        def __init__(self) -> None:
            self._language, self._keys = dict(language), dict(keys)
            self._folder = ""

        def __repr__(self) -> str:
            return f"<{self.name}>"

        def setup(self, worker: Any) -> None:
            from ess_dask.credentials import lend
            from ess_dask.engine.workplace import settle

            self._folder = worker.local_directory
            settle(self._folder, self._language)
            lend(self._keys)

        def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
            from ess_dask.engine.workplace import forget

            if finish in ("released", "forgotten"):
                forget(key, start, self._folder)

    return Workplace()


def is_language(name: str) -> bool:
    """Whether an environment variable decides language, order of texts or time zone."""
    return name in ("LANG", "LANGUAGE", "TZ") or name.startswith("LC_")


def settle(local_folder: str, language: Mapping[str, str]) -> None:
    """Put this worker's process into its work folder. Runs on a worker.

    ``local_folder`` is the worker's own one, for a machine where no home can be written.
    """
    for name in [name for name in os.environ if is_language(name)]:
        del os.environ[name]
    os.environ.update(language)
    os.environ[ON_WORKER] = "1"
    time.tzset()
    os.chdir(work_folder(local_folder))


def work_folder(local_folder: str) -> Path:
    """Return the work folder of this machine, made if missing."""
    home = os.environ.get("ESS_CACHE_DIR") or Path.home() / ".ess"
    for base in (Path(home), Path(local_folder)):
        folder = base.absolute() / "work"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise OSError(f"no work folder can be made, neither in {home} nor in {local_folder}")


def forget(key: Any, state: str, local_folder: str) -> None:
    """End what a task does, or what it has left, since nobody waits for it. Runs on a worker."""
    if state in ("executing", "long-running"):
        running.cancel_task(repr(key))
    else:
        remove_parcels(key, local_folder)
