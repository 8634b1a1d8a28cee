"""What runs on machines that may lack this package: sent there by value, standard library only.

Nothing here may import the package, at any depth.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

NAME = "ess_dask"
MARK = "ess_package"
"""The scheduler's attribute that says which build was sent."""

LEFT_OUT = ("__pycache__", "testing")
"""Folders of the package that a worker has no use for."""


def package_files(folder: Path) -> list[tuple[str, Path]]:
    """Return (name inside the package, path) of what makes up the package, in order of names."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in names:
            if not name.endswith(".pyc"):
                path = Path(parent, name)
                found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found)


def package_digest(folder: Path) -> str:
    """Return the SHA-256 (hexadecimal) of the names and contents of the package's files."""
    total = hashlib.sha256()
    for name, path in package_files(folder):
        content = path.read_bytes()
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def package_here() -> dict[str, Any]:
    """Describe the package that this process would import: ``version`` and ``digest``, '' if none.

    Nothing is imported.
    """
    try:
        spec = importlib.util.find_spec(NAME)
    except ValueError:
        spec = None
    if spec is None or spec.origin is None:
        return {"version": "", "digest": ""}
    folder = Path(spec.origin).parent
    try:
        release = version(NAME)
    except PackageNotFoundError:
        release = "?"
    return {"version": release, "digest": package_digest(folder)}


def scheduler_here(dask_scheduler: Any) -> dict[str, Any]:
    """Describe the scheduler's package; ``busy``: it holds work or results.

    ``everywhere``: all workers have it, and those to come will.
    """
    known = vars(dask_scheduler).get(MARK)
    here = known or package_here()
    return {**here, "everywhere": known is not None, "busy": bool(dask_scheduler.tasks)}


def unpack_package(archive: bytes, digest: str, parent: str) -> None:
    """Unpack the package below ``parent`` and make it the one that is imported from now on."""
    folder = Path(parent).absolute() / f"ess-dask-{digest[:16]}"
    if not folder.is_dir():
        part = tempfile.mkdtemp(prefix="part-", dir=parent)
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            packed.extractall(part)
        Path(part).replace(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if "/ess-dask-" not in path)]
    # What was imported of another build belongs to it: nothing of two builds is ever mixed.
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        if str(folder) not in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    importlib.invalidate_caches()


def unpack_on_scheduler(archive: bytes, digest: str, dask_scheduler: Any) -> None:
    """Do what ``unpack_package`` does in the scheduler's process."""
    vars(dask_scheduler).pop(MARK, None)
    unpack_package(archive, digest, dask_scheduler.local_directory)


def note_everywhere(release: str, digest: str, dask_scheduler: Any) -> None:
    """Remember in the scheduler that all workers were given this build."""
    vars(dask_scheduler)[MARK] = {"version": release, "digest": digest}
