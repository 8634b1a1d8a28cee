"""Rows that the destination cannot hold: rejects with file and line, every row accounted for."""

from __future__ import annotations

import datetime as dt
import math
from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ess_dask.catalog.local import version_of
from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.clean.function import PythonStep
from ess_dask.clean.sql import SqlStep
from ess_dask.engine import aside, tally
from ess_dask.engine.model import Batch, Job, Unfit
from ess_dask.engine.sinks import Tee
from ess_dask.engine.work import process
from ess_dask.errors import DataError
from ess_dask.records.chunk import FileSource
from ess_dask.records.csv import read_chunks, read_rejected
from ess_dask.records.spec import Column, DataType, ReadSpec
from ess_dask.records.types import parse_type
from ess_dask.testing.loads import columns
from ess_dask.warehouse.redshift.limits import RedshiftCheck
from ess_dask.warehouse.staging import StagingSink

COLUMNS = columns(n="int32", s="string")
READ = ReadSpec(columns=COLUMNS)
CHECK = RedshiftCheck(COLUMNS)
LONG = "x" * 70_000


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text.encode())
    return FileRef(str(path), None, path.stat().st_size, version_of(path.stat()))


def work(tmp_path, files, check=CHECK, sinks=None, **changes):
    rejects = tmp_path / "rejects"
    rejects.mkdir(exist_ok=True)
    options = {"read": READ, **changes}
    job = Job(Datastore("l", str(tmp_path)), rejects_folder=str(rejects), check=check, **options)
    sinks = sinks or (StagingSink(str(tmp_path / "a")), StagingSink(str(tmp_path / "b")))
    result = process(Batch(0, tuple(files)), job, Tee(sinks))
    kept = [[pq.read_table(part.path).to_pylist() for part in parts] for parts in result.parts]
    rejected = pq.read_table(result.rejects).to_pylist() if result.rejects else []
    return result, [[row for rows in parts for row in rows] for parts in kept], rejected


def test_bad_rows_are_rejected_in_every_sink_with_line_and_reason(tmp_path):
    one = write(tmp_path, "one.csv", "n,s\n1,a\n2,b\0b\nx,c\n4,d\n")
    two = write(tmp_path, "two.csv", f's,n\n"{LONG}",5\n"e""\ne",6\n"f,\0",7\n')
    result, (a, b), rejected = work(tmp_path, [one, two])
    assert a == b
    assert [row["n"] for row in a] == [1, 4, 6]
    counts = [(c.read, c.kept, c.rejected, c.dropped) for c in result.counts]
    assert counts == [(4, 2, 2, 0), (3, 1, 2, 0)]
    assert dict(result.reasons) == {
        "n: not an int32": 1,
        "s: holds a NUL character": 2,
        "s: longer than 65,535 bytes": 1,
    }
    found = {(row["uri"], row["line"], row["column"]): row for row in rejected}
    assert sorted(found) == [
        (one.uri, 3, "s"),
        (one.uri, 4, "n"),
        (two.uri, 2, "s"),
        (two.uri, 5, "s"),
    ]
    assert found[one.uri, 3, "s"]["reason"] == r"holds a NUL character: 'b\x00b'"
    assert found[two.uri, 5, "s"]["raw"] == b'7,"f,\0"'
    assert found[two.uri, 5, "s"]["title"] == "n,s"


def test_a_file_in_many_chunks_keeps_its_lines(tmp_path):
    lines = [f"{n},{'bad' + chr(0) if n % 1000 == 7 else 'fine'}" for n in range(20_000)]
    file = write(tmp_path, "big.csv", "n,s\n" + "\n".join(lines) + "\n")
    small = ReadSpec(columns=COLUMNS, chunk_bytes=10_000)
    result, (a, _), rejected = work(tmp_path, [file], read=small)
    assert [row["line"] for row in rejected] == [n + 2 for n in range(7, 20_000, 1000)]
    assert (result.counts[0].read, result.counts[0].kept, result.counts[0].rejected) == (
        20_000,
        19_980,
        20,
    )
    assert len(a) == 19_980


