"""Files to batches: a function of files and settings only, so results never depend on workers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch

BATCH_FILES = 256
"""A Dask task costs 1.3-5 ms: 256 tiny files, or 8 MiB of gz CSV (the setting ``batch_bytes``;
about 0.3 s), are worth one."""


def make_batches(
    files: Iterable[FileRef], limit_bytes: int, limit_files: int = BATCH_FILES
) -> tuple[Batch, ...]:
    """Group files, in order, until a batch holds ``limit_bytes`` stored bytes or ``limit_files``.

    A file larger than the limit is a batch of its own; files are never split.
    """
    return tuple(
        Batch(number, group)
        for number, group in enumerate(_groups(files, limit_bytes, limit_files))
    )


def _groups(
    files: Iterable[FileRef], limit_bytes: int, limit_files: int
) -> Iterator[tuple[FileRef, ...]]:
    group: list[FileRef] = []
    size = 0
    for file in files:
        if group and (size + file.size > limit_bytes or len(group) >= limit_files):
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield tuple(group)


def growing(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the same files in the same order, in batches of at most 1, 2, 4 .. files at first.

    For who may have enough after a few rows: the first of these come without delay.
    """
    numbers = itertools.count()
    most = 1
    for batch in batches:
        start = 0
        while start < len(batch.files):
            yield Batch(next(numbers), batch.files[start : start + most])
            start, most = start + most, min(2 * most, BATCH_FILES)
