"""Reading delimited text: titles, types, encodings, line ends, long lines, real files."""

from __future__ import annotations

import gzip
import io
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ess_dask.errors import ColumnsError, ConfigError, ReadError
from ess_dask.records.chunk import FileSource
from ess_dask.records.columnspec import parse_columnspec
from ess_dask.records.csv import read_chunks
from ess_dask.records.rejects import RAW_LIMIT
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.types import arrow_type, parse_type

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
WOOD = SHARED / "essentia" / "data" / "woodworking" / "diy_woodworking"
real_files = pytest.mark.skipif(not WOOD.exists(), reason="the woodworking files are not here")


def columns(**types) -> tuple[Column, ...]:
    return tuple(Column(name, parse_type(text)) for name, text in types.items())


def read(data: bytes, spec: ReadSpec):
    """Return (rows, rejects, lines) of one file."""
    chunks = list(read_chunks(FileSource("lake/f.csv", lambda: io.BytesIO(data)), spec))
    rows = [row for chunk in chunks for row in chunk.table.to_pylist()]
    rejects = [row for chunk in chunks for row in chunk.rejects.to_pylist()]
    lines = [line for chunk in chunks for line in chunk.lines.tolist()]
    for chunk in chunks:
        assert [field.type for field in chunk.table.schema] == [
            arrow_type(column.type) for column in spec.columns if column.type.name != "skip"
        ]
        assert chunk.rows_read == chunk.table.num_rows + chunk.rejects.num_rows
    return rows, rejects, lines


AB = columns(a="int32", b="string")


# Titles


def test_columns_are_found_by_name_in_any_order_and_case():
    rows, rejects, lines = read(b" B ,x,A\none,0,1\ntwo,0,2\n", ReadSpec(AB))
    assert rows == [{"a": 1, "b": "one"}, {"a": 2, "b": "two"}]
    assert (rejects, lines) == ([], [2, 3])


def test_a_quoted_title_with_a_line_end_and_a_byte_order_mark():
    rows, _, lines = read(b'\xef\xbb\xbf"a","b","note\nmore"\r\n1,x,\r\n', ReadSpec(AB))
    assert (rows, lines) == ([{"a": 1, "b": "x"}], [3])


def test_every_mismatch_of_a_title_is_told_at_once():
    spec = ReadSpec(columns(a="int32", b="string", c="date"), extra_columns="fail")
    with pytest.raises(ColumnsError) as caught:
        read(b"a,x,A,y\n1,2,3,4\n", spec)
    for part in (
        "lake/f.csv",
        "'b' is missing",
        "'c' is missing",
        "'a' stands 2 times",
        "'x' is not",
        "'y' is not",
    ):
        assert part in caught.value.message


def test_extra_columns_are_ignored_unless_refused():
    data = b"b,extra,a\nx,?,1\n"
    assert read(data, ReadSpec(AB))[0] == [{"a": 1, "b": "x"}]
    with pytest.raises(ColumnsError, match="'extra' is not declared"):
        read(data, ReadSpec(AB, extra_columns="fail"))
    skipping = (*AB, *parse_columnspec("X:Extra"))
    assert read(data, ReadSpec(skipping, extra_columns="fail"))[0] == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize("separator", [";", "\t", "|", ":", "^", " "])
def test_a_wrong_delimiter_is_guessed(separator):
    with pytest.raises(ColumnsError) as caught:
        read(f"a{separator}b\n1{separator}x\n".encode(), ReadSpec(AB))
    assert f"separated by {separator!r}, not ','" in caught.value.hint


def test_a_file_without_its_title_says_so():
    with pytest.raises(ColumnsError) as caught:
        read(b"1,x\n2,y\n", ReadSpec(AB))
    assert "header: false" in caught.value.hint


@pytest.mark.parametrize(
    ("title", "says"),
    [
        (b'a,b"\n1,2\n', "stray quote"),
        (b"a,\xff\n1,2\n", "invalid UTF-8 at byte 2"),
        (b'"a,b\n1,2\n', "not closed"),
    ],
)
def test_a_title_that_cannot_be_read(title, says):
    with pytest.raises(ColumnsError, match=says):
        read(title, ReadSpec(AB))