@pytest.mark.slow
def test_many_rejects_leave_memory_and_come_back_in_order(tmp_path, monkeypatch):
    text = "n,s\n" + "".join(f"x{n},a\n" if n % 3 else f"{n},b\0\n" for n in range(3000))
    files = [write(tmp_path, f"{name}.csv", text) for name in "abc"]
    small = ReadSpec(columns=COLUMNS, chunk_bytes=2_000)
    expected = work(tmp_path, files, read=small)
    monkeypatch.setattr(aside, "HELD_BYTES", 10_000)
    monkeypatch.setattr(tally, "HELD_BYTES", 10_000)
    held = []
    take = tally.BatchTally.take_file
    monkeypatch.setattr(
        tally.BatchTally, "take_file", lambda self, each: (take(self, each), held.append(self.held))
    )
    result, kept, rejected = work(tmp_path, files, read=small)
    assert (result.reasons, kept, rejected) == (expected[0].reasons, *expected[1:])
    lines = sorted(row["line"] for row in rejected if row["uri"] == files[1].uri)
    assert lines == [*range(2, 3002)]
    assert len(held) == 3
    assert max(held) <= 10_000


def test_steps_in_between_do_not_hide_the_line(tmp_path):
    spoil = "select case when n = 3 then chr(0) else s end as s, n from records where n <> 2"
    steps = (SqlStep(spoil), SqlStep("select * from records where n > 0"))
    file = write(tmp_path, "one.csv", "n,s\n1,a\n2,b\n3,c\n")
    result, (a, _), rejected = work(tmp_path, [file], row_steps=steps)
    assert [row["n"] for row in a] == [1]
    assert [(row["line"], row["raw"]) for row in rejected] == [(4, b"3,c")]
    assert result.counts[0].dropped == 1


def test_rows_of_unknown_lines_are_rejected_as_they_are(tmp_path):
    def make(frame):
        return pd.DataFrame({"n": [1, 2], "s": ["a,a", "b\0"]}).astype({"n": "int32"})

    file = write(tmp_path, "one.csv", "n,s\n1,a\n")
    step = PythonStep.from_callable(make, per="file")
    result, (a, _), rejected = work(tmp_path, [file], row_steps=(step,))
    assert [row["s"] for row in a] == ["a,a"]
    assert [(row["line"], row["raw"]) for row in rejected] == [(0, b"2,b\0")]
    count = result.counts[0]
    assert (count.read, count.kept, count.rejected, count.dropped) == (1, 1, 1, -1)


ODD = ReadSpec(
    columns=(
        Column("t", parse_type("timestamp[%d.%m.%Y %H:%M:%S, Europe/Berlin]")),
        Column("gone", DataType("skip")),
        Column("d", parse_type("date[%Y%m%d]")),
        Column("p", parse_type("decimal(10,4)")),
        Column("b", parse_type("boolean")),
        Column("f", parse_type("float64")),
        Column("i", parse_type("timestamp")),
        Column("s", parse_type("string")),
        Column("y", parse_type("binary")),
    ),
    delimiter=";",
    header=False,
)


class Everything:
    def unfit(self, table):
        import numpy as np

        rows = np.arange(table.num_rows)
        return Unfit(rows, ["s"] * len(rows), ["no"] * len(rows))


@pytest.mark.parametrize("title", ["", "t;gone;d;p;b;f;i;s;y\n"])
def test_the_raw_text_can_be_read_again(tmp_path, title):
    row = (
        '01.09.2014 12:30:00;q;20140902;0.0001;true;1e300;2014-09-01 01:02:03.000004;"a;""b";xyz\n'
    )
    spec = ReadSpec(columns=ODD.columns, delimiter=";", header=bool(title))
    file = write(tmp_path, "odd.csv", title + row + ";;;;;;;;\n")
    open_it = partial(open, file.uri, "rb")
    (chunk,) = read_chunks(FileSource(file.uri, open_it), spec)
    result, _, rejected = work(tmp_path, [file], check=Everything(), read=spec)
    assert (result.counts[0].kept, result.counts[0].rejected) == (0, 2)
    (again,) = read_rejected(pq.read_table(result.rejects), spec)
    assert again.table == chunk.table
    assert [r["line"] for r in rejected] == list(chunk.lines)


