"""Two programs in one worker, of which one reads what the other prints: rows instead of text.

Text that is printed and parsed again gives the same values where the columns that are printed are
those that are read. Then batches pass as they are. The reader says what it expects, the printer
whether it gives that; a batch with a value that text would change is passed as text all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ess_dask.aq.kinds import Kind
from ess_dask.aq.surroundings import input_link, output_link
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import polars as pl

    from ess_dask.aq.program import InputSpec, OutputSpec, Program

_KINDS = frozenset({Kind.S, Kind.I, Kind.IS, Kind.L, Kind.LS, Kind.F})
_NUMBER_CHARACTERS = 32
"""No number is printed longer."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reader takes: a type for each column, None for one it skips; whether a title stands
    in front; the longest record in bytes."""

    kinds: tuple[Kind | None, ...]
    title: bool
    record_bytes: int


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch on its way: columns ``o0``, ``o1`` .., and the text it would be printed as."""

    frame: pl.DataFrame
    text: Callable[[], bytes]


class OutputLink(Protocol):
    """A standard output that may be another program's input."""

    def gives(self, fits: Callable[[Expected], bool]) -> Expected | None:
        """Return what the reader expects if that fits; text from now on means whole records."""

    def hand_over(self, rows: Rows) -> None:
        """Pass a batch on, behind all that was written."""


class InputLink(Protocol):
    """A standard input that may be another program's output."""

    def takes(self, expected: Expected) -> Iterator[Rows | bytes] | None:
        """Return batches, and text of whole records, where they fit; None where it is text with all
        that belongs to it, to be read as any input."""


def expected_behind(program: Program) -> Expected | None:
    """Return what the program that reads the only output expects, if that is what is printed."""
    link = output_link()
    if link is None or program.finals or [spec.target for spec in program.outputs] != ["-"]:
        return None
    return link.gives(partial(fits, program.outputs[0]))


def rows_in_front(spec: InputSpec, file: str) -> Iterator[Rows | bytes] | None:
    """Return the rows that the program in front prints, None where an input is read as text."""
    link, expected = input_link(), expected_by(spec)
    return link.takes(expected) if link and expected and file == "-" else None


def expected_by(spec: InputSpec) -> Expected | None:
    """Return what an input takes instead of text, None if only text will do."""
    form = spec.format
    plain = (form.name, form.separator, form.escape) == ("csv", ",", False)
    columns = all(not column.flags and not column.length for column in spec.columns)
    kinds = tuple(column.kind for column in spec.columns)
    if not plain or not columns or spec.skip > 1 or (spec.skip and spec.skip_unit != "l"):
        return None
    if not {*kinds} - {None} <= _KINDS:
        return None
    return Expected(kinds, bool(spec.skip), spec.record_bytes)


def fits(spec: OutputSpec, expected: Expected) -> bool:
    """Whether an output prints what is expected, column by column."""
    form = spec.format
    kinds = [column.source.kind for column in spec.columns]
    wanted = zip(expected.kinds, kinds, strict=False)
    return (
        (form.name, form.separator, form.escape, form.short_floats, form.nodelay)
        == ("csv", ",", False, False, False)
        and form.title == expected.title
        and spec.follows is None
        and len(kinds) == len(expected.kinds)
        and {*kinds} <= _KINDS
        and all(want in (None, kind) for want, kind in wanted)
        and not any(column.print_format or "\n" in column.title for column in spec.columns)
    )


def survives(frame: pl.DataFrame, expected: Expected) -> bool:
    """Whether a batch is the same behind printing and parsing."""
    import polars as pl

    length = _NUMBER_CHARACTERS * frame.width
    for column in frame.get_columns():
        if column.dtype.is_float():
            if not column.is_finite().all():
                return False
        elif column.dtype == pl.String:
            longest: Any = column.str.len_bytes().max()
            # A quote is printed as two, a lone blank as an empty line, and CR LF is read as LF.
            length += 2 * (longest or 0)
            if column.str.contains("\r", literal=True).any():
                return False
            if frame.width == 1 and (column == "").any():
                return False
    return length <= expected.record_bytes
