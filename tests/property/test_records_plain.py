"""Plain lines, parsed all at once, give what a look at each record gives."""

import io
import re
from unittest.mock import patch

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ess_dask.records.cast import cast
from ess_dask.records.chunk import FileSource
from ess_dask.records.csv import read_chunks, read_untyped
from ess_dask.records.plain import Plain, type_plain
from ess_dask.records.plain_read import _guessed_apart
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.types import parse_type
from ess_dask.records.untyped import type_chunks
from ess_dask.records.usual import usual_times

TYPES = ["string", "int8", "int64", "uint16", "float64", "float32", "boolean", "binary"]
TYPES += ["date", "timestamp", "timestamp[, Europe/Berlin]", "decimal(6,2)", "date[%d.%m.%Y]"]

TEXTS = """
0 -0 +5 007 1.5 .5 1. 1e3 1E-3 1e400 127 128 -129 65536 9223372036854775808 - --1 1_0 0x1F 0X1f
nan NaN nan(1) -inf Infinity TBD true No t 3.14159 é 2014-09-01 2014-09-01T12:30:05
2014-09-01T12:30:60 9999-12-31 9999-12-31T23:59:59 0999-12-31 2014-02-29 01.09.2014 20140901
2014-03-30T02:30:00 2014-09-01T12:30+02:00
"""
ODD = ["", " ", " 7", "8\t", "2014-09-01 12:30:05", "\0", "\u2028", "\ufeff1"]
values = st.sampled_from([*re.findall(r"\S+", TEXTS), *ODD]) | st.text(
    "0123456789.-+eExX:T ", max_size=5
)
lines = st.lists(values, min_size=1, max_size=4).map(",".join)


def rows_and_rejects(chunks):
    table = pa.concat_tables([chunk.table for chunk in chunks])
    rejects = [row for chunk in chunks for row in chunk.rejects.to_pylist()]
    # repr: NaN is itself.
    return repr(table.to_pylist()), rejects, [n for chunk in chunks for n in chunk.lines.tolist()]


def read(data, spec):
    return list(read_chunks(FileSource("f", lambda: io.BytesIO(data)), spec))


def read_piecewise(data, spec):
    with (
        patch("ess_dask.records.plain_read.BLOCK_BYTES", 1),
        patch("ess_dask.records.plain_read.SAMPLE_BYTES", 8),
        # However much is odd: the parser types numbers, and the rest is looked at again.
        patch("ess_dask.records.plain_read.ODD_SHARE", 0),
        patch("ess_dask.records.plain_parse.AGAIN_SHARE", 0),
        patch("ess_dask.records.split.PIECE_BYTES", 64),
        patch("ess_dask.records.bits.PIECE_BYTES", 64),
    ):
        return read(data, spec)


def read_cut(data, spec, share=16):
    with (
        # However many fields are wanted.
        patch("ess_dask.records.plain.cut_pays", return_value=True),
        patch("ess_dask.records.cut.BLOCK_WORDS", 1),
        patch("ess_dask.records.plain_parse.AGAIN_SHARE", share),
        patch("ess_dask.records.plain_read.ODD_SHARE", share),
        patch("ess_dask.records.plain_read.SAMPLE_BYTES", 8),
    ):
        return read(data, spec)


