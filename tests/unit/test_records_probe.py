"""The structure of a sample: delimiter, title line, columns and types."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.records.columnspec import parse_columnspec
from ess_dask.records.probe import SAMPLE_BYTES, probe_bytes
from ess_dask.records.title import split_fields

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "essentia" / "data"
real_files = pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")


@pytest.mark.slow
@real_files
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("purchase", "S:purchaseDate I:userID I:articleID F:price S:refID"),
        # Every browse file holds TBD among its article ids: a mixed column is S.
        ("browse", "S:eventDate I:userID S:articleID"),
    ],
)
def test_woodworking(name, expected):
    for path in sorted((DATA / "woodworking" / "diy_woodworking").glob(f"{name}_*.gz")):
        found = probe_bytes(gzip.decompress(path.read_bytes())[:SAMPLE_BYTES])
        assert (found.columnspec, found.delimiter, found.header) == (expected, ",", True)


@real_files
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("donations", "S:lastname S:city I:donation"),
        ("exampledata", "F:float_col I:integer_col S:last_name S:first_name S:country"),
        ("chemistry", "I:studentid S:lastname S:firstname F:midterm S:final"),
        ("exchange", "S:currency F:rate"),
        ("grades", "S:grade S:result"),
        ("sales", "S:transaction_date S:currency F:amount"),
        ("whitelist", "S:city S:lastname"),
        ("zip", "S:Col_1"),
    ],
)
def test_the_manual_s_files(name, expected):
    assert probe_bytes((DATA / "etl" / f"{name}.csv").read_bytes()).columnspec == expected


@pytest.mark.parametrize(
    ("values", "letter", "type_name"),
    [
        (["1", "2"], "I", "int64"),
        (['"1"', "2"], "I", "int64"),
        (["1", "-2"], "IS", "int64"),
        (["1", "4294967296"], "L", "uint64"),
        (["-1", "4294967296"], "LS", "int64"),
        (["1", str(2**64)], "S", "string"),
        (["1", "2.5"], "F", "float64"),
        (["1e5", ".5"], "F", "float64"),
        (["01234", "5678"], "S", "string"),
        (["-007", "1.5"], "S", "string"),
        (["0", "-0", "0.5"], "F", "float64"),
        (["9007199254740993", "1.5"], "S", "string"),
        (["9007199254740992", "1.5"], "F", "float64"),
        (["9" * 400, "1.5"], "S", "string"),
        (["9007199254740993", "1"], "L", "uint64"),
        (["1", ""], "S", "int64"),
        (["1", "TBD"], "S", "string"),
        (["1.2.3.4", "255.0.0.1"], "IP", "string"),
        (["1.2.3.4", "256.0.0.1"], "S", "string"),
        (["1.2.3.4", "7"], "S", "string"),
        (["2014-09-01", "2014-02-28"], "S", "date"),
        (["2014-09-01", "2014-02-30"], "S", "string"),
        (["2014-09-01T00:00:02", "2014-09-01 01:02"], "S", "timestamp"),
        (["", ""], "S", "string"),
    ],
)
def test_the_type_of_a_column(values, letter, type_name):
    rows = "".join(f"name{i},{value}\n" for i, value in enumerate(values))
    (_, column) = probe_bytes(f"who,what\n{rows}".encode()).columns
    assert (column.name, column.letter, column.type_name) == ("what", letter, type_name)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", ":", "^"])
def test_the_delimiter(delimiter):
    rows = "\n".join(delimiter.join((f"user name {i}", str(i), f"{i}.5")) for i in range(20))
    found = probe_bytes(f"user{delimiter}n{delimiter}price\n{rows}\n".encode())
    assert (found.delimiter, found.columnspec) == (delimiter, "S:user I:n F:price")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_marks(end):
    text = end.join(["user,n", "x,1", '"y, z",2', ""])
    for encoding in ("utf-8-sig", "utf-16"):
        assert probe_bytes(text.encode(encoding)).columnspec == "S:user I:n"


def test_without_a_title_columns_are_numbered():
    found = probe_bytes(b"1,x,2.5\n2,y,3.5\n")
    assert (found.header, found.columnspec) == (False, "I:Col_1 S:Col_2 F:Col_3")
    assert found.to_type_names() == {"Col_1": "int64", "Col_2": "string", "Col_3": "float64"}


def test_titles_become_names_and_stay_as_titles():
    found = probe_bytes(b"user id,2nd%,user-id," + b"x" * 40 + b"\na,1,b,2\n")
    assert [c.name for c in found.columns] == ["user_id", "_2nd_", "user_id_3", "x" * 31]
    assert list(found.to_type_names())[:2] == ["user id", "2nd%"]


def test_a_title_line_decides_between_two_regular_delimiters():
    rows = [f"2014-09-01T00:00:{n:02},{n},1.99" for n in range(40)]
    rows[7] = "2014-09-01T00:00:07,7"
    text = "\n".join(["when,user,price", *rows, ""])
    found = probe_bytes(text.encode())
    assert (found.delimiter, found.header) == (",", True)
    assert found.to_type_names() == {"when": "timestamp", "user": "int64", "price": "float64"}


def test_dirt_does_not_hide_the_structure():
    good = b"".join(b"%d,u%d,%d.5\n" % (i, i, i) for i in range(100))
    found = probe_bytes(b"id,user,price\n" + good + b'1,"broken\n\n7,too,many,fields\n')
    assert found.columnspec == "I:id S:user F:price"


@pytest.mark.parametrize("sample", [b"", b"\n\n", b"\xef\xbb\xbf", b"  \n"])
def test_nothing_to_see(sample):
    found = probe_bytes(sample)
    assert (found.columns, found.columnspec, found.header) == ((), "", False)


def test_a_record_cut_off_by_the_sample_is_left_out():
    line = b"1234567,abc\n"
    sample = (b"n,s\n" + line * (SAMPLE_BYTES // len(line) + 1))[: SAMPLE_BYTES - 9] + b'1,"cut off'
    assert probe_bytes(sample).columnspec == "I:n S:s"


@given(st.lists(st.text('a",\n é', max_size=5), min_size=1, max_size=5), st.booleans())
def test_fields_of_a_title_come_back(fields, always):
    shown = [
        '"' + field.replace('"', '""') + '"' if always or set(field) & set('",\n') else field
        for field in fields
    ]
    assert split_fields(",".join(shown), ",") == fields


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=200), st.text('a1,;"\n\r\t |.-', max_size=80).map(str.encode)))
def test_any_sample_gives_a_valid_column_spec(sample):
    found = probe_bytes(sample)
    assert not found.columns or len(parse_columnspec(found.columnspec)) == len(found.columns)
