"""Layouts, segments and the sink: what an import writes before anything is published."""

import os
import resource
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import ColumnsError, EssError, ReadError, UsageError
from ess_dask.tables import segment as segment_module
from ess_dask.tables import sink as sink_module
from ess_dask.tables.layout import (
    ORDER,
    MergeRule,
    TableLayout,
    table_layout,
    variables_layout,
)
from ess_dask.tables.segment import SegmentWriter, read_partition
from ess_dask.tables.sink import SegmentSink, conform
from ess_dask.tables.specfile import parse_spec

SCHEMA = pa.schema([("k", pa.int64()), ("s", pa.string())])
LAYOUT = TableLayout(SCHEMA, ("k",), 4)
ORDERED = TableLayout(SCHEMA, ("k",), 4, ordered=True)


def rows(start, count):
    values = range(start, start + count)
    return pa.table([list(values), [f"row {v}" for v in values]], schema=SCHEMA)


def everything(segment, layout=LAYOUT):
    parts = [read_partition(segment.path, p, layout) for p in range(layout.partitions)]
    assert tuple(part.num_rows for part in parts) == segment.rows
    return pa.concat_tables(parts)


def keys(segments, layout=LAYOUT):
    return [k for s in segments for k in sorted(everything(s, layout)["k"].to_pylist())]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"key": ("x",)}, "no column x"),
        ({"sort": ("x",)}, "no column x"),
        ({"partitions": 0}, "not a number of partitions"),
        ({"partitions": 65537}, "not a number of partitions"),
        ({"key": ()}, "without a key has one partition"),
        ({"merge_key": ("s",), "merge": (MergeRule("k", "last"),)}, "merge_key begins with key"),
        ({"merge_key": ("k",)}, "has one merge rule"),
        ({"merge_key": ("k",), "merge": (MergeRule("s", "last"),) * 2}, "has one merge rule"),
        ({"schema": pa.schema([("k", pa.int8()), ("k", pa.int8())])}, "not distinct"),
        ({"schema": pa.schema([("k", pa.int8()), (ORDER, pa.int8())])}, "not distinct"),
        ({"schema": pa.schema([("k", pa.string_view())])}, "cannot regroup"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(arguments, says):
    with pytest.raises(UsageError, match=says):
        TableLayout(**{"schema": SCHEMA, "key": ("k",), **arguments})


def test_layouts_survive_as_text():
    spec = parse_spec("d", "@PKey: s:u\n@Table:t\n s,+key:p i,+add,+nozero:n f:x ip:a\n", "x")
    for layout in (
        LAYOUT,
        TableLayout(SCHEMA, ("k", "s"), 7, sort=("s",)),
        table_layout(spec, spec.tables[0]),
    ):
        assert TableLayout.from_json(layout.to_json()) == layout
        assert TableLayout.from_json(layout.to_json()).to_json() == layout.to_json()


def test_an_essentia_tables_layout_has_the_key_first_and_keeps_order():
    text = (
        "@Table:t\n ls:l i,tkey:t s,pkey:u l:b\n@Vector:v\n s,pkey:u i,+bor,+nozero:f f:x is:d\n"
        "@Var:\n i:runs s,+first:who\n"
    )
    spec = parse_spec("d", text, "x")
    table, vector = (table_layout(spec, t, 8) for t in spec.tables)
    assert table.schema.names == ["u", "l", "t", "b"] and table.ordered and not table.merges
    assert [str(t) for t in table.schema.types] == ["string", "int64", "uint32", "uint64"]
    assert vector.merge_key == ("u",) and vector.partitions == 8
    assert vector.merge == (
        MergeRule("f", "bor", nozero=True), MergeRule("x", "last"), MergeRule("d", "last"),
    )  # fmt: skip
    variables = variables_layout(spec)
    assert variables.partitions == 1 and variables.merges and variables.merge[1].how == "first"


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30), max_size=6), st.integers(1, 9), st.integers(1, 400))
def test_a_segment_gives_back_every_row_by_partition(tmp_path_factory, sizes, partitions, stripe):
    folder = tmp_path_factory.mktemp("segments")
    layout = TableLayout(SCHEMA, ("k",), partitions, ordered=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_module, "STRIPE_BYTES", stripe)
        writer = SegmentWriter(folder, layout)
        for number, size in enumerate(sizes):
            writer.add(rows(100 * number, size))
        segment = writer.close()
    got = everything(segment, layout).sort_by(ORDER)
    expected = [rows(100 * number, size) for number, size in enumerate(sizes)]
    assert got.select(["k", "s"]).equals(pa.concat_tables([SCHEMA.empty_table(), *expected]))
    assert got[ORDER].to_pylist() == list(range(sum(sizes)))
    with pa.OSFile(segment.path) as file, pa.ipc.open_file(file) as reader:
        assert reader.num_record_batches % partitions == 0


