"""Rejects kept and counted; tables written for people and programs."""

from __future__ import annotations

import io
import json
import stat
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ess_dask.errors import UsageError
from ess_dask.records.chunk import REJECT_FIELDS
from ess_dask.records.rejects import (
    RAW_LIMIT,
    build_rejects,
    count_reasons,
    quote_value,
    reason_class,
    reject_schema,
    write_rejects,
)
from ess_dask.records.writers import write_csv, write_table

ROWS = [
    (3, "refID", "not an int32: 'TBD'", b"1,TBD"),
    (9, "refID", "not an int32: \"a: 'b'\"", b"1,x"),
    (10, "", "too few fields (3 of 5)", b"1,2,3"),
    (12, "", "too few fields (4 of 5)", b"\xff\0"),
    (13, "", "invalid UTF-8 at byte 123", b"\xff"),
]


def test_rejects_have_the_declared_fields():
    table = build_rejects("lake/f", ROWS)
    assert tuple(table.column_names) == REJECT_FIELDS
    assert table.schema == reject_schema() == build_rejects("lake/f").schema
    assert table.to_pylist()[0] == {
        "uri": "lake/f",
        "member": "",
        "line": 3,
        "column": "refID",
        "reason": "not an int32: 'TBD'",
        "raw": b"1,TBD",
        "title": "",
    }


def test_rejects_know_the_member_and_the_title_of_their_file():
    table = build_rejects("all.zip", ROWS, member="a.csv", title="x,y")
    assert table["member"].to_pylist() == ["a.csv"] * len(ROWS)
    assert table["title"].to_pylist() == ["x,y"] * len(ROWS)
    assert table["title"].chunk(0).dictionary.to_pylist() == ["x,y"]


def test_raw_is_cut():
    table = build_rejects("f", [(1, "", "record longer", b"x" * (RAW_LIMIT + 10))])
    assert len(table["raw"][0].as_py()) == RAW_LIMIT


def test_reasons_are_counted_without_their_values():
    assert count_reasons(build_rejects("f", ROWS)) == {
        "refID: not an int32": 2,
        "too few fields": 2,
        "invalid UTF-8": 1,
    }
    assert count_reasons(build_rejects("f")) == {}


@pytest.mark.parametrize(
    ("reason", "column", "kind"),
    [
        ("not a timestamp[%H: 'x']: 'TBD'", "t", "t: not a timestamp[%H"),
        ("blank line", "", "blank line"),
        ("out of range for int8: '300'", "n", "n: out of range for int8"),
        ("record longer than 1048576 bytes", "", "record longer than 1048576 bytes"),
    ],
)
def test_the_class_of_a_reason(reason, column, kind):
    assert reason_class(reason, column) == kind


def test_values_in_reasons_are_escaped_and_short():
    assert quote_value("a\nb\x1b[0m") == "'a\\nb\\x1b[0m'"
    assert len(quote_value("x" * 1000)) == 82


def test_rejects_are_written_whole_and_private(tmp_path):
    path = tmp_path / "rejects.parquet"
    tables = [build_rejects("a", ROWS), build_rejects("b"), build_rejects("c", ROWS[:1])]
    assert write_rejects(path, tables) == 6
    back = pq.read_table(path)
    assert back.equals(pa.concat_tables(tables))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_no_rejects_are_an_empty_file(tmp_path):
    assert write_rejects(tmp_path / "r", []) == 0
    assert pq.read_table(tmp_path / "r").schema == reject_schema()


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "rejects.parquet"
    write_rejects(path, [build_rejects("a", ROWS)])
    before = path.read_bytes()

    def tables():
        yield build_rejects("b", ROWS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rejects(path, tables())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


TABLE = pa.table(
    {
        "s": ['say "hi"', "", None],
        "n": pa.array([1, None, -3], pa.int32()),
        "f": [0.1, 89.0, float("inf")],
        "d": pa.array([Decimal("1.50"), None, None], pa.decimal128(5, 2)),
        "t": pa.array([datetime(2014, 9, 1, 0, 0, 2), None, None], pa.timestamp("us")),  # noqa: DTZ001
        "day": [date(2014, 9, 1), None, None],
        "b": [True, False, None],
        "raw": [b"\xff\x00", b"", None],
    }
)


def written(format_: str, table: pa.Table = TABLE) -> bytes:
    out = io.BytesIO()
    write_table(table, out, format_)
    return out.getvalue()


def test_csv():
    assert written("csv").decode().splitlines() == [
        '"s","n","f","d","t","day","b","raw"',
        '"say ""hi""",1,0.10000000000000001,1.50,"2014-09-01T00:00:02","2014-09-01",true,"/wA="',
        ",,89,,,,false,",
        ",-3,inf,,,,,",
    ]


def test_csv_without_a_title_and_of_no_rows():
    out = io.BytesIO()
    write_csv(TABLE.select(["n"]), out, title=False)
    assert out.getvalue() == b"1\n\n-3\n"
    assert written("csv", TABLE.slice(0, 0)).count(b"\n") == 1


def test_json_and_ndjson_hold_the_same_rows():
    lines = [json.loads(line) for line in written("ndjson").splitlines()]
    assert json.loads(written("json")) == lines
    assert lines[0] == {
        "s": 'say "hi"',
        "n": 1,
        "f": 0.1,
        "d": "1.50",
        "t": "2014-09-01T00:00:02",
        "day": "2014-09-01",
        "b": True,
        "raw": "/wA=",
    }
    assert lines[2]["f"] is None
    assert json.loads(written("json", TABLE.slice(0, 0))) == []


def test_parquet_comes_back():
    assert pq.read_table(io.BytesIO(written("parquet"))).equals(TABLE)


def test_an_unknown_format_is_told():
    with pytest.raises(UsageError, match="'xls'") as caught:
        written("xls")
    assert "parquet" in caught.value.hint
