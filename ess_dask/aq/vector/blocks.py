"""CSV text in blocks that end where a record ends, and those that whole-column code can read.

A block is regular if its quotes open and close fields by turns, if no line is longer than a
record may be and if each line has the fields of the specification. Every other block takes the
careful way, record by record. Which way a block takes changes nothing about its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.inputs.typing import BLANKS, MAX_STRING
from ess_dask.aq.kinds import Kind
from ess_dask.aq.program import InputSpec

if TYPE_CHECKING:
    import polars as pl

BLOCK_BYTES = 8 << 20
SMALL_BYTES = 256 << 10
"""Up to this size an input is quicker row by row than the libraries for columns are loaded."""


def gather(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield blocks of about ``size`` bytes."""
    waiting: list[bytes] = []
    total = 0
    for block in blocks:
        waiting.append(block)
        total += len(block)
        if total >= size:
            yield b"".join(waiting)
            waiting, total = [], 0
    if waiting:
        yield b"".join(waiting)


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes from the start of a record to a line end (``final``: to the end of the file)."""

    data: bytes
    final: bool


def cut_blocks(blocks: Iterator[bytes], size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield blocks that end with a line; whether it ends a record the reader finds out."""
    tail = b""
    for piece in gather(blocks, size):
        end = piece.rfind(b"\n") + 1
        if not end:
            tail += piece
            continue
        if tail:
            yield Block(tail + piece[:end], final=False)
        else:
            yield Block(piece[:end], final=False)
        tail = piece[end:]
    yield Block(tail, final=True)


def can_read(spec: InputSpec) -> bool:
    """Whether the columns of an input have a whole-column reading."""
    plain = spec.format.name in ("csv", "sep") and not spec.format.escape
    columns = all(
        not column.length and not column.flags & {"esc", "clf", "hex"} for column in spec.columns
    )
    return (
        plain
        and columns
        and spec.skip_unit != "r"
        and spec.format.separator not in '"\n\r'
        and spec.format.separator.isascii()
        and spec.record_bytes <= MAX_STRING + 1
    )


def lines_fit(data: bytes, limit: int) -> bool:
    """Whether no line is longer than ``limit``: each stretch of half that has a line end."""
    step = limit // 2
    return all(data.find(b"\n", at, at + step) >= 0 for at in range(0, len(data) - step, step))