@pytest.mark.parametrize(
    "data", [b"", b"\xef\xbb\xbf", b"a,b", b"a,b\n", b"a,b\r\n", gzip.compress(b"", mtime=0)]
)
@pytest.mark.parametrize("header", [True])
def test_a_file_without_rows_gives_an_empty_typed_table(data, header):
    assert read(data, ReadSpec(AB, header=header)) == ([], [], [])


def test_without_a_title_columns_go_by_position_and_skipped_ones_count():
    spec = ReadSpec(parse_columnspec("I:a X S:b X:c"), header=False)
    rows, rejects, _ = read(b"1,?,x,?\n2,y\n", spec)
    assert rows == [{"a": 1, "b": "x"}]
    assert rejects == [
        {
            "uri": "lake/f.csv",
            "member": "",
            "line": 2,
            "column": "",
            "reason": "too few fields (2 of 4)",
            "raw": b"2,y",
            "title": "",
        }
    ]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "é", "\0"])
def test_a_bad_delimiter_is_told(delimiter):
    with pytest.raises(ConfigError, match="delimiter"):
        read(b"", ReadSpec(AB, delimiter=delimiter))


def test_no_column_and_doubled_columns_are_told():
    with pytest.raises(ConfigError, match="no column"):
        read(b"", ReadSpec(parse_columnspec("X X:a")))
    with pytest.raises(ConfigError, match="declared twice: A, a"):
        read(b"", ReadSpec(columns(a="string", A="string")))


# Rows that are refused


def test_every_kind_of_bad_row_is_told_with_its_line():
    data = b'a,b\n1,x\n\n2\n3,x,y\nTBD,x\n4,p"q\n5,"x"y\n6,\xff\n9999999999,x\n7,"never\n8,z'
    rows, rejects, lines = read(data, ReadSpec(AB))
    assert [(row["a"], line) for row, line in zip(rows, lines, strict=True)] == [(1, 2), (8, 12)]
    assert [(r["line"], r["column"], r["reason"]) for r in rejects] == [
        (3, "", "blank line"),
        (4, "", "too few fields (1 of 2)"),
        (5, "", "too many fields (3 of 2)"),
        (6, "a", "not an int32: 'TBD'"),
        (7, "", "stray quote in an unquoted field"),
        (8, "", "text after a closing quote"),
        (9, "", "invalid UTF-8 at byte 38"),
        (10, "a", "out of range for int32: '9999999999'"),
        (11, "", "quote not closed"),
    ]
    assert [r["raw"] for r in rejects][3:6] == [b"TBD,x", b'4,p"q', b'5,"x"y']


def test_the_first_failing_column_in_declared_order_is_named():
    spec = ReadSpec(columns(d="date", b="boolean", n="int8"))
    _, rejects, _ = read(b"n,b,d\nx,x,2014-01-01\n300,yes,x\nx,1,2014-01-01\n", spec)
    assert [(r["column"], r["reason"]) for r in rejects] == [
        ("b", "not a boolean: 'x'"),
        ("d", "not a date: 'x'"),
        ("n", "not an int8: 'x'"),
    ]


def test_long_values_are_cut_in_reasons():
    _, (reject,), _ = read(b"a,b\n" + b"x" * 500 + b",y\n", ReadSpec(AB))
    assert len(reject["reason"]) < 120
    assert len(reject["raw"]) == 502


