"""This package on its way to machines that have what it needs, but not the package itself.

It travels over the cluster's own mutual TLS, to the scheduler and all workers, those to come
included: a worker has it before its first task, after a restart too.
"""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask._version import __version__
from ess_dask.cluster import sent
from ess_dask.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client

FOLDER = Path(__file__).resolve().parents[1]
_EPOCH = (1980, 1, 1, 0, 0, 0)
_METADATA = ("METADATA", "entry_points.txt")
_sending = threading.Lock()


def send_package(client: Client) -> bool:
    """Give the cluster this process's build of the package; return whether that was needed.

    Nothing is sent when scheduler and workers have the same build. Raises ``ConfigError`` when
    they have another one and hold work or results of it.
    """
    digest = sent.package_digest(FOLDER)
    with _sending, _by_value():
        scheduler = client.run_on_scheduler(sent.scheduler_here)
        if scheduler["everywhere"] and scheduler["digest"] == digest:
            return False
        workers = client.run(sent.package_here, on_error="ignore")
        found = [scheduler, *workers.values()]
        if all(each["digest"] == digest for each in found):
            return False
        _check_free(scheduler, found, digest)
        archive = package_archive()
        client.run_on_scheduler(sent.unpack_on_scheduler, archive, digest)
        client.register_plugin(_plugin(archive, digest))
        client.run_on_scheduler(sent.note_everywhere, __version__, digest)
    return True


def package_archive() -> bytes:
    """Return the package as a zip, the same bytes for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for name, path in sent.package_files(FOLDER):
            _put(out, f"{sent.NAME}/{name}", path.read_bytes())
        for name, text in _metadata():
            _put(out, f"{sent.NAME}-{__version__}.dist-info/{name}", text.encode())
    return packed.getvalue()


def _metadata() -> list[tuple[str, str]]:
    """What is known of the package beside its files: its entry points are its plug-ins."""
    try:
        found = distribution(sent.NAME)
    except PackageNotFoundError:
        return []
    return [(name, text) for name in _METADATA if (text := found.read_text(name))]


def _put(out: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    out.writestr(entry, content)


def _check_free(scheduler: dict[str, Any], found: list[dict[str, Any]], digest: str) -> None:
    others = {(each["version"], each["digest"]) for each in found} - {("", "")}
    others = {(release, build) for release, build in others if build != digest}
    if scheduler["busy"] and others:
        release, build = min(others)
        raise ConfigError(
            f"the cluster works with ess-dask {release} (build {build[:12]}), "
            f"this is ess-dask {__version__} (build {digest[:12]})",
            hint="use that one, or end the cluster and begin anew: ess cluster reset, or terminate",
        )


def _plugin(archive: bytes, digest: str) -> Any:
    from distributed import WorkerPlugin

    # The function and not its module: that one would travel whole.
    unpack = sent.unpack_package

    class Package(WorkerPlugin):
        """Unpacks the package where the worker keeps its own files."""

        name = "ess-package"

        def __init__(self) -> None:
            self._archive = archive
            self._digest = digest

        def setup(self, worker: Any) -> None:
            unpack(self._archive, self._digest, worker.local_directory)

    return Package()


@contextmanager
def _by_value() -> Iterator[None]:
    """Let what is in ``sent`` be pickled as code and not as a name that is unknown over there."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(sent)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(sent)
