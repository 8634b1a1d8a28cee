"""Rows that were rejected, read again: as if the file had been read that way from the start."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.errors import ColumnsError
from ess_dask.records.chunk import FileSource
from ess_dask.records.csv import read_chunks, read_rejected
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.types import parse_type


def spec(header=True, **types):
    columns = tuple(Column(name, parse_type(text)) for name, text in types.items())
    return ReadSpec(columns, header=header, max_record_bytes=400)


STRICT = {"a": "int32", "b": "string", "c": "float64"}
LOOSE = {"a": "string", "b": "string", "c": "string"}

FIELD = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(
        ["", "TBD", "1.5", '"', '"x"', '"a,b"', '"line\nend"', 'x"y', '"open', '""', "é", "\xff"]
    ),
)
LINE = st.lists(FIELD, min_size=1, max_size=4).map(",".join)


def collect(chunks):
    chunks = list(chunks)
    rows = [
        (line, tuple(row.values()))
        for chunk in chunks
        for line, row in zip(chunk.lines.tolist(), chunk.table.to_pylist(), strict=True)
    ]
    return rows, pa.concat_tables([chunk.rejects for chunk in chunks])


def read(data, how):
    return collect(read_chunks(FileSource("f.csv", lambda: io.BytesIO(data)), how))


def again(rejects, how):
    return collect(read_rejected(rejects, how)) if rejects.num_rows else ([], rejects)


QUOTES = ("stray quote in an unquoted field", "text after a closing quote", "quote not closed")


def known(rejects):
    # What is wrong with a broken quote depends on the lines after it, that it is broken does not.
    return [
        (
            row["line"],
            row["column"],
            "quote" if row["reason"] in QUOTES else row["reason"],
            row["raw"],
            row["title"],
        )
        for row in rejects.to_pylist()
    ]


@pytest.mark.slow
@given(st.lists(LINE, max_size=12), st.booleans())
def test_what_was_rejected_is_rejected_again_by_the_same_reader(lines, header):
    title = ["c,b,a"] if header else []
    data = "\n".join([*title, *lines]).encode("latin-1")
    how = spec(header, **STRICT)
    _, rejects = read(data, how)
    rows, still = again(rejects, how)
    assert rows == []
    assert known(still) == known(rejects)


@pytest.mark.slow
@given(st.lists(LINE, max_size=12), st.booleans())
def test_what_passes_now_is_what_a_whole_reading_gives(lines, header):
    title = ["c,b,a"] if header else []
    data = "\n".join([*title, *lines]).encode("latin-1")
    _, rejects = read(data, spec(header, **STRICT))
    rows, still = again(rejects, spec(header, **LOOSE))
    whole, faulty = read(data, spec(header, **LOOSE))
    before = set(rejects["line"].to_pylist())
    assert rows == [row for row in whole if row[0] in before]
    assert known(still) == known(faulty)


def test_another_encoding_mends_what_was_not_utf8():
    data = "a,b,c\n1,caf\xe9,2\n2,\xfcber,3\n".encode("latin-1")
    _, rejects = read(data, spec(**STRICT))
    mended = ReadSpec(spec(**STRICT).columns, encoding="latin-1")
    rows, still = again(rejects, mended)
    assert rows == [(2, (1, "café", 2.0)), (3, (2, "über", 3.0))]
    assert still.num_rows == 0


def test_a_file_with_carriage_returns_as_line_ends():
    _, rejects = read(b"a,b,c\r1,x,2\rTBD,y,3\r", spec(**STRICT))
    assert again(rejects, spec(**LOOSE))[0] == [(3, ("TBD", "y", "3"))]


def test_members_keep_their_own_titles():
    first = read(b"a,b,c\nTBD,y,3\n", spec(**STRICT))[1]
    second = read(b"c,b,a\n3,z,TBD\n", spec(**STRICT))[1]
    place = second.column_names.index("member")
    second = second.set_column(place, "member", pa.array(["two.csv"]))
    both = pa.concat_tables([first, second])
    rows, _ = again(both, spec(**LOOSE))
    assert rows == [(2, ("TBD", "y", "3")), (2, ("TBD", "z", "3"))]


def test_without_the_title_columns_cannot_be_found():
    _, rejects = read(b"TBD,y,3\n", spec(header=False, **STRICT))
    with pytest.raises(ColumnsError, match="without a title line"):
        again(rejects, spec(**LOOSE))
    assert again(rejects, spec(header=False, **LOOSE))[0] == [(1, ("TBD", "y", "3"))]


def test_a_title_that_lacks_a_declared_column_is_told():
    _, rejects = read(b"a,b,c\nTBD,y,3\n", spec(**STRICT))
    with pytest.raises(ColumnsError, match="'d' is missing"):
        again(rejects, spec(d="string"))