@pytest.mark.parametrize("chunk", [1000, 1 << 20])
@pytest.mark.parametrize(
    "length", [RAW_LIMIT - 1, RAW_LIMIT, RAW_LIMIT + 1, RAW_LIMIT + 2, 300_000]
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_that_is_too_long_is_refused_and_cut(chunk, length, end):
    data = b"a,b" + end + b"1," + b"x" * (length - 2) + end + b"2,y" + end
    spec = ReadSpec(AB, max_record_bytes=1000, chunk_bytes=chunk)
    rows, (reject,), lines = read(data, spec)
    assert (rows, lines) == ([{"a": 2, "b": "y"}], [3])
    assert reject["reason"] == "record longer than 1000 bytes"
    assert reject["raw"] == (b"1," + b"x" * length)[: min(RAW_LIMIT, length)]


def test_an_endless_line_takes_bounded_memory():
    def blocks():
        yield b"a,b\n1,"
        for _ in range(200):
            yield b"x" * (1 << 20)
        yield b"\n2,y\n"

    import tracemalloc

    spec = ReadSpec(AB, chunk_bytes=1 << 20)
    tracemalloc.start()
    chunks = list(read_chunks(FileSource("f", io.BytesIO), spec, blocks()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(chunk.table.num_rows for chunk in chunks) == 1
    assert [r["line"] for chunk in chunks for r in chunk.rejects.to_pylist()] == [2]
    assert peak < 40 << 20


def test_a_200_kb_field_is_data():
    data = b'a,b\n1,"' + b"y\n" * 100_000 + b'"\n2,z\n'
    rows, rejects, lines = read(data, ReadSpec(AB, chunk_bytes=5000))
    assert ([len(row["b"]) for row in rows], lines, rejects) == ([200_000, 1], [2, 100_003], [])


BROKEN = {
    "stray": b'1,a"b\n',
    "open": b'1,"ab\n',
    "after": b'1,"a"b\n',
    "lone": b'"\n',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_many_broken_quotes_cost_no_more_than_their_number(kind):
    """Twice the text takes about twice the time, not four times."""
    unit = BROKEN[kind] + b'2,"good, quoted"\n3,plain text of a usual row\n' * 4

    def seconds(times: int) -> float:
        data = unit * times
        began = time.perf_counter()
        rows, rejects, _ = read(data, ReadSpec(AB, header=False))
        assert len(rows) + len(rejects) >= times
        assert len(rejects) >= times
        return time.perf_counter() - began

    seconds(100)
    small, large = seconds(2_000), seconds(16_000)
    assert large < 30 * small + 1


# Encodings and line ends


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "cp1252", "utf-8-sig"])
def test_a_declared_encoding(encoding):
    data = "a,b\n1,Łódź\n2,é\n" if "utf" in encoding else "a,b\n1,ü\n2,é\n"
    rows, rejects, _ = read(data.encode(encoding), ReadSpec(AB, encoding=encoding))
    assert [row["b"] for row in rows] == [line.split(",")[1] for line in data.split("\n")[1:3]]
    assert rejects == []


def test_utf16_is_known_by_its_mark():
    rows, _, _ = read("a,b\r\n1,é\r\n".encode("utf-16"), ReadSpec(AB))
    assert rows == [{"a": 1, "b": "é"}]


def test_what_does_not_decode_is_refused_by_row():
    data = "a,b\n1,x\n2,".encode("utf-16-le") + b"\x00\xdc" + "\n3,y\n".encode("utf-16-le")
    rows, rejects, _ = read(data, ReadSpec(AB, encoding="utf-16-le"))
    assert [row["a"] for row in rows] == [1, 3]
    assert [r["reason"].startswith("invalid UTF-8 at byte") for r in rejects] == [True]


def test_an_unknown_encoding_is_told():
    with pytest.raises(ConfigError, match="'klingon'"):
        read(b"a,b\n", ReadSpec(AB, encoding="klingon"))


@pytest.mark.parametrize(
    "data", [b"a,b\r1,x\r2,y\r", b"a,b\r1,x\r2,y", b"a,b\r\n1,x\n2,y\r\n", b"a,b\n1,x\r\n2,y"]
)
def test_line_ends(data):
    rows, rejects, lines = read(data, ReadSpec(AB))
    assert rows == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert (rejects, lines) == ([], [2, 3])


def test_nul_bytes_are_data():
    assert read(b"a,b\n1,x\0y\n", ReadSpec(AB))[0] == [{"a": 1, "b": "x\0y"}]


# Blanks


def test_a_blank_is_null():
    spec = ReadSpec(
        columns(s="string", i="int64", f="float32", d="date", t="timestamp", k="boolean")
    )
    rows, rejects, _ = read(b's,i,f,d,t,k\n,,,,,\n"","","","","",""\nx, ,\t,  , , \n', spec)
    assert rejects == []
    assert [list(row.values()) for row in rows] == [[None] * 6, [None] * 6, ["x", *[None] * 5]]


def test_essentia_blanks_are_zero_and_empty():
    spec = ReadSpec(parse_columnspec("S:s F:f L:l LS:m I:i IS:j IP:p"), header=False, blank="zero")
    rows, rejects, _ = read(b",,,,,,\n-,1,-,-,-,-,\nx,-,1,1,1,1,1.2.3.4\n", spec)
    assert rows[0] == {"s": "", "f": 0.0, "l": 0, "m": 0, "i": 0, "j": 0, "p": ""}
    assert rows[1] == {"s": "-", "f": 1.0, "l": 0, "m": 0, "i": 0, "j": 0, "p": ""}
    assert [(r["column"], r["reason"]) for r in rejects] == [("f", "not a float64: '-'")]


def test_a_lone_minus_is_no_number_outside_essentia():
    _, (reject,), _ = read(b"a,b\n-,x\n", ReadSpec(AB))
    assert reject["reason"] == "not an int32: '-'"


def test_a_missing_file_is_a_read_error():
    def gone():
        raise FileNotFoundError

    with pytest.raises(ReadError, match="lake/x: the file is gone"):
        list(read_chunks(FileSource("lake/x", gone), ReadSpec(AB)))


# The real files


def totals(kind: str, spec: ReadSpec) -> tuple[int, Counter[str]]:
    good, reasons = 0, Counter()
    for path in sorted(WOOD.glob(f"{kind}_*.gz")):
        for chunk in read_chunks(FileSource(str(path), lambda path=path: path.open("rb")), spec):
            good += chunk.table.num_rows
            reasons.update(chunk.rejects["reason"].to_pylist())
    return good, reasons


@real_files
@pytest.mark.parametrize("blank", ["null", "zero"])
def test_woodworking_with_the_probed_columns(blank):
    browse = parse_columnspec("S:eventDate I:userID S:articleID")
    purchase = parse_columnspec("S:purchaseDate I:userID I:articleID F:price S:refID")
    assert totals("browse", ReadSpec(browse, blank=blank)) == (299_725, Counter())
    assert totals("purchase", ReadSpec(purchase, blank=blank)) == (41_031, Counter())


@real_files
def test_woodworking_purchases_with_integer_references():
    types = columns(
        purchaseDate="timestamp", userID="string", articleID="int32", price="float64", refID="int32"
    )
    assert totals("purchase", ReadSpec(types)) == (40_373, Counter({"not an int32: 'TBD'": 658}))


def test_by_position_the_title_is_only_skipped():
    spec = ReadSpec(parse_columnspec("S:who X I:n"), by_position=True, blank="zero")
    rows, rejects, lines = read(b"Name,Middle,Count\nann,x,1\nbob,y,\nc,2\n", spec)
    assert rows == [{"who": "ann", "n": 1}, {"who": "bob", "n": 0}]
    assert lines == [2, 3]
    assert [reject["reason"] for reject in rejects] == ["too few fields (2 of 3)"]


def test_by_position_a_title_in_another_order_is_no_title_of_these_columns():
    spec = ReadSpec(parse_columnspec("S:who X:_2nd S:n_of_it"), by_position=True)
    assert len(read(b"who,2nd,n of it\na,b,c\n", spec)[0]) == 1
    for data in (b"n of it,2nd,WHO\na,b,c\n", b'"2nd","who","n of it"\na,b,c\n'):
        for header in (True, None):
            with pytest.raises(ColumnsError, match=r"f\.csv: the title names .* another order"):
                read(data, replace(spec, header=header))
    # A column that nobody named may stand anywhere, and other names are other columns.
    assert len(read(b"2nd,x,y\na,b,c\n", spec)[0]) == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_title_that_nobody_spoke_of_is_known_by_its_names(end, quote):
    spec = ReadSpec(parse_columnspec("S:k S:v"), by_position=True, header=None)

    def text(*records: bytes) -> bytes:
        return b"".join(b",".join(quote + f + quote for f in r.split(b",")) + end for r in records)

    rows = [{"k": "1", "v": "a"}, {"k": "k", "v": "v"}]
    assert read(text(b"1,a", b"k,v"), spec) == (rows, [], [1, 2])
    assert read(text(b"K, v", b"1,a", b"k,v"), spec) == (rows, [], [2, 3])
    assert read(text(b"x,1,2", b"1,a", b"k,v"), spec)[2] == [2, 3]
