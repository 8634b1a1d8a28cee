"""Where the tables of a cluster are kept account of, and where their segments lie.

Of this machine's cluster both are in one folder of ``ESS_CACHE_DIR``. Of a cluster on other
machines the account stays here and the segments lie in a place that all of them reach (setting
``shared_tables``), in a folder of the cluster's own, below it one for each instance:

    SHARED/KIND-NAME-SCOPE/INSTANCE/segments/IMPORT/SEGMENT.arrow
    SHARED/KIND-NAME-SCOPE/kept/                         tables that outlive their cluster
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.cluster.lost import loss_told, lost
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, EssError
from ess_dask.folders import cache_dir
from ess_dask.tables.kept import kept_in
from ess_dask.tables.places import not_writable, place_of
from ess_dask.tables.registry import DamagedListError, Registry

if TYPE_CHECKING:
    from distributed import Client

    from ess_dask.cluster.endpoint import Endpoint


_FAR, _ABOUT, _UNSWEPT = "far-tables", "about.json", "unswept"
_AGAIN_SECONDS = 3600.0
"""How long what could not be removed is left alone."""


@dataclass(frozen=True, slots=True)
class Home:
    """``folder`` is for the account, ``shared`` the cluster's own folder of the shared place ('':
    none). ``far``: the workers do not see ``folder``. ``tls`` is the folder of the cluster's
    certificates: when they are gone, it has ended for good."""

    folder: Path
    shared: str = ""
    far: bool = False
    tls: Path | None = None

    def registry(self, instance: str) -> Registry:
        """Return the list of an instance's tables; remove what earlier instances have left."""
        root = f"{self.shared}/{instance}/segments" if self.shared else ""
        registry = Registry(self.folder / instance, root)
        if self.tls is not None:
            about = {"tls": str(self.tls), "shared": self.shared}
            (self.folder / _ABOUT).write_text(json.dumps(about))
        sweep_instances(self.folder, instance)
        return registry

    def check(self, client: Client, root: str) -> None:
        """Raise ``ConfigError`` unless all workers reach the place of segments.

        ``AccessError`` when this machine or a worker may not write there.
        """
        if not self.far:
            return
        if not self.shared:
            raise no_shared_place()
        if not root.startswith("s3://"):
            _check_mounted(client, Path(root))


def no_shared_place() -> ConfigError:
    """Return the error of a cluster on other machines whose tables have no place for their rows."""
    return ConfigError(
        "the workers are on other machines, and no place is set that all of them reach: "
        "memory tables cannot take rows",
        hint="set ESS_SHARED_TABLES (in a profile: shared_tables) to s3://BUCKET/PREFIX, or to a "
        "folder that all machines mount",
    )


def home_of(endpoint: Endpoint, shared: str = "") -> Home:
    """Return where the tables of a cluster are; ``shared`` is the setting."""
    if not endpoint.remote:
        return Home(cache_dir() / "tables")
    words = (endpoint.kind, endpoint.name, endpoint.scope or _user())
    label = re.sub("[^A-Za-z0-9._-]", "_", "-".join(words))
    # On this machine clusters of one name are told apart by their certificates, too.
    own = uuid.uuid5(uuid.NAMESPACE_URL, f"{label}:{endpoint.tls}").hex[:8]
    folder = cache_dir() / _FAR / f"{label}-{own}"
    return Home(folder, f"{shared.rstrip('/')}/{label}" if shared else "", True, endpoint.tls)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container that runs as a number which has no name there.
        return f"uid-{os.getuid()}"


def instance_of(client: Client) -> str:
    """Return what tells one running cluster from every other, those before it included.

    ``TransientError`` when it is lost.
    """
    with loss_told("memory tables", client):
        found = client.scheduler_info(n_workers=0)
    if "id" not in found:  # the connection was lost, which is not told
        raise lost("memory tables")
    return str(found["id"]).lower()


