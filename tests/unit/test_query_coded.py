"""Partitions in memory as DuckDB reads them: which texts are numbered, and for how long."""

import gc

import pyarrow as pa
import pytest

from ess_dask.query.sql import coded as module
from ess_dask.query.sql.coded import FEWEST_ROWS, MOST_VALUES, coded
from ess_dask.query.sql.packs import MOST_BYTES, packed
from ess_dask.query.sql.room import answer

ROWS = 2 * FEWEST_ROWS


def repeated(values, rows=ROWS):
    return pa.array([values[number % len(values)] for number in range(rows)], pa.string())


def is_coded(table, name):
    return pa.types.is_dictionary(table.schema.field(name).type)


def test_texts_that_repeat_are_numbered_and_nothing_else():
    table = pa.table(
        {
            "few": repeated(["a", "", None, "é"]),
            "many": pa.array([str(number) for number in range(ROWS)]),
            "number": pa.array(range(ROWS)),
            "bytes": repeated(["a", "b"]).cast(pa.binary()),
        }
    )
    made = coded(table, ["number", "few", "many", "bytes"])
    assert made.column_names == ["number", "few", "many", "bytes"]
    assert [is_coded(made, name) for name in made.column_names] == [False, True, False, False]
    assert made.schema.field("few").type.index_type == pa.uint16()
    assert made["few"].to_pylist() == table["few"].to_pylist()
    assert made.select(["many", "number", "bytes"]).equals(
        table.select(["many", "number", "bytes"])
    )


@pytest.mark.parametrize("values", [["a", "b", None], [None]])
@pytest.mark.parametrize("cut", [[ROWS], [1, 700, ROWS - 701]])
def test_numbered_texts_mean_the_same_to_a_query(values, cut):
    column, parts = repeated(values), []
    for size in cut:
        start = sum(map(len, parts))
        parts.append(column.slice(start, size))
    table = pa.table({"k": pa.chunked_array(parts), "n": pa.array(range(ROWS))})
    made = coded(table, ["k", "n"])
    assert is_coded(made, "k")
    for query in (
        "select k, count(*), sum(n), max(k) from t group by k",
        "select * from t where k = 'b' or k is null limit 9",
        "select count(*) from t where k in ('a', 'x')",
        "select distinct k || '!' from t",
    ):
        assert answer(query, {"t": made}).equals(answer(query, {"t": table})), query


def test_what_is_not_worth_it_stays_as_it_is():
    few = pa.table({"k": repeated(["a", "b"], FEWEST_ROWS - 1)})
    assert not is_coded(coded(few, ["k"]), "k")
    # Few at first, too many behind what is looked at.
    late = [*["a"] * 4 * MOST_VALUES, *map(str, range(MOST_VALUES + 1))]
    table = pa.table({"k": pa.array(late * 3)})
    assert coded(table, ["k"])["k"].equals(table["k"])


def test_what_was_made_is_kept_as_long_as_the_partition():
    table = pa.table({"k": repeated(["a", "b"]), "other": repeated(["c"])})
    before = len(module._kept)
    first = coded(table, ["k"])
    assert coded(table, ["k", "other"])["k"].chunk(0).indices.equals(first["k"].chunk(0).indices)
    assert first["k"].chunk(0).dictionary.buffers()[2].address == (
        coded(table, ["k"])["k"].chunk(0).dictionary.buffers()[2].address
    )
    assert len(module._kept) == before + 1
    del table, first
    gc.collect()
    assert len(module._kept) == before


@pytest.mark.parametrize("places", [["x"] * 32, ["x", "y"] * 16, ["", "x", "y", "z"] * 8])
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_each_partition_is_in_one_pack_of_its_place(places, threads):
    sizes = [10 + number % 3 for number in range(32)]
    found = packed(places, sizes, threads)
    assert sorted(number for pack in found for number in pack) == list(range(32))
    assert all(pack == tuple(sorted(pack)) for pack in found) and found == sorted(found)
    assert all(len({places[number] for number in pack}) == 1 for pack in found)
    assert len(found) >= min(32, 4 * threads)


def test_a_pack_is_no_larger_than_memory_bears():
    sizes = [MOST_BYTES * 2, 1, MOST_BYTES // 2, MOST_BYTES // 2, MOST_BYTES // 2]
    assert packed(["x"] * 500, sizes * 100, 1)[:3] == [(0,), (1, 2, 3), (4,)]