def test_the_rows_do_not_depend_on_the_stripe(tmp_path, monkeypatch):
    whole = SegmentWriter(tmp_path, LAYOUT)
    whole.add(rows(0, 100))
    monkeypatch.setattr(segment_module, "STRIPE_BYTES", 1)
    striped = SegmentWriter(tmp_path, LAYOUT)
    for start in range(0, 100, 10):
        striped.add(rows(start, 10))
    assert everything(whole.close()).equals(everything(striped.close()))


def test_nothing_is_visible_before_close_and_the_file_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr(segment_module, "STRIPE_BYTES", 1)
    writer = SegmentWriter(tmp_path / "new", LAYOUT)
    writer.add(rows(0, 10))
    assert [p.suffix for p in (tmp_path / "new").iterdir()] == [".tmp"]
    segment = writer.close((("uri", "etag"),))
    (file,) = (tmp_path / "new").iterdir()
    assert str(file) == segment.path and segment.sources == (("uri", "etag"),)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert segment.bytes == file.stat().st_size


def test_the_rows_stay_when_the_file_goes(tmp_path):
    writer = SegmentWriter(tmp_path, LAYOUT)
    writer.add(rows(0, 1000))
    segment = writer.close()
    table = everything(segment)
    with open(segment.path, "r+b") as file:
        file.write(b"\xff" * segment.bytes)
    os.unlink(segment.path)
    assert sorted(table["k"].to_pylist()) == list(range(1000))


