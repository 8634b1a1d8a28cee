"""The disk of an instance or a container: what it sees of this machine, and what is its own.

It sees the system's programs and the Python that runs the stand-in, and can change neither. Of
everything else it sees nothing: no home, no working folder, no /tmp of the client. What it writes
goes to a folder of its own, which is kept while it is stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from ess_dask.dataclass import dataclass
from ess_dask.testing.ec2 import kernel

SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "var", "opt")
FRESH = ("root", "home", "srv", "mnt", "media")
_WRITTEN = {"etc": (), "var": ("cache", "lib", "log", "spool", "tmp"), "opt": ()}
"""Folders that user data write to, with what is in them where they are not the system's own."""

BLANK = ("etc/systemd/system", "var/lib/cloud", "var/lib/docker", "var/tmp", "var/log")
"""Folders of the machine's own services: an image comes without them."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Where a root is made, from what, and where its changes are kept.

    ``source`` is the root that is shown, ``layer`` a folder laid over it ('' for none), ``changes``
    the folder that receives what is written, ``visible`` further paths that are bound, read-only.
    """

    root: Path
    source: Path
    changes: Path
    visible: tuple[str, ...]
    layer: str = ""


def interpreter_paths() -> tuple[str, ...]:
    """Return the folders without which this Python and its packages cannot run elsewhere."""
    import ess_dask

    found = {sys.prefix, sys.base_prefix, *ess_dask.__path__}
    found |= {path for path in sys.path if Path(path).name == "site-packages"}
    found |= {os.path.realpath(path) for path in found}
    found.add(str(Path(sys.executable).resolve().parents[1]))
    return tuple(sorted(path for path in found if not _inside_system(path)))


def build(disk: Disk) -> None:
    """Make the root in this mount namespace; it is left to the caller to move into it."""
    disk.root.mkdir(parents=True, exist_ok=True)
    kernel.mount("tmpfs", disk.root, "tmpfs", data="mode=755")
    for name in SYSTEM:
        _show(disk, name)
    for name in FRESH:
        _keep(disk, name)
    for name in BLANK:
        _keep(disk, name)
    for name in ("tmp", "run"):
        (disk.root / name).mkdir()
        kernel.mount("tmpfs", disk.root / name, "tmpfs", data="mode=1777" if name == "tmp" else "")
    for name in ("dev", "sys"):
        (disk.root / name).mkdir()
        kernel.bind(disk.source / name, disk.root / name)
    kernel.make_read_only(disk.root / "sys")
    kernel.mount("tmpfs", disk.root / "dev/shm", "tmpfs", data="mode=1777")
    (disk.root / "proc").mkdir()
    for path in disk.visible:
        bind_read_only(disk.source / path.lstrip("/"), disk.root / path.lstrip("/"))


def overlay(lower: Path | str, target: Path, changes: Path) -> None:
    """Show ``lower`` (folders, the first on top, parted by ``:``) at ``target``, changes apart."""
    for folder in (target, changes / "upper", changes / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    data = f"lowerdir={lower},upperdir={changes / 'upper'},workdir={changes / 'work'}"
    try:
        kernel.mount("overlay", target, "overlay", data=data)
    except PermissionError:
        # In a user namespace the kernel may only keep its marks as attributes of the user.
        kernel.mount("overlay", target, "overlay", data=f"{data},userxattr")


def bind_read_only(source: Path, target: Path) -> None:
    """Show a folder at another place, where nobody can change it."""
    target.mkdir(parents=True, exist_ok=True)
    kernel.bind(source, target)
    kernel.make_read_only(target)


def write(root: Path, files: Iterable[tuple[str, str]]) -> None:
    """Write small files of text into a root."""
    for name, text in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)


def _show(disk: Disk, name: str) -> None:
    """Show a folder of the system as it is there: a link, or an overlay."""
    source = disk.source / name
    if source.is_symlink():
        (disk.root / name).symlink_to(source.readlink())
    elif name in _WRITTEN and source.is_dir() and source.stat().st_uid != os.geteuid():
        _imitate(disk, name)
    elif source.is_dir():
        layer = Path(disk.layer, name)
        lower = f"{layer}:{source}" if disk.layer and layer.is_dir() else str(source)
        overlay(lower, disk.root / name, disk.changes / name)


def _imitate(disk: Disk, name: str) -> None:
    """Give a folder with a copy of what is needed of the system's.

    In a user namespace, root may not write into folders of the real root, not even in an overlay.
    """
    kept = disk.changes / "own" / name
    if not kept.exists():
        kept.mkdir(parents=True)
        if name == "etc":
            _copy(disk.source / name, kept)
        for inner in _WRITTEN[name]:
            (kept / inner).mkdir(parents=True, exist_ok=True)
        if name == "var":
            (kept / "run").symlink_to("/run")
    (disk.root / name).mkdir(exist_ok=True)
    kernel.bind(kept, disk.root / name)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; what may not be read (``/etc/shadow``) is left out."""
    with contextlib.suppress(shutil.Error):
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _keep(disk: Disk, name: str) -> None:
    """Give a folder that is empty at first and kept while the instance is stopped."""
    kept = disk.changes / "own" / name
    for folder in (kept, disk.root / name):
        folder.mkdir(parents=True, exist_ok=True)
    if name == "var/tmp":
        kept.chmod(0o1777)
    kernel.bind(kept, disk.root / name)


def _inside_system(path: str) -> bool:
    first = Path(path).parts[1:2]
    return bool(first) and first[0] in SYSTEM and not Path("/", *first).is_symlink()