def test_one_files_value_that_the_sink_refuses_fails_that_file_alone(tmp_path):
    files = [write(tmp_path, f"{n}.csv", f"n,s\n{n},a\n") for n in (1, 300, 3)]
    sinks = (StagingSink(str(tmp_path / "a")), StagingSink(str(tmp_path / "b"), columns(n="int8")))
    result, (a, b), _ = work(tmp_path, files, sinks=sinks)
    assert [row["n"] for row in a] == [row["n"] for row in b] == [1, 3]
    assert [bool(count.error) for count in result.counts] == [False, True, False]
    assert "'n'" in result.counts[1].error


def test_out_of_range_dates_are_found():
    check = RedshiftCheck(columns(d="date", t="timestamp", b="binary", u="uint64"))
    last = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001
    table = pa.table(
        {
            "d": pa.array([0, 2_932_897, None, 2_932_896], pa.date32()),
            "t": pa.array([None, last, dt.datetime(1, 1, 1), last], pa.timestamp("us")),  # noqa: DTZ001
            "b": pa.array([b"", b"1", b"2" * 1_024_001, b"3" * 1_024_000]),
            "u": pa.array([0, 1, 2, 2**64 - 1], pa.uint64()),
        }
    )
    unfit = check.unfit(table)
    assert unfit.rows.tolist() == [1, 2]
    assert unfit.columns == ["d", "b"]
    assert unfit.reasons[0] == "out of range for date: '10000-01-01'"
    assert unfit.reasons[1].startswith("longer than 1,024,000 bytes: '3232")
    beyond = table.set_column(1, "t", pa.array([-(2**62)] * 4, pa.timestamp("us")))
    assert check.unfit(beyond).columns == ["t", "d", "t", "t"]


def test_nulls_are_found_where_the_table_takes_none():
    check = RedshiftCheck(columns(n="int32", s="string", t="string"), required=("s", "n"))
    rows = {"n": [1, None, None, 4], "s": ["a", "b", None, "\0"], "t": [None] * 4}
    table = pa.table({name: pa.array(values) for name, values in rows.items()})
    unfit = check.unfit(table)
    assert (unfit.rows.tolist(), unfit.columns) == ([1, 2, 3], ["n", "n", "s"])
    assert unfit.reasons[:2] == ["null, and the table's column takes none"] * 2


def test_rows_longer_than_copy_takes_are_found():
    names = [f"b{n}" for n in range(5)]
    check = RedshiftCheck(columns(**dict.fromkeys(names, "binary")))
    table = pa.table({name: [b"x" * 1_000_000, b"y", None] for name in names})
    unfit = check.unfit(table)
    assert (unfit.rows.tolist(), unfit.columns) == ([0], [""])
    assert unfit.reasons == ["row longer than 4,194,304 bytes"]


def test_slices_and_other_kinds_of_text_are_looked_at():
    table = pa.table({"s": pa.array(["\0", "a", "b\0", "c"], pa.large_string())}).slice(1)
    assert RedshiftCheck(columns(s="string", gone="int8")).unfit(table).rows.tolist() == [1]
    encoded = pa.table({"s": table["s"].dictionary_encode()})
    assert RedshiftCheck(columns(s="string")).unfit(encoded).rows.tolist() == [1]
    wrong = pa.table({"s": [[1]]})
    assert RedshiftCheck(columns(s="string")).unfit(wrong).rows.tolist() == []


def test_nested_values_that_json_parse_does_not_read():
    values = [
        {"n": 1.5, "s": 'NaN, \\u0000 "Infinity'}, {"n": math.nan, "s": "a"},
        {"n": -math.inf, "s": ""}, None, {"n": 0.0, "s": 'a\\"\0'}, {"n": None, "s": "\\\\"},
    ]  # fmt: skip
    found = RedshiftCheck((Column("v", DataType("nested")),)).unfit(pa.table({"v": values}))
    assert found.rows.tolist() == [1, 2, 4]
    why = "holds NaN or an infinity, which no SUPER can: "
    assert [reason.startswith(why) for reason in found.reasons] == [True, True, False]
    assert found.reasons[2].startswith("holds a NUL character: ")


def test_a_map_with_a_key_twice_is_no_json():
    twice = pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int32()))
    with pytest.raises(DataError, match="cannot become JSON"):
        RedshiftCheck((Column("v", DataType("nested")),)).unfit(pa.table({"v": twice}))
