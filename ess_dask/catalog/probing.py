"""Finding out a category's structure from a sample of one of its files."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TypeVar

from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.catalog.store import open_file
from ess_dask.dataclass import dataclass
from ess_dask.errors import CleanError

T = TypeVar("T")

SAMPLE_BYTES = 256 << 10
"""Decompressed bytes that are looked at."""

_PREPROCESS_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Structure:
    """What a sample shows: columns in Essentia's form, the delimiter, whether line 1 is titles."""

    columnspec: str
    delimiter: str
    header: bool


def read_sample(
    store: Datastore, category: Category, file: FileRef, size: int = SAMPLE_BYTES
) -> bytes:
    """Return the first ``size`` decompressed bytes of a file, after the preprocess command.

    Of an archive, those of the first member that ``category.archive`` picks and that holds
    something. A sample that was cut
    ends with a whole line.
    """
    from ess_dask.records.archives import open_files
    from ess_dask.records.chunk import FileSource
    from ess_dask.records.spec import ReadSpec

    source = FileSource(file.uri, lambda: open_file(store, file))
    spec = ReadSpec((), compression=category.compression, archive=category.archive)
    sample = bytearray()
    with closing(_generator(open_files(source, spec))) as members:
        for _, blocks in members:
            for block in blocks:
                sample += block
                if len(sample) > size:
                    break
            if sample:
                break
    cut = bytes(sample[:size])
    if len(sample) > size and b"\n" in cut:
        cut = cut[: cut.rindex(b"\n") + 1]
    return preprocess(cut, category.preprocess) if category.preprocess else cut


def preprocess(sample: bytes, command: str) -> bytes:
    """Return what the user's shell filter makes of a sample; raise ``CleanError`` if it fails."""
    try:
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            input=sample,
            capture_output=True,
            timeout=_PREPROCESS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CleanError(
            f"preprocess {command!r} did not end within {_PREPROCESS_SECONDS} s"
        ) from None
    if done.returncode:
        tail = done.stderr[-500:].decode(errors="replace").strip()
        raise CleanError(
            f"preprocess {command!r} ended with status {done.returncode}: {tail}",
            hint="try it on one file in a shell",
        )
    return done.stdout


def probe_structure(sample: bytes) -> Structure:
    """Return the structure of a sample of plain bytes."""
    from ess_dask.records.probe import probe_bytes

    found = probe_bytes(sample)
    return Structure(found.columnspec, found.delimiter, found.header)


def _generator(items: Iterator[T]) -> Generator[T, None, None]:
    """Make an iterator closable, so that a half-read file is closed at once."""
    yield from items
