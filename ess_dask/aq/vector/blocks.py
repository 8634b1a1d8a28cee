"""Text in blocks that end where a line ends, and which inputs have a reading by columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

from ess_dask.aq.columns import Separator
from ess_dask.aq.inputs.typing import MAX_STRING
from ess_dask.aq.kinds import Kind
from ess_dask.aq.link import Rows
from ess_dask.aq.program import InputSpec
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import polars as pl

    from ess_dask.aq.columns import ColumnSpec

BLOCK_BYTES = 4 << 20
"""Large enough for the fixed costs of a block, small enough that threads share a file evenly."""
SMALL_BYTES = 256 << 10
"""Up to this size an input is quicker row by row than the libraries for columns are loaded."""


@overload
def gather(blocks: Iterator[bytes], size: int) -> Iterator[bytes]: ...
@overload
def gather(blocks: Iterator[bytes | Rows], size: int) -> Iterator[bytes | Rows]: ...
def gather(blocks: Any, size: int) -> Iterator[bytes | Rows]:
    """Yield blocks of about ``size`` bytes; rows pass as they are."""
    waiting: list[bytes] = []
    total = 0
    for block in blocks:
        if isinstance(block, bytes):
            waiting.append(block)
            total += len(block)
            if total < size:
                continue
        if waiting:
            yield b"".join(waiting)
        if isinstance(block, Rows):
            yield block
        waiting, total = [], 0
    if waiting:
        yield b"".join(waiting)


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes from the start of a record to a line end (``final``: to the end of the file)."""

    data: bytes
    final: bool

    def parts(self, size: int) -> Iterator[Block]:
        """Yield the block in parts of at most ``size`` bytes, or of one line."""
        at = 0
        while at < len(self.data):
            end = self.data.rfind(b"\n", at, at + size) + 1
            end = end or self.data.find(b"\n", at + size) + 1 or len(self.data)
            yield Block(self.data[at:end], self.final and end == len(self.data))
            at = end


@overload
def cut_blocks(blocks: Iterator[bytes], size: int = ...) -> Iterator[Block]: ...
@overload
def cut_blocks(blocks: Iterator[bytes | Rows], size: int = ...) -> Iterator[Block | Rows]: ...
def cut_blocks(blocks: Any, size: int = BLOCK_BYTES) -> Iterator[Block | Rows]:
    """Yield blocks that end with a line; whether it ends a record the reader finds out.

    Rows stand between whole lines and pass as they are.
    """
    tail = b""
    for piece in gather(blocks, size):
        if isinstance(piece, Rows):
            yield piece
            continue
        end = piece.rfind(b"\n") + 1
        if not end:
            tail += piece
            continue
        yield Block(b"".join((tail, memoryview(piece)[:end])), final=False)
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


def can_divide(spec: InputSpec) -> bool:
    """Whether a ``div`` or ``fix`` input has a whole-column reading."""
    plain = all("hex" not in column.flags and column.length < 1000 for column in spec.columns)
    texts = [item.text for item in spec.items if isinstance(item, Separator)]
    fits = spec.record_bytes <= 1 << 16 and spec.skip_unit != "r"
    return plain and fits and all(texts) and not any("\n" in text for text in texts)


def cased(text: pl.Expr, column: ColumnSpec) -> pl.Expr:
    """Return a string column in the case that its attributes ask for."""
    if "lo" in column.flags:
        return text.str.to_lowercase()
    return text.str.to_uppercase() if "up" in column.flags else text


def wrongly_cased(text: pl.Expr, column: ColumnSpec, *, ascii_only: bool) -> pl.Expr | None:
    """Return where ``cased`` would change more than A to Z, None for nowhere."""
    if ascii_only or not column.flags & {"lo", "up"}:
        return None
    return text.str.len_bytes() != text.str.len_chars()


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
