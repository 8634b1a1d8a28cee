"""Sinks made of sinks: several at once, or only some files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, Piece, Sink, SinkWriter
from ess_dask.records.arrays import select


@dataclass(frozen=True, slots=True)
class Tee:
    """Hands each piece to several sinks; parts come back as one tuple per sink, in order."""

    sinks: tuple[Sink, ...]

    def open(self, batch: Batch) -> SinkWriter:
        """Begin a batch in every sink."""
        return _TeeWriter([sink.open(batch) for sink in self.sinks])


class _TeeWriter:
    def __init__(self, writers: Sequence[SinkWriter]) -> None:
        self._writers = writers

    def write(self, piece: Piece) -> None:
        for writer in self._writers:
            writer.write(piece)

    def forget(self, file: FileRef) -> None:
        for writer in self._writers:
            writer.forget(file)

    def close(self) -> tuple[Any, ...]:
        return tuple(writer.close() for writer in self._writers)

    def abort(self) -> None:
        for writer in self._writers:
            writer.abort()


@dataclass(frozen=True, slots=True)
class Only:
    """Hands on the rows of some files: the others are already where this sink leads."""

    sink: Sink
    uris: frozenset[str]

    def open(self, batch: Batch) -> SinkWriter:
        """Begin a batch in the inner sink."""
        return _OnlyWriter(self.sink.open(batch), self.uris)


class _OnlyWriter:
    def __init__(self, writer: SinkWriter, uris: frozenset[str]) -> None:
        self._writer, self._uris = writer, uris

    def write(self, piece: Piece) -> None:
        wanted = [file.uri in self._uris for file in piece.files]
        if all(wanted):
            self._writer.write(piece)
        elif any(wanted):
            self._writer.write(_keep_files(piece, wanted))

    def forget(self, file: FileRef) -> None:
        self._writer.forget(file)

    def close(self) -> tuple[Any, ...]:
        return self._writer.close()

    def abort(self) -> None:
        self._writer.abort()


def _keep_files(piece: Piece, wanted: Sequence[bool]) -> Piece:
    """Return the piece with only the rows of some of its files."""
    import numpy as np

    keep = np.asarray(wanted)
    rows = keep[piece.file_of]
    number = np.cumsum(keep) - 1
    return replace(
        piece,
        table=select(piece.table, rows),
        files=tuple(file for file, take in zip(piece.files, wanted, strict=True) if take),
        file_of=number[piece.file_of[rows]].astype(np.int32),
    )
