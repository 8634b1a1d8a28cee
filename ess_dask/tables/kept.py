"""What says that tables are kept over a stop: a mark in their home's folder, and for a cluster on
other machines the same and a copy of the list of tables beside the segments, for the case that this
machine's is lost.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask._version import __version__
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, EssError
from ess_dask.tables.places import place_of
from ess_dask.tables.registry import Registry

if TYPE_CHECKING:
    from ess_dask.tables.homes import Home

FORMAT = 1
"""Changes with what a saved list of tables or a segment looks like."""

_MARK = "kept.json"
_LOOKED = "looked"
_AWAITED = "awaited"


@dataclass(frozen=True, slots=True)
class Kept:
    """Saved tables: the instance that held them, the release that saved them, when (seconds since
    1970), their names, the folders in which their segments lie, and how many workers there were."""

    format: int
    version: str
    instance: str
    saved: float
    tables: tuple[str, ...]
    roots: tuple[str, ...]
    workers: int


def is_marked(home: Home) -> bool:
    """Whether the home of this machine says that tables are kept."""
    return (home.folder / _MARK).exists()


def may_be_kept(home: Home, instance: Path) -> bool:
    """Whether ``find_kept`` may find something; ``instance`` is the folder of the one that runs.

    The shared place is asked once by it.
    """
    return is_marked(home) or bool(home.shared and not (instance / _LOOKED).exists())


def note_none_kept(instance: Path) -> None:
    """Remember that the shared place was asked."""
    (instance / _LOOKED).touch()


def forget_kept(home: Home) -> None:
    """Give kept tables up. Their segments are removed with the leftovers of their instance."""
    if home.shared:
        place_of(home.shared).remove_folder(f"{home.shared}/kept")
    (home.folder / _MARK).unlink(missing_ok=True)
    await_stop(home, awaited=False)


def await_stop(home: Home, *, awaited: bool = True) -> None:
    """Remember whether somebody else is to stop the cluster whose tables are kept."""
    if awaited:
        (home.folder / _AWAITED).touch(mode=0o600)
    else:
        (home.folder / _AWAITED).unlink(missing_ok=True)


def is_stop_awaited(home: Home) -> bool:
    """Return what ``await_stop`` was told last."""
    return (home.folder / _AWAITED).exists()


def give_up() -> None:
    """Do so for the cluster of this machine, whether it runs or not."""
    from ess_dask.folders import cache_dir

    (cache_dir() / "tables" / _MARK).unlink(missing_ok=True)


def kept_in(folder: Path) -> Kept | None:
    """Return what the mark in a home's folder says; None without one."""
    try:
        return _parsed((folder / _MARK).read_bytes())
    except FileNotFoundError:
        return None


def write_kept(home: Home, kept: Kept, registry: Registry) -> None:
    """Say that the tables of a registry are kept. Raises what the shared place does."""
    text = json.dumps(asdict(kept)).encode()
    if home.shared:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "tables.sqlite"
            registry.save_as(copy)
            _put(f"{home.shared}/kept/{kept.instance}.sqlite", copy.read_bytes())
        # Last: whoever finds it finds the list, too.
        _put(f"{home.shared}/kept/{_MARK}", text)
    _mark(home, text)


def find_kept(home: Home) -> Kept | None:
    """Return what is kept; fetch the list of tables where this machine has lost it."""
    kept = kept_in(home.folder)
    if kept is None and home.shared:
        text = place_of(home.shared).read(f"{home.shared}/kept/{_MARK}")
        if text is not None:
            kept = _parsed(text)
            # Before there is a folder of that instance, which would be swept without the mark.
            _mark(home, text)
    if kept is None:
        return None
    _check_release(kept)
    path = home.folder / kept.instance / "tables.sqlite"
    if not path.exists() and home.shared:
        name = f"{home.shared}/kept/{kept.instance}.sqlite"
        data = place_of(name).read(name)
        if data is None:
            raise EssError(
                f"the list of the kept memory tables is gone: {name}",
                hint="give them up: ess udbd restart",
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(data)
    return kept


def _parsed(text: bytes) -> Kept:
    try:
        found = json.loads(text)
        found |= {name: tuple(found[name]) for name in ("tables", "roots")}
        return Kept(**found)
    except (ValueError, TypeError, KeyError):
        raise EssError(
            "the mark of the kept memory tables cannot be read",
            hint="give them up: ess udbd restart",
        ) from None


def _mark(home: Home, text: bytes) -> None:
    part = home.folder / f"{_MARK}.part"
    part.write_bytes(text)
    part.replace(home.folder / _MARK)


def _put(name: str, data: bytes) -> None:
    place = place_of(name)
    temporary = place.begin(name)
    temporary.write_bytes(data)
    place.put(temporary, name)


def _check_release(kept: Kept) -> None:
    if (kept.format, kept.version) != (FORMAT, __version__):
        raise ConfigError(
            f"memory tables are kept that ess-dask {kept.version} saved, this is {__version__}",
            hint=f"start the cluster with ess-dask {kept.version}, or give them up: "
            "ess udbd restart",
        )