def sweep_instances(folder: Path, running: str) -> None:
    """Remove what earlier instances of a cluster left behind: their memory is gone.

    What is kept for later stays, and what the running one has taken over. What cannot be removed
    now is removed later.
    """
    others = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    others = [path for path in others if path.name != running]
    if not others:
        return
    # In this order: what is no longer kept has been taken over before.
    kept = kept_in(folder)
    needed = set(Registry(folder / running).roots())
    if kept is not None:
        needed |= {*kept.roots, str(folder / kept.instance / "segments")}
    for path in others:
        if str(path / "segments") not in needed and not _failed_lately(path):
            try:
                _remove_instance(path, needed)
            except EssError:
                (path / _UNSWEPT).touch()


@contextmanager
def forgetting_ended(kind: str, say: Callable[[str], None]) -> Iterator[None]:
    """Remove all that was kept of the tables of those clusters that the block ends for good.

    On this machine and in the shared place, of every cluster of this kind whose certificates go
    while the block runs. One whose certificates were lost before may still run: what is
    kept of it is left alone. ``say`` is told what could not be removed.
    """
    before = {folder for folder, tls in _homes(kind) if tls.exists()}
    yield
    for folder, tls in _homes(kind):
        if folder in before and not tls.exists():
            try:
                _forget(folder)
            except EssError as error:
                say(f"what is left of its memory tables could not be removed: {error}")


def _homes(kind: str) -> Iterator[tuple[Path, Path]]:
    """Yield the folder of each home and that of its cluster's certificates."""
    if kind == "local":
        yield cache_dir() / "tables", cache_dir() / "daemon" / "tls"
    for path in sorted((cache_dir() / _FAR).glob(f"{kind}-*/{_ABOUT}")):
        yield path.parent, Path(json.loads(path.read_text())["tls"])


def _forget(folder: Path) -> None:
    paths = list(folder.iterdir()) if folder.is_dir() else []
    removals = [partial(_remove_instance, path, set()) for path in paths if path.is_dir()]
    about = folder / _ABOUT
    shared = json.loads(about.read_text())["shared"] if about.exists() else ""
    if shared:
        # Also what this machine has lost its account of.
        removals.append(partial(place_of(shared).remove_folder, shared))
    _all_of(removals)
    shutil.rmtree(folder, ignore_errors=True)


def _all_of(removals: Iterable[Callable[[], None]]) -> None:
    """Do all; raise the first ``EssError`` then.

    A place that is not there, such as a bucket with a slip in its name, keeps nothing in others.
    """
    failed: list[EssError] = []
    for removal in removals:
        try:
            removal()
        except EssError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _failed_lately(path: Path) -> bool:
    """Whether the place of an instance could not be reached: not every command waits for it."""
    with suppress(OSError):
        return time.time() - (path / _UNSWEPT).stat().st_mtime < _AGAIN_SECONDS
    return False


def _remove_instance(path: Path, needed: set[str]) -> None:
    own = str(path / "segments")
    if (path / "tables.sqlite").exists():
        others = _roots(path) - needed - {own}
        folders = [root.removesuffix("/segments") for root in others]
        _all_of(partial(place_of(each).remove_folder, each) for each in folders)
    shutil.rmtree(path, ignore_errors=True)


def _roots(path: Path) -> frozenset[str]:
    try:
        return Registry(path).roots()
    except DamagedListError:
        return frozenset()  # nobody knows any more what it had elsewhere


def _check_mounted(client: Client, root: Path) -> None:
    mark = root / f"seen-{uuid.uuid4().hex}.tmp"
    try:
        mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.touch()
    except OSError as error:
        raise not_writable(root.parents[2], "this machine", error.strerror) from None
    try:
        seen = client.run(_looked_at, str(mark), on_error="ignore")
    finally:
        mark.unlink(missing_ok=True)
    for address, found in sorted(seen.items()):
        if found:
            raise not_writable(root.parents[2], f"the worker at {address}", found)
    blind = sorted(address for address, found in seen.items() if found is None)
    if blind:
        raise ConfigError(
            f"{root.parents[2]} is no folder that all machines mount: the workers at "
            f"{', '.join(blind[:3])} do not see it",
            hint="set ESS_SHARED_TABLES to one that they do, or to s3://BUCKET/PREFIX",
        )


def _looked_at(path: str) -> str | None:
    """Return None when there is no such file, '' when its folder takes others, else why not."""
    if not Path(path).is_file():
        return None
    own = Path(f"{path}-{uuid.uuid4().hex}.tmp")
    try:
        own.touch()
        own.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""
