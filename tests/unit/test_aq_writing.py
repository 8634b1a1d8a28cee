"""The lines of a frame are those that rows print one by one."""

import itertools

import polars as pl
import pytest

from ess_dask.aq.kinds import Kind
from ess_dask.aq.outputs.formats import row_formatter
from ess_dask.aq.program import OutputFormat, OutputSpec, numbered
from ess_dask.aq.vector.writing import frame_bytes

ROWS = 20_000
"""So many that floats are looked at for being few different ones."""
COLUMNS = {
    "few": (Kind.F, [number % 700 * 0.9 for number in range(ROWS)]),
    "prices": (Kind.F, [number % 9000 / 100 for number in range(ROWS)]),
    "many": (Kind.F, [number / 7 for number in range(ROWS)]),
    "name": (Kind.S, [f"u{number}" for number in range(ROWS)]),
    "blank": (Kind.S, ["" if number % 3 else "x" for number in range(ROWS)]),
    "quoted": (Kind.S, ['a"b' if number % 5 == 0 else "plain, \xe9" for number in range(ROWS)]),
    "count": (Kind.I, list(range(ROWS))),
}


NAMES = [("few",), ("prices",), *itertools.pairwise([*COLUMNS, "few"])]


@pytest.mark.slow
@pytest.mark.parametrize("form", [OutputFormat(), OutputFormat("sep", "\xa7")])
def test_lines_are_those_of_rows(form):
    for names in NAMES:
        columns = numbered((name, COLUMNS[name][0]) for name in names)
        frame = pl.DataFrame({f"o{at}": COLUMNS[name][1] for at, name in enumerate(names)})
        write = row_formatter(form, columns)
        expected = b"".join(write(list(row)) for row in frame.iter_rows())
        assert frame_bytes(frame, OutputSpec("-", form, columns)) == expected


def test_no_rows_are_no_bytes():
    columns = numbered([("name", Kind.S), ("few", Kind.F)])
    frame = pl.DataFrame(schema={"o0": pl.String, "o1": pl.Float64})
    assert frame_bytes(frame, OutputSpec("-", OutputFormat(), columns)) == b""
