"""The caller's folders on a machine that has not got them.

Work names the files it writes by the caller's paths. On a far worker a private folder stands in for
the caller's; what lies in it at the end is the task's parcel, which the caller fetches to the very
paths that the result names. A parcel lives as long as its task's result: when the scheduler forgets
that one, because it was fetched or nobody waits for it any more, the worker removes the other.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ess_dask.cluster.blocks import Stored, stored
from ess_dask.dataclass import dataclass

INLINE_BYTES = 1 << 20
"""Files of a task that are not larger, all together, travel in its result."""

_BOXES = "ess-parcels"


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a parcel: its path below the caller's folder, and its bytes if they came along."""

    name: str
    stored: Stored
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """The files that a task left on the worker at ``address``; ``worker`` is what messages say."""

    address: str
    worker: str
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """``folder`` of this machine stands in for ``root``, a folder of the caller ('': none)."""

    root: str
    folder: Path

    def items(self) -> tuple[Item, ...]:
        """Return the files in it, by name; small ones with their bytes."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        size = sum(path.stat().st_size for path in paths)
        return tuple(self._item(path, inline=size <= INLINE_BYTES) for path in paths)

    def _item(self, path: Path, *, inline: bool) -> Item:
        name = str(path.relative_to(self.folder))
        return Item(name, stored(path), path.read_bytes() if inline else None)


_BOX: ContextVar[Box | None] = ContextVar("ess_dask_box", default=None)


def here(folder: str) -> Path:
    """Return where this machine keeps what the caller's ``folder`` is to hold; made if it is not
    the caller's own."""
    box = _BOX.get()
    if box is None or not box.root or not Path(folder).is_relative_to(box.root):
        return Path(folder)
    own = box.folder / Path(folder).relative_to(box.root)
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    return own


@contextmanager
def boxed(root: str, key: Any, local_folder: str) -> Iterator[Box]:
    """Let a private folder of the task ``key`` stand in for ``root`` while the block runs.

    ``local_folder`` is the worker's own. Nothing is left of it when the block fails.
    """
    folder = Path(local_folder) / _BOXES / f"{_hash(key)}-{secrets.token_hex(8)}"
    box = Box(root, folder)
    token = _BOX.set(box)
    try:
        yield box
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        _BOX.reset(token)


def remove_parcels(key: Any, local_folder: str) -> None:
    """Remove what the task ``key`` has left, without waiting for the disk."""
    # Looked up now: what the same task leaves in a later try is another folder.
    doomed = list((Path(local_folder) / _BOXES).glob(f"{_hash(key)}-*"))
    if doomed:
        threading.Thread(target=_remove, args=(doomed,), daemon=True).start()


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _hash(key: Any) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()[:32]
