"""Room where the product writes: state, runs, temporary files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.doctor.model import Check, fail, ok, warn
from ess_dask.folders import cache_path
from ess_dask.markup import show_bytes

if TYPE_CHECKING:
    from ess_dask.doctor.subject import Subject

LOW, LEAST = 1 << 30, 64 << 20
"""Free bytes below which it is told, and below which a run is likely to fail."""


def check_disk(subject: Subject) -> tuple[Check, ...]:
    """Say how much room there is in each folder that runs write; none of them is made."""
    runs = Path(subject.settings.runs_folder or cache_path() / "runs").expanduser().absolute()
    places = {
        "disk of state": (cache_path(), "ESS_CACHE_DIR"),
        "disk of runs": (runs, "ESS_RUNS_FOLDER"),
        "disk of temporary files": (Path(tempfile.gettempdir()), "TMPDIR"),
    }
    return tuple(_check(name, *place) for name, place in places.items())


def _check(name: str, folder: Path, variable: str) -> Check:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        advice = f"set {variable} to a folder you may write"
        return fail(name, f"{there} may not be written", advice)
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    found = f"{show_bytes(free)} free in {folder}"
    advice = f"make room there, or set {variable} to another folder"
    if free < LEAST:
        return fail(name, found, advice)
    if disk.f_files and not disk.f_favail:
        return fail(name, f"no file can be made in {folder}: it has no inodes left", advice)
    return warn(name, found, advice) if free < LOW else ok(name, found)
