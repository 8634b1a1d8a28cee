"""Parts for Redshift on the worker: types, order, limits, CSV, and how they are to be divided."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import math
import pickle
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import ConfigError, DataError, UsageError
from ess_dask.records.rejects import build_rejects, write_rejects
from ess_dask.records.types import arrow_type
from ess_dask.testing.loads import columns, every_type
from ess_dask.warehouse.model import StagedPart
from ess_dask.warehouse.redshift import sideload
from ess_dask.warehouse.redshift.balance import LEAST_BYTES, plan_division
from ess_dask.warehouse.redshift.csv_part import null_marker, read_csv, write_csv
from ess_dask.warehouse.redshift.place import FileForm
from ess_dask.warehouse.redshift.sideload import _fitted
from ess_dask.warehouse.redshift.staging import RedshiftShape, RedshiftSink

FILES = tuple(FileRef(f"s3://lake/żółw {n}.csv", None, 10, "e") for n in range(4))
EVERY = every_type()
EVERY_ROW = pa.table({c.name: pa.array(v, arrow_type(c.type)) for c, v in EVERY.items()})


def sink(*found, **options):
    return RedshiftSink("/nowhere", "s3://bucket/stage/l1", "l1", found, **options)


def piece(table, *files):
    file_of = np.arange(table.num_rows) * len(files) // max(table.num_rows, 1)
    return Piece(table, files, file_of.astype(np.int32))


def one(values, kind, **options):
    """Return the column of a part that these values of one file become."""
    arrow = values if isinstance(values, pa.Array) else pa.array(values)
    shape = RedshiftShape(sink(*columns(n=kind), **options))
    return shape.rows(piece(pa.table({"n": arrow}), FILES[0]))["n"]


def test_columns_have_the_types_that_redshift_stores():
    shape = RedshiftShape(sink(*EVERY, ordered=True, direct=True))
    table = shape.rows(piece(EVERY_ROW, *FILES[:2]))
    assert [str(kind) for kind in table.schema.types] == [
        *("int16", "int16", "int16", "int32", "int32", "int64", "int64", "decimal128(20, 0)"),
        *("float", "double", "decimal128(38, 10)", "decimal128(38, 0)", "decimal128(5, 2)"),
        *("bool", "string", "binary", "date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]"),
        "dictionary<values=string, indices=int32, ordered=0>",
        "int64",
        "dictionary<values=string, indices=int32, ordered=0>",
    ]
    assert table.schema == shape.schema
    assert table.column_names[-3:] == ["_ess_file", "_ess_order", "_ess_load"]
    assert table["c07"].to_pylist() == [0, 2**64 - 1, 1, None]
    assert table["_ess_file"].to_pylist() == [FILES[0].uri] * 2 + [FILES[1].uri] * 2
    assert table["_ess_load"].to_pylist() == ["l1"] * 4


def test_order_grows_within_a_file_and_begins_anew_when_it_is_forgotten():
    shape = RedshiftShape(sink(*columns(n="int8"), ordered=True))
    rows = piece(pa.table({"n": pa.array([1, 2, 3], pa.int8())}), FILES[0])

    def order():
        return shape.rows(rows)["_ess_order"].to_pylist()

    assert (order(), order()) == ([0, 1, 2], [3, 4, 5])
    shape.forget(FILES[0].uri)
    assert order() == [0, 1, 2]
    both = piece(pa.table({"n": pa.array([1, 2, 3, 4], pa.int8())}), FILES[1], FILES[2])
    assert shape.rows(both)["_ess_order"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_timestamps_of_any_unit_become_microseconds(unit):
    found = one(pa.array([10**9], pa.timestamp(unit)), "timestamp")
    assert found.type == pa.timestamp("us")
    exact = {"s": 10**15, "ms": 10**12, "ns": 10**6}[unit]
    assert found.cast(pa.int64()).to_pylist() == [exact]


def test_zones_become_utc():
    local = pa.array([dt.datetime(2014, 9, 1, 10, tzinfo=dt.UTC)], pa.timestamp("us", "Asia/Tokyo"))
    found = one(local, "timestamp[, Europe/Berlin]")
    assert found.type == pa.timestamp("us", "UTC")
    assert found.cast(pa.int64()).to_pylist() == local.cast(pa.int64()).to_pylist()


BAD = {
    "nanoseconds": (pa.array([0, 0, 1001], pa.timestamp("ns")), "timestamp", "00:00:00.000001001"),
    "fraction": (pa.array([1.0, 2.0, 1.5]), "int32", "1.5"),
    "digits": (pa.array([Decimal(1), Decimal(2), Decimal(1234567)]), "decimal(5,2)", "1234567"),
    "text": (pa.array(["1", "2", "TBD"]), "int32", "TBD"),
    "year": (pa.array([0, 0, 2_932_897], pa.date32()), "date", "10000-01-01"),
    "long": (pa.array(["", "x" * 65_535, "ż" * 32_768]), "string", "longer than 65,535 bytes"),
    "nul": (pa.array(["", "b", "c\0"]), "string", r"NUL character: 'c\x00'"),
    "bytes": (pa.array([b"", b"x" * 1_024_000, b"x" * 1_024_001]), "binary", "1,024,000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_value_without_a_place_is_named_with_its_file_and_row(name):
    values, kind, shown = BAD[name]
    with pytest.raises(DataError) as error:
        one(values, kind)
    assert error.value.message.startswith(f"{FILES[0].uri}, row 3: column 'n': ")
    assert shown in error.value.message
    assert len(error.value.message) < 300


def test_rows_are_counted_within_their_file():
    shape = RedshiftShape(sink(*columns(s="string")))
    shape.rows(piece(pa.table({"s": ["a", "b"]}), FILES[1]))
    with pytest.raises(DataError, match=r"1\.csv, row 4: column 's'.*\(and 1 more rows\)"):
        shape.rows(piece(pa.table({"s": ["c", "d\0", "\0"]}), FILES[1]))
    with pytest.raises(DataError, match=r"3\.csv, row 2: column 's'"):
        shape.rows(piece(pa.table({"s": ["a", "b", "c", "\0"]}), FILES[2], FILES[3]))


def test_a_null_that_the_table_does_not_take_is_named():
    shape = RedshiftShape(sink(*columns(s="string"), required=("s",)))
    with pytest.raises(DataError, match=r"1\.csv, row 2: column 's': null, .* takes none"):
        shape.rows(piece(pa.table({"s": ["a", None]}), FILES[1]))


def test_what_goes_along_is_cut_only_where_it_is_too_long():
    texts = ["x" * 10, "żó" * 2, "ż" * 6, None, "a\0"]
    cut = _fitted(pa.table({"t": texts}), "t", "VARCHAR(10)").to_pylist()
    assert cut == ["x" * 10, "żó" * 2, "ż" * 2, None, "a\\0"]


def test_what_goes_along_is_written_some_rows_at_a_time(tmp_path, monkeypatch):
    put = {}

    def publish(place, finished):
        for path, name in finished:
            put[name] = pq.read_metadata(path).num_row_groups, pq.read_table(path).to_pylist()
        return [(f"s3://b/{name}", 1) for _, name in finished]

    monkeypatch.setattr(sideload.S3Place, "publish", publish)
    monkeypatch.setattr(sideload, "_ROWS", 2)
    paths, rows = [], []
    for uri in ("a", "b"):
        bad = [(line, "", "why", b"raw") for line in range(3)]
        write_rejects(tmp_path / uri, [build_rejects(uri, bad, title="n")])
        paths.append(str(tmp_path / uri))
        rows += [(uri, line, b"raw", "n") for line, *_ in bad]
    side = sideload.Side(
        "rejects",
        (
            ("uri", "VARCHAR(9)"),
            ("line", "BIGINT"),
            ("raw", "VARBYTE(9)"),
            ("title", "VARCHAR(9)"),
            ("new", "VARCHAR(9)"),
        ),
    )
    part = sideload.stage_side(side, paths, "s3://bucket/stage/l", FileForm(), "l")
    groups, found = put["rejects"]
    assert (part.rows, groups) == (6, 4)
    assert [tuple(row.values()) for row in found] == [(*row, "") for row in rows]


def test_columns_that_are_missing_or_of_no_use_are_named():
    shape = RedshiftShape(sink(*columns(n="int32")))
    for table in (pa.table({"m": [1]}), pa.table({"n": [[1]]})):
        with pytest.raises(DataError, match="'n'"):
            shape.rows(piece(table, FILES[0]))


def test_sinks_that_cannot_work_are_refused():
    with pytest.raises(UsageError, match="columns that are known"):
        RedshiftShape(sink())
    with pytest.raises(ConfigError, match=r"'d'.*37"):
        RedshiftShape(sink(*columns(d="decimal(38,38)")))
    with pytest.raises(ConfigError, match="same name"):
        RedshiftShape(sink(*columns(a="int8", A="int8")))


def test_a_sink_travels(tmp_path):
    made = RedshiftSink(str(tmp_path / "stage"), "s3://bucket/stage/l1", "l1", columns(n="int8"))
    assert pickle.loads(pickle.dumps(made)) == made
    writer = made.open(Batch(0, FILES))
    writer.write(piece(pa.table({"n": [1]}), FILES[0]))
    writer.abort()
    assert list((tmp_path / "stage").iterdir()) == []


def written(tmp_path, table, load_id="l1"):
    """Write rows as a CSV part; return its path and text."""
    source, target = tmp_path / "part.parquet", tmp_path / "part.csv.gz"
    pq.write_table(table, source)
    write_csv(source, target, load_id)
    return target, gzip.decompress(target.read_bytes()).decode()


def test_csv_is_read_back_by_others_and_by_us(tmp_path):
    shape = RedshiftShape(sink(*EVERY, ordered=True, direct=True))
    table = shape.rows(piece(EVERY_ROW, *FILES[:2]))
    path, text = written(tmp_path, table)
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == 4
    assert all(len(row) == table.num_columns for row in rows)
    assert rows[3][:19] == [null_marker("l1")] * 19
    first = dict(zip(table.column_names, rows[0], strict=True))
    assert (first["c07"], first["c08"], first["c13"], first["c14"]) == ("0", "NaN", "true", "")
    assert (rows[1][8], rows[1][9]) == ("Infinity", "-Infinity")
    assert float(rows[2][9]) == 1.7976931348623157e308
    assert [row[14] for row in rows[:3]] == EVERY_ROW["c14"].to_pylist()[:3]
    assert bytes.fromhex(rows[2][15]) == bytes(range(256))
    assert first["c10"] == "-9999999999999999999999999999.9999999999"
    assert (first["c16"], first["c17"]) == ("0001-01-01", "0001-09-01 12:30:00.000000")
    assert first["c18"] == "2014-09-01 12:30:00.000000+00"
    again = pa.concat_tables(read_csv(path, table.schema, "l1"))
    assert [same(a, b) for a, b in zip(again.columns, table.columns, strict=True)] == [True] * 22


def same(left, right):
    values = zip(left.to_pylist(), right.to_pylist(), strict=True)
    return all(a == b or (a != a and b != b) for a, b in values)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ODD = st.sampled_from(['"', ",", "\n", "\r", "\r\n", "", " ", "\\N", "null", "NULL", "\ufeff", "'"])


@given(st.lists(st.none() | TEXTS | ODD, min_size=1, max_size=20))
@settings(max_examples=60)
def test_texts_survive_csv(tmp_path_factory, texts):
    table = pa.table({"a": pa.array(texts, pa.string()), "b": pa.array(texts[::-1], pa.string())})
    path, text = written(tmp_path_factory.mktemp("csv"), table)
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    marker = null_marker("l1")
    assert [row[0] for row in rows] == [marker if value is None else value for value in texts]
    assert pa.concat_tables(read_csv(path, table.schema, "l1")) == table


@pytest.mark.slow
@given(st.lists(st.floats(), min_size=1), st.lists(st.floats(width=32), min_size=1))
@settings(max_examples=60)
def test_floats_survive_csv(tmp_path_factory, doubles, singles):
    for values, kind in ((doubles, pa.float64()), (singles, pa.float32())):
        table = pa.table({"f": pa.array(values, kind)})
        path, text = written(tmp_path_factory.mktemp("csv"), table)
        assert [float(line.strip('"')) for line in text.split()] == pytest.approx(
            values, rel=1e-7, nan_ok=True
        )
        again = pa.concat_tables(read_csv(path, table.schema, "l1"))["f"].to_pylist()
        for before, after in zip(table["f"].to_pylist(), again, strict=True):
            assert before == after or (math.isnan(before) and math.isnan(after))


def test_the_word_for_null_is_the_loads_own(tmp_path):
    assert null_marker("a") == null_marker("a") != null_marker("b")
    assert null_marker("l'1\n").replace("-", "").isalnum()
    with pytest.raises(DataError, match="column 's'"):
        written(tmp_path, pa.table({"s": ["x", null_marker("l1")]}))
    written(tmp_path, pa.table({"s": ["x", null_marker("l2")]}))


def part(megabytes, rows=10**6):
    return StagedPart("s3://b/p", rows, int(megabytes * LEAST_BYTES), ("u",))


@pytest.mark.parametrize(
    ("sizes", "slices", "wanted"),
    [
        ([64], 4, [4]),
        ([64, 64, 64], 4, [2, 1, 1]),
        ([64, 10, 64], 8, [4, 1, 3]),
        ([64] * 8, 4, [1] * 8),
        ([1.5], 4, [1]),
        ([3.5], 8, [3]),
        ([0.1] * 9, 4, [1] * 9),
        ([], 4, []),
        ([64], 1, [1]),
    ],
)
def test_the_largest_parts_are_divided(sizes, slices, wanted):
    assert plan_division([part(size) for size in sizes], slices) == wanted


@given(st.lists(st.floats(0.01, 70), max_size=30), st.integers(1, 40))
@settings(max_examples=100)
def test_divisions_reach_a_multiple_or_the_least_size(sizes, slices):
    parts = [part(size) for size in sizes]
    counts = plan_division(parts, slices)
    assert all(n == 1 or p.bytes / n >= LEAST_BYTES for p, n in zip(parts, counts, strict=True))
    reached = sum(counts) % slices == 0
    assert reached or all(
        p.bytes / (n + 1) < LEAST_BYTES for p, n in zip(parts, counts, strict=True)
    )
    assert sum(counts) < len(parts) + slices


def test_a_part_of_few_rows_is_not_divided_further():
    assert plan_division([part(64, rows=2)], 8) == [2]