def read_closely(data, spec):
    with patch("ess_dask.records.csv.plain_stop", return_value=0):
        return read(data, spec)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.lists(lines, max_size=30),
    st.lists(st.sampled_from(TYPES), min_size=2, max_size=3),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["null", "zero"]),
    st.sampled_from([True, False, None]),
    st.sampled_from([16, 200, 1 << 20]),
)
@example(["c0,c1", "1,2", "TBD,3"], ["int8", "int8"], "\r\n", "null", None, 16)
@example(["1,2", "c0,c1", "TBD,3"], ["int8", "int8"], "\n", "null", None, 200)
@example(["a,b"], ["string", "string"], "\n", "null", True, 16)
@example(["0x1F,1", "nan(2),2"], ["int64", "float64"], "\n", "null", False, 200)
@example(["0x1F,1", "2,0X1f"], ["int64", "int8"], "\n", "null", False, 200)
@example(["1,nan(2)", "1,1e400"], ["int64", "float64"], "\n", "null", False, 200)
@example(["TBD,1", "2,x", ",TBD", "+3,4"], ["int64", "float64"], "\n", "null", False, 200)
@example(["TBD,1", "2,TBD", ",", "TBD,-"], ["string", "int8"], "\n", "zero", False, 200)
@example(["TBD,1", "2,TBD", ",", "1,256"], ["string", "uint8"], "\n", "null", False, 200)
@example(["2.5,2.5", "2,2.5", "-1,-1"], ["uint8", "float32"], "\n", "null", False, 200)
@example(["", "1,2", "", "", "3,4", ""], ["int8", "int8"], "\r\n", "zero", False, 200)
@example(["c,d", "\ufeff1,2"], ["string", "int8"], "\n", "null", True, 1 << 20)
@example(["1,2", "\ufeff1,0"], ["int8", "string"], "\n", "null", False, 1 << 20)
@example(["1,2", "", "1,2,3", "4", "5,6,7"], ["int8", "int8"], "\n", "null", False, 1 << 20)
@example(["1,2", "", "1,2,3", "4", "5,6,7"], ["int8", "int8"], "\r\n", "null", False, 1 << 20)
@example(["", "1,2,3", "TBD,4", "x"], ["int8", "int8"], "\n", "null", False, 1 << 20)
def test_plain_text_reads_as_if_looked_at_closely(texts, types, end, blank, header, chunk):
    # A title beyond the longest record ends the reading, either way.
    assume(not header or not texts or len(texts[0].encode()) <= 64)
    columns = [Column(f"c{i}", parse_type(name)) for i, name in enumerate(types)]
    spec = ReadSpec(
        tuple(columns),
        header=header,
        by_position=True,
        blank=blank,
        chunk_bytes=chunk,
        max_record_bytes=64,
    )
    data = "".join(text + end for text in texts).encode()
    closely = rows_and_rejects(read_closely(data, spec))
    assert rows_and_rejects(read(data, spec)) == closely
    assert rows_and_rejects(read_piecewise(data, spec)) == closely
    assert rows_and_rejects(read_cut(data, spec)) == closely
    assert rows_and_rejects(read_cut(data, spec, share=0)) == closely


@pytest.mark.slow
@given(
    st.lists(st.lists(lines, min_size=1, max_size=20), min_size=2, max_size=4),
    st.lists(st.sampled_from(TYPES), min_size=2, max_size=3),
    st.sampled_from(["null", "zero"]),
    st.sampled_from([read, read_piecewise, read_cut]),
)
def test_what_was_read_before_changes_nothing(files, types, blank, reads):
    columns = [Column(f"c{i}", parse_type(name)) for i, name in enumerate(types)]
    spec = ReadSpec(tuple(columns), header=False, blank=blank)
    texts = ["".join(line + "\n" for line in file).encode() for file in files]
    with patch("ess_dask.records.plain_read._served", {}):
        after_others = [rows_and_rejects(reads(text, spec)) for text in texts]
    for text, found in zip(texts, after_others, strict=True):
        with patch("ess_dask.records.plain_read._served", {}):
            assert rows_and_rejects(reads(text, spec)) == found


@pytest.mark.parametrize("first", ["y" * 70_000, "y" * 70_000 + ",5,1"])
@pytest.mark.parametrize("names", ["b", "abc"])
def test_the_first_line_is_longer_than_the_sample(first, names):
    spec = ReadSpec(
        tuple(Column(name, parse_type("string" if name == "a" else "int64")) for name in names)
    )
    data = f"a,b,c\n{first}\n".encode() + b"a,6,1\n" * 300
    assert rows_and_rejects(read(data, spec)) == rows_and_rejects(read_closely(data, spec))


def test_each_odd_text_is_judged_once_with_the_others():
    spec = ReadSpec((Column("b", parse_type("int64")),))
    # They begin behind the sample.
    lines = [f"{n},{f'Q{n}z' if n > 9000 and n % 20 == 7 else n},c\n" for n in range(12000)]
    data = ("a,b,c\n1,TBD,c\n" + "".join(lines)).encode()
    with patch("ess_dask.records.cast.cast", wraps=cast) as asked:
        found = rows_and_rejects(read(data, spec))
    assert asked.call_count == 1
    assert found == rows_and_rejects(read_closely(data, spec))


def test_what_was_odd_in_one_text_is_not_sought_in_the_next():
    spec = ReadSpec((Column("odd", parse_type("int64")), Column("b", parse_type("string"))))
    data = b"odd,b\n" + b"1,x\n" * 30 + b"TBD,y\n"
    with patch("ess_dask.records.plain_read._guessed_apart", wraps=_guessed_apart) as guessed:
        first, second = rows_and_rejects(read(data, spec)), rows_and_rejects(read(data, spec))
    assert guessed.call_count == 1
    assert first == second


def test_what_was_odd_in_one_text_is_known_in_one_where_it_comes_late():
    columns = Column("late", parse_type("int64")), Column("b", parse_type("string"))
    spec = ReadSpec(columns)
    rows_and_rejects(read(b"late,b\n" + b"1,y\n" * 30 + b"TBD,y\n", spec))
    data = b"late,b\n" + b"1,y\n" * 30_000 + b"TBD,y\n"
    with patch("ess_dask.records.plain_parse.cast", wraps=cast) as asked:
        found = rows_and_rejects(read(data, spec))
    assert not asked.called
    assert found == rows_and_rejects(read_closely(data, spec))


