"""Where finished parts are put, and where they lie while they are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ess_dask.engine.elsewhere import here
from ess_dask.errors import EssError


class Place(Protocol):
    """The place that staged parts are to be loaded from."""

    def publish(self, finished: Sequence[tuple[Path, str]]) -> list[tuple[str, int]]:
        """Move finished files there; return path or URL, and stored bytes, of each.

        Each comes with its name, without a suffix. The local files are gone afterwards. When it
        raises, none of them is left in the place; ``OSError`` is the local disk's.
        """

    def remove(self, paths: Sequence[str]) -> None:
        """Take published files back; those that are gone already do not matter."""


class LocalPlace:
    """A folder of the machine that the run was started on: ``here`` finds it on a worker."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def publish(self, finished: Sequence[tuple[Path, str]]) -> list[tuple[str, int]]:
        """See ``Place.publish``; the files get their names by renaming."""
        done: list[tuple[str, int]] = []
        try:
            for temporary, name in finished:
                final = f"{name}.parquet"
                size = temporary.stat().st_size
                temporary.replace(here(self._folder) / final)
                done.append((str(Path(self._folder) / final), size))
        except OSError:
            self.remove([path for path, _ in done])
            raise
        return done

    def remove(self, paths: Sequence[str]) -> None:
        """See ``Place.remove``."""
        for path in paths:
            (here(self._folder) / Path(path).name).unlink(missing_ok=True)


def make_folder(folder: str) -> str:
    """Make the folder that parts are written in, for this user only; return it on this machine."""
    try:
        own = here(folder)
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise EssError(f"cannot make the staging folder {folder}: {error}") from error
    return str(own)


def no_room(folder: str, error: OSError) -> EssError:
    """Return what is raised when a part cannot be written."""
    return EssError(
        f"cannot write staged rows under {folder}: {error.strerror or error}",
        hint="make room there, or set another work folder; nothing was loaded",
    )