@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "tail", "noise", "folder"])
def test_a_damaged_segment_is_named(tmp_path, harm):
    writer = SegmentWriter(tmp_path, LAYOUT)
    writer.add(rows(0, 1000))
    path = Path(writer.close().path)
    whole = path.read_bytes()
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm != "missing":
        broken = {
            "empty": b"",
            "cut": whole[: len(whole) // 2],
            "tail": whole[:-1],
            "noise": os.urandom(len(whole)),
        }
        path.write_bytes(broken[harm])
    with pytest.raises(ReadError, match=path.name) as caught:
        read_partition(str(path), 0, LAYOUT)
    assert "import" in caught.value.hint and caught.value.exit_code == 3


def test_a_segment_of_another_table_is_refused(tmp_path):
    writer = SegmentWriter(tmp_path, LAYOUT)
    writer.add(rows(0, 3))
    with pytest.raises(ReadError, match="other columns"):
        read_partition(writer.close().path, 0, ORDERED)


def test_a_full_disk_is_told_with_the_path_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(segment_module, "STRIPE_BYTES", 1)
    writer = SegmentWriter(tmp_path, LAYOUT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file size limit fails a write just as a full disk does (Python ignores SIGXFSZ).
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(EssError, match=f"cannot write the segment {tmp_path}") as caught:
            writer.add(rows(0, 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == 1
    writer.abort()
    assert list(tmp_path.iterdir()) == []


# --- the sink


def ref(number):
    return FileRef(f"/lake/f{number}.csv", None, 10, f"etag{number}")


def piece(table, *numbers):
    files = tuple(ref(n) for n in numbers)
    zeros = np.zeros(table.num_rows, dtype=np.int64)
    return Piece(table, files, zeros)


@pytest.fixture(params=[1, 300, 1 << 20], ids=["every piece alone", "some", "all together"])
def stripe(request, monkeypatch):
    monkeypatch.setattr(sink_module, "STRIPE_BYTES", request.param)
    monkeypatch.setattr(segment_module, "STRIPE_BYTES", request.param)


@pytest.fixture
def writer(tmp_path):
    return SegmentSink(str(tmp_path / "import"), LAYOUT).open(Batch(0, ()))


def left(tmp_path):
    return sorted(p.name for p in (tmp_path / "import").glob("*"))


def test_rows_and_sources_come_in_file_order(writer, stripe, tmp_path):
    writer.write(piece(rows(0, 5), 1, 2))
    for start in (10, 20, 30):
        writer.write(piece(rows(start, 5), 3))
    writer.write(piece(rows(40, 5), 4, 5))
    writer.write(piece(rows(50, 5), 6))
    segments = writer.close()
    everything_in = sorted(keys(segments))
    assert everything_in == [*range(5), *range(10, 15), *range(20, 25), *range(30, 35),
                             *range(40, 45), *range(50, 55)]  # fmt: skip
    assert keys(segments) == everything_in
    sources = [source for segment in segments for source in segment.sources]
    assert sources == [(f"/lake/f{n}.csv", f"etag{n}") for n in range(1, 7)]
    assert left(tmp_path) == sorted(Path(s.path).name for s in segments)


def test_a_file_that_fails_leaves_no_row(writer, stripe, tmp_path):
    writer.write(piece(rows(0, 5), 1, 2))
    for start in (100, 200, 300):
        writer.write(piece(rows(start, 50), 3))
    writer.forget(ref(3))
    writer.write(piece(rows(10, 5), 4))
    segments = writer.close()
    assert keys(segments) == [*range(5), *range(10, 15)]
    assert [uri for s in segments for uri, _ in s.sources] == [ref(n).uri for n in (1, 2, 4)]
    assert left(tmp_path) == sorted(Path(s.path).name for s in segments)


def test_a_file_that_is_read_again_counts_once(writer, stripe):
    writer.write(piece(rows(0, 5), 1))
    writer.write(piece(rows(5, 5), 1))
    writer.forget(ref(1))
    writer.write(piece(rows(0, 5), 1))
    writer.write(piece(rows(5, 5), 1))
    writer.write(piece(rows(10, 5), 1))
    assert keys(writer.close()) == list(range(15))


def test_forgetting_a_file_that_wrote_nothing_changes_nothing(writer, stripe):
    writer.write(piece(rows(0, 5), 1))
    writer.forget(ref(2))
    writer.write(piece(rows(5, 5), 1))
    writer.forget(ref(3))
    assert keys(writer.close()) == list(range(10))


def test_abort_removes_everything(writer, stripe, tmp_path):
    writer.write(piece(rows(0, 50), 1, 2))
    writer.write(piece(rows(50, 50), 3))
    writer.write(piece(rows(100, 50), 3))
    writer.write(piece(rows(150, 50), 4))
    writer.abort()
    assert left(tmp_path) == []
    writer.abort()


def test_an_import_without_rows_has_no_segments(writer, tmp_path):
    assert writer.close() == ()
    assert left(tmp_path) == []


def test_a_file_without_rows_is_still_a_source(writer, stripe):
    writer.write(piece(rows(0, 0), 1))
    (segment,) = writer.close()
    assert segment.sources == (("/lake/f1.csv", "etag1"),) and sum(segment.rows) == 0
    assert everything(segment).num_rows == 0


def test_columns_are_brought_into_the_tables_order_and_type():
    table = pa.table({"extra": [1], "s": pa.array(["a"], pa.large_string()), "k": ["7"]})
    got = conform(table, SCHEMA)
    assert got.schema == SCHEMA and got.to_pylist() == [{"k": 7, "s": "a"}]


def test_every_column_that_does_not_fit_is_told(writer):
    table = pa.table({"k": ["TBD"]})
    with pytest.raises(ColumnsError) as caught:
        writer.write(piece(table, 1))
    assert "k is string, which does not become int64; s is missing" in caught.value.message