@pytest.mark.parametrize("delimiter", ["^", "\x01"])
def test_text_that_begins_as_if_it_were_deflated(delimiter):
    columns = (Column("a", parse_type("string")), Column("b", parse_type("int64")))
    spec = ReadSpec(columns, header=False, delimiter=delimiter)
    data = f'x{delimiter}1\n"y"{delimiter}2\n'.encode()
    rows = pa.concat_tables([chunk.table for chunk in read(data, spec)]).to_pylist()
    assert rows == [{"a": "x", "b": 1}, {"a": "y", "b": 2}]


def test_most_text_is_plain():
    spec = ReadSpec((Column("a", parse_type("int8")), Column("b", parse_type("string"))))
    data = b"a,b\n1,x\n2\nTBD,y\n3,z\n"
    (part,) = read_untyped(FileSource("f", lambda: io.BytesIO(data)), spec)
    assert isinstance(part, Plain)
    assert len(part) == 4


@pytest.mark.slow
@given(st.lists(st.lists(lines, max_size=5), min_size=1, max_size=6))
def test_files_typed_together_are_the_files(files):
    columns = (Column("a", parse_type("int8")), Column("b", parse_type("date")))
    spec = ReadSpec(columns, header=False)
    texts = ["".join(line + "\n" for line in file).encode() for file in files]
    sources = [
        FileSource(f"f{i}", lambda text=text: io.BytesIO(text)) for i, text in enumerate(texts)
    ]
    together = type_chunks([part for source in sources for part in read_untyped(source, spec)])
    alone = [chunk for source in sources for chunk in read_chunks(source, spec)]
    assert rows_and_rejects(together) == rows_and_rejects(alone)


NEAR = """
2014-09-01T12:30:05, 2014-09-01 12:30:05, 0999-12-31 23:59:59, 1000-01-01 00:00:00, 2014-09-31
2014-09-01T12:30+05, 2014-09-01T12+05:30, 2016-02-29 24:00:00, 9999-12-31T23:59:59, 2014-13-01
2014-09-01T12:30:60, 2014-09-01, 9999-12-31, 0999-12-31
"""
near = st.sampled_from([text.strip() for text in re.split("[,\n]", NEAR.strip())])


@pytest.mark.slow
@settings(max_examples=500)
@given(near, st.lists(st.tuples(st.integers(0, 18), st.sampled_from("0123456789-: TZ+.tz/x"))))
@pytest.mark.parametrize("type_name", ["date", "timestamp"])
def test_usual_times_are_what_cast_makes_of_them(type_name, text, changes):
    letters = list(text)
    for place, letter in changes[:3]:
        letters[place % len(letters)] = letter
    values, kind = ["".join(letters), None], parse_type(type_name)
    usual = usual_times(pa.chunked_array([pa.array(values)]), kind)
    if usual is not None:
        casted = cast(pl.Series(values, dtype=pl.String), kind, "null")
        assert not casted.failed.any()
        assert usual.to_pylist() == casted.values.to_list()


def test_usual_times_are_taken():
    texts = pa.chunked_array([pa.array(["2014-09-01T12:30:05", None, "9999-12-31 23:59:59"])])
    assert usual_times(texts, parse_type("timestamp")) is not None
    assert usual_times(texts, parse_type("date")) is None
    assert usual_times(texts, parse_type("timestamp[, UTC]")) is None


def test_much_text_is_typed_in_several_goes():
    spec = ReadSpec((Column("a", parse_type("int8")), Column("b", parse_type("string"))))
    texts = [f"a,b\n{i},{'x' * 50}\nbad\n".encode() for i in range(9)]
    sources = [
        FileSource(f"f{i}", lambda text=text: io.BytesIO(text)) for i, text in enumerate(texts)
    ]
    alone = [chunk for source in sources for chunk in read_chunks(source, spec)]
    parts = [part for source in sources for part in read_untyped(source, spec)]
    with (
        patch("ess_dask.records.untyped.RUN_BYTES", 120),
        patch("ess_dask.records.untyped.type_plain", wraps=type_plain) as typed,
    ):
        together = type_chunks(parts)
    assert [len(call.args[0]) for call in typed.call_args_list] == [2, 2, 2, 2, 1]
    assert rows_and_rejects(together) == rows_and_rejects(alone)


def test_many_rejects_lie_in_several_pieces():
    from ess_dask.records.rejects import build_rejects

    rows = [(line, "", "bad", b"x") for line in range(10)]
    with patch("ess_dask.records.rejects.TABLE_ROWS", 3):
        assert build_rejects("f", rows).equals(build_rejects("f", rows[:10]))
        assert build_rejects("f", rows)["raw"].num_chunks == 4
