"""Staged parts: whole, deterministic, free of forgotten files, of one schema."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import ConfigError, DataError, EssError
from ess_dask.records.spec import Column
from ess_dask.testing.loads import columns
from ess_dask.warehouse.staging import StagingSink, columns_of

FILES = tuple(FileRef(f"/lake/żółw {n}.csv", None, 10, "e") for n in range(6))


def piece(table, *files):
    """Return a piece whose rows are dealt to the files in equal runs."""
    file_of = np.arange(table.num_rows) * len(files) // max(table.num_rows, 1)
    return Piece(table, files, file_of.astype(np.int32))


def numbers(start, count):
    return pa.table({"n": pa.array(range(start, start + count), pa.int64())})


def stage(folder, *steps, types=(), number=3, **options):
    writer = StagingSink(str(folder), types, **options).open(Batch(number, FILES))
    for step in steps:
        if isinstance(step, FileRef):
            writer.forget(step)
        else:
            writer.write(step)
    return writer.close()


def rows(parts):
    tables = [pq.read_table(part.path) for part in parts]
    found = [pair for t in tables for pair in zip(*t.to_pydict().values(), strict=True)]
    for part, table in zip(parts, tables, strict=True):
        assert part.rows == table.num_rows
        assert part.bytes == Path(part.path).stat().st_size
        assert set(part.uris) == set(table["_ess_file"].to_pylist())
    return found


def test_small_files_share_a_part(tmp_path):
    whole = piece(numbers(0, 6), FILES[0], FILES[1])
    (part,) = stage(tmp_path, whole, piece(numbers(6, 2), FILES[2]), piece(numbers(8, 1), FILES[3]))
    assert Path(part.path).name == "part-000003-0000.parquet"
    assert part.uris == tuple(file.uri for file in FILES[:4])
    owners = [FILES[0]] * 3 + [FILES[1]] * 3 + [FILES[2]] * 2 + [FILES[3]]
    assert rows([part]) == [(n, file.uri) for n, file in enumerate(owners)]
    assert pa.types.is_dictionary(pq.read_table(part.path).schema.field("_ess_file").type)


def test_a_file_that_goes_on_has_parts_of_its_own(tmp_path):
    large = [piece(numbers(n * 10, 10), FILES[1]) for n in range(4)]
    parts = stage(
        tmp_path, piece(numbers(900, 2), FILES[0]), *large, piece(numbers(990, 1), FILES[2])
    )
    assert [part.uris for part in parts] == [(file.uri,) for file in FILES[:3]]
    assert [value for value, _ in rows(parts)] == [900, 901, *range(40), 990]


def test_parts_are_begun_anew_by_size(tmp_path, monkeypatch):
    monkeypatch.setattr("ess_dask.warehouse.staging_part.ROW_GROUP_BYTES", 1000)
    steps = [piece(numbers(n * 200, 200), FILES[n % 2], FILES[2]) for n in range(6)]
    parts = stage(tmp_path, *steps, part_bytes=2000)
    assert len(parts) > 1
    assert [value for value, _ in rows(parts)] == list(range(1200))


def test_forgotten_file_is_in_no_part_and_can_come_again(tmp_path):
    first, again = piece(numbers(0, 5), FILES[1]), piece(numbers(50, 5), FILES[1])
    shared = piece(numbers(100, 4), FILES[0], FILES[2])
    for before in ([first], [first, first], [first, first, first]):
        parts = stage(tmp_path, shared, *before, FILES[1])
        assert {uri for _, uri in rows(parts)} == {FILES[0].uri, FILES[2].uri}
        parts = stage(tmp_path, shared, *before, FILES[1], again, shared)
        assert [value for value, uri in rows(parts) if uri == FILES[1].uri] == list(range(50, 55))
    parts = stage(tmp_path, shared, FILES[0], shared)
    kept = [102, 103, 100, 101, 102, 103]
    assert [value for value, _ in rows(parts)] == kept
    assert stage(tmp_path, first, FILES[1]) == ()


def test_two_files_of_one_part_are_forgotten(tmp_path):
    three = piece(numbers(0, 6), FILES[0], FILES[1], FILES[2])
    parts = stage(tmp_path, three, FILES[0], FILES[2])
    assert rows(parts) == [(2, FILES[1].uri), (3, FILES[1].uri)]
    assert len(list(tmp_path.iterdir())) == 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["whole", "part", "forget"]), st.integers(0, 3), st.integers(0, 4)),
    max_size=12,
)


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=100)
def test_parts_hold_what_was_written_and_not_forgotten(steps, tmp_path_factory):
    done, expected = [], []
    for place, (kind, number, count) in enumerate(steps):
        file, next_ = FILES[number], FILES[number + 1]
        if kind == "forget":
            done.append(file)
            expected = [pair for pair in expected if pair[1] != file.uri]
            continue
        made = piece(numbers(place * 10, count), *([file, next_] if kind == "whole" else [file]))
        done.append(made)
        uris = [made.files[owner].uri for owner in made.file_of]
        expected += list(zip(made.table["n"].to_pylist(), uris, strict=True))
    folder = tmp_path_factory.mktemp("stage")
    parts = stage(folder, *done)
    assert rows(parts) == expected
    assert sorted(folder.iterdir()) == sorted(Path(part.path) for part in parts)


def test_bytes_are_the_same_every_time(tmp_path):
    steps = [piece(numbers(0, 50), FILES[0], FILES[1]), *[piece(numbers(9, 9), FILES[2])] * 3]
    one, two = (stage(tmp_path / name, *steps) for name in "ab")
    assert [Path(p.path).read_bytes() for p in one] == [Path(p.path).read_bytes() for p in two]


def test_nothing_is_visible_before_close_and_abort_removes_all(tmp_path, monkeypatch):
    monkeypatch.setattr("ess_dask.warehouse.staging_part.ROW_GROUP_BYTES", 1)
    writer = StagingSink(str(tmp_path)).open(Batch(0, FILES))
    writer.write(piece(numbers(0, 5), FILES[0], FILES[1]))
    assert not list(tmp_path.glob("*.parquet"))
    assert list(tmp_path.iterdir())
    writer.abort()
    assert not list(tmp_path.iterdir())
    assert writer.close() == ()


def test_columns_are_brought_to_the_declared_types(tmp_path):
    table = pa.table(
        {
            "extra": [1, 2],
            "s": pa.array(["a", None], pa.large_string()),
            "n": [1.0, None],
            "d": pa.array([dt.date(1970, 1, 2), None], pa.date64()),
        }
    )
    declared = columns(n="int32", s="string", d="date")
    parts = stage(tmp_path, piece(table, FILES[0]), types=declared)
    assert columns_of(parts) == declared
    assert rows(parts)[0] == (1, "a", dt.date(1970, 1, 2), FILES[0].uri)


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"n": [1.5]}),
        pa.table({"n": [2**40]}),
        pa.table({"n": ["x"]}),
        pa.table({"n": [[1]]}),
        pa.table({"m": [1]}),
        pa.table([[1], [2]], names=["n", "n"]),
    ],
)
def test_values_that_do_not_fit_name_the_column(tmp_path, table):
    with pytest.raises(DataError, match="'n'"):
        stage(tmp_path, piece(table, FILES[0]), types=columns(n="int32"))


def test_columns_are_inferred_and_must_agree(tmp_path):
    table = pa.table({"n": [1], "t": [dt.datetime(2014, 9, 1)], "x": pa.array([b"1"])})  # noqa: DTZ001
    parts = stage(tmp_path, piece(table, FILES[0]))
    assert columns_of(parts) == columns(n="int64", t="timestamp", x="binary")
    for other, name in (
        ({"n": ["1"], "t": table["t"], "x": table["x"]}, "n"),
        ({"n": [1], "x": table["x"]}, "t"),
        ({**table.to_pydict(), "more": [1]}, "more"),
    ):
        with pytest.raises(DataError, match=f"'{name}'"):
            stage(tmp_path, piece(table, FILES[0]), piece(pa.table(other), FILES[1]))
        later = stage(tmp_path, piece(pa.table(other), FILES[1]), number=4)
        with pytest.raises(DataError, match=f"'{name}'"):
            columns_of((*parts, *later))


def test_column_without_values_takes_the_others_type(tmp_path):
    empty, full = pa.table({"n": pa.nulls(2)}), pa.table({"n": [7, 8]})
    parts = stage(tmp_path, piece(empty, FILES[0]), piece(full, FILES[1]), piece(empty, FILES[2]))
    assert columns_of(parts) == columns_of(parts[::-1]) == columns(n="int64")
    assert [value for value, _ in rows(parts)] == [None, None, 7, 8, None, None]
    assert columns_of(stage(tmp_path, piece(empty, FILES[0]))) == columns(n="string")
    assert columns_of(()) == ()


def test_types_that_no_table_holds_are_named(tmp_path):
    for values in ([[1]], [{"a": 1}], [dt.timedelta(1)], [dt.time(1)]):
        with pytest.raises(DataError, match="'n'"):
            stage(tmp_path, piece(pa.table({"n": values}), FILES[0]))
    nanoseconds = pa.table({"n": pa.array([1], pa.timestamp("ns"))})
    with pytest.raises(DataError, match="'n'"):
        stage(tmp_path, piece(nanoseconds, FILES[0]))


def test_our_own_names_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="_ess_file"):
        stage(tmp_path, types=(Column("_ess_file", columns(n="string")[0].type),))
    with pytest.raises(ConfigError, match="_ess_load"):
        stage(tmp_path, piece(pa.table({"_ess_load": [1]}), FILES[0]))


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EssError, match="file/stage"):
        stage(tmp_path / "file" / "stage", piece(numbers(0, 1), FILES[0]))


def test_folder_that_vanished(tmp_path):
    writer = StagingSink(str(tmp_path / "stage")).open(Batch(0, FILES))
    writer.write(piece(numbers(0, 3), FILES[0], FILES[1]))
    (tmp_path / "stage").rmdir()
    with pytest.raises(EssError, match="nothing was loaded"):
        writer.close()


def test_damaged_part_is_named(tmp_path):
    (part,) = stage(tmp_path, piece(numbers(0, 3), FILES[0]))
    Path(part.path).write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="part-000003-0000"):
        columns_of([part])