class BlockReader:
    """Reads the regular blocks of one input into frames with a column ``s<slot>`` for each slot."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._separator = spec.format.separator.encode("latin-1")
        self._quoted = spec.format.name == "csv"
        self._columns = [
            (f"c{at}", column, f"s{slot}")
            for at, (column, slot) in enumerate(zip(spec.columns, spec.slots, strict=True))
        ]

    def read(self, data: bytes) -> pl.DataFrame | None:
        """Return the rows of a block, None if it is not regular."""
        import polars as pl

        if not data:
            return None
        quotes = self._quoted and b'"' in data
        # One byte is found many times faster than two.
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        if data.endswith(b"\r") or not lines_fit(data, self._spec.record_bytes):
            return None
        if quotes and not _quotes_alternate(data, self._separator):
            return None
        text = data if data.isascii() else data.decode("latin-1").encode("utf-8")
        try:
            frame = pl.read_csv(
                text,
                has_header=False,
                schema={name: read_type(column) for name, column, _ in self._columns},
                quote_char='"' if quotes else None,
                separator=self._spec.format.separator,
            )
        except pl.exceptions.PolarsError:
            return None
        if not self._is_complete(frame, data, quotes=quotes):
            return None
        return self._typed(frame, ascii_only=text is data)

    def _is_complete(self, frame: pl.DataFrame, data: bytes, *, quotes: bool) -> bool:
        """Whether no record lacks fields; the reader has refused those with too many."""
        import numpy as np
        import polars as pl

        wanted = (len(self._columns) - 1) * frame.height
        found = int(np.count_nonzero(np.frombuffer(data, np.uint8) == self._separator[0]))
        if not quotes:
            return found == wanted
        # What stands within quotes separates nothing.
        texts = [pl.col(name) for name, kind in frame.schema.items() if kind == pl.String]
        inside = (
            frame.select(
                pl.sum_horizontal(
                    text.str.count_matches(self._spec.format.separator, literal=True)
                    .fill_null(0)
                    .sum()
                    for text in texts
                )
            ).item()
            if texts
            else 0
        )
        return found == wanted + inside

    def _typed(self, frame: pl.DataFrame, *, ascii_only: bool) -> pl.DataFrame | None:
        import polars as pl

        out = []
        for name, column, slot in self._columns:
            if column.kind is None:
                continue
            expression = finished(pl.col(name), column, ascii_only=ascii_only)
            if expression is None:
                return None
            out.append(expression.alias(slot))
        try:
            typed = frame.select(out)
        except pl.exceptions.PolarsError:
            return None
        if any(kind is Kind.IP for kind in (column.kind for _, column, _ in self._columns)):
            return self._with_addresses(typed)
        return typed

    def _with_addresses(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        from ess_dask.aq.addresses import CANONICAL_V4

        addresses = [slot for _, column, slot in self._columns if column.kind is Kind.IP]
        plain = all(frame[slot].str.contains(CANONICAL_V4).all() for slot in addresses)
        return frame if plain else None


def read_type(column: ColumnSpec) -> type[pl.DataType]:
    """Return the type a column is read as: what the parser has no exact type for is text."""
    import polars as pl

    if column.kind in (None, Kind.S, Kind.IP) or "trm" in column.flags:
        return pl.String
    return column_type(column.kind)


def column_type(kind: Kind | None) -> type[pl.DataType]:
    """Return the type of a column in frames."""
    import polars as pl

    names: dict[Kind, type[pl.DataType]] = {
        Kind.F: pl.Float64,
        Kind.L: pl.UInt64,
        Kind.LS: pl.Int64,
        Kind.I: pl.UInt32,
        Kind.IS: pl.Int32,
    }
    return names.get(kind, pl.String) if kind else pl.String


def finished(column: pl.Expr, spec: ColumnSpec, *, ascii_only: bool) -> pl.Expr | None:
    """Return the values of a column as read; None if only the careful way has them."""
    import polars as pl

    assert spec.kind
    if "trm" in spec.flags:
        column = column.str.strip_chars(BLANKS)
        if spec.kind not in (Kind.S, Kind.IP):
            column = pl.when(column != "").then(column).cast(column_type(spec.kind))
    if spec.kind is Kind.S:
        column = column.fill_null("")
        if not ascii_only and spec.flags & {"lo", "up"}:
            return None
        if "lo" in spec.flags:
            return column.str.to_lowercase()
        return column.str.to_uppercase() if "up" in spec.flags else column
    if spec.kind is Kind.IP:
        return column.fill_null("0.0.0.0")  # noqa: S104 - the blank address
    return column.fill_null(pl.lit(0, dtype=column_type(spec.kind)))


def _quotes_alternate(data: bytes, separator: bytes) -> bool:
    """Whether quotes open a field and close it by turns, as far as the block goes."""
    import numpy as np

    text = np.frombuffer(data, np.uint8)
    at = np.flatnonzero(text == 0x22)
    if len(at) % 2:
        return False
    opening, closing = at[::2], at[1::2]
    before = text[opening - 1]
    opens = (before == separator[0]) | (before == 0x0A)
    after = text[np.minimum(closing + 1, len(text) - 1)]
    closes = (after == separator[0]) | (after == 0x0A)
    if len(opening) and opening[0] == 0:
        opens[0] = True
    if len(closing) and closing[-1] == len(text) - 1:
        closes[-1] = True
    return bool(opens.all() and closes.all())
