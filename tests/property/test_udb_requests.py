"""Requests against plain Python: any partitions, by columns or by rows, give the same."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.aq.parsing.tokens import Tokens
from ess_dask.tables.layout import ORDER
from ess_dask.tables.merge import merge_rows
from ess_dask.tables.partition import split
from ess_dask.tables.specfile import parse_spec
from ess_dask.udb import vectored
from ess_dask.udb.merging import Merger
from ess_dask.udb.parsing import parse_request
from ess_dask.udb.results import arranged
from ess_dask.udb.specs import Database
from ess_dask.udb.work import Job, run_request
from tests.segments import Written

pytestmark = pytest.mark.slow

SPEC = "@PKey: s:id\n@Table:t\n i:n s:w\n"
SPEC += "@Vector:v\n i,+add:s i,+min:lo s,+first:f s,+last,+nozero:z"
DATABASE = Database(parse_spec("d", SPEC, "d.spec"))
KEYS = st.sampled_from(["a", "b", "ü", "d", ""])
ROWS = st.lists(st.tuples(KEYS, st.integers(0, 9), st.sampled_from(["x", "Y", "é", ""])))
PROGRAMS = [
    [],
    ["-filt", "n > 3"],
    ["-filt", "n > 3", "-eval", "n", "n * 2", "-eval", "w", 'w + "!"'],
    ["-eval", "n", "n + 1", "-filt", "n > 4"],
    ["-if", "-filt", 'w == "x"', "-eval", "n", "0", "-else", "-eval", "w", '"no"', "-endif"],
    ["-filt", "v.s > 5", "-c", "*", "v.s"],
    ["-if", "-filt", "n == 2", "-del_row", "-endif"],
    ["-filt", "10 / n > 2"],
    ["-pp", "t", "-if", "-filt", "n == 1", "-del_key", "-endif", "-endpp"],
    ["-pp,post=next_key", "t", "-if", "-filt", "n == 1", "-goto", "proc_key", "-endif", "-endpp"],
    ["-eval", "v.s", "v.s + n", "-c", "id", "v.s"],
    ["-filt", "RowCount(t) > 2 && $RowNum > 1"],
    ["-sort,dec", "w", "-top", "3"],
    ["-sort,ncas", "w", "n", "-lim_key", "2"],
    ["-key_rec", "1", "-lim_rec", "3"],
]


def tables_of(rows, more):
    """Return the table and the vector that an import of ``rows``, then of ``more`` gives."""
    t = pa.table(
        {
            "id": pa.array([row[0] for row in rows], pa.string()),
            "n": pa.array([row[1] for row in rows], pa.uint32()),
            "w": pa.array([row[2] for row in rows], pa.string()),
            ORDER: pa.array(range(len(rows)), pa.int64()),
        }
    )
    layout = DATABASE.layout(DATABASE.find("v"))
    return {"t": t, "v": merge_rows(raw_vector(more, 100), layout)}


def raw_vector(rows, first):
    return pa.table(
        {
            "id": pa.array([row[0] for row in rows], pa.string()),
            "s": pa.array([row[1] for row in rows], pa.uint32()),
            "lo": pa.array([row[1] for row in rows], pa.uint32()),
            "f": pa.array([row[2] for row in rows], pa.string()),
            "z": pa.array([row[2] for row in rows], pa.string()),
            ORDER: pa.array(range(first, first + len(rows)), pa.int64()),
        }
    )


def answer(words, tables, partitions):
    """Return result and changed rows, worked out by partition."""
    request = parse_request("exp", DATABASE, "t", (), Tokens(words))
    parts = [{name: t.slice(0, 0) for name, t in tables.items()} for _ in range(partitions)]
    for name, table in tables.items():
        for number, part in split(table, ("id",), partitions):
            parts[number][name] = part
    done = [run_request(Job(request, (), 1), part) for part in parts]
    import polars as pl

    frame = arranged(pl.concat([pl.DataFrame(pl.from_arrow(d[1])) for d in done]), request)
    changed = {
        name: sorted(
            (row for d in done for row in d[2][name][0].to_pylist()),
            key=lambda row: (row["id"], row[ORDER]),
        )
        for name in done[0][2]
    }
    counts = (sum(d[0].keys for d in done), sum(d[0].rows for d in done))
    return frame.drop("key", "place").rows(), changed, counts


@pytest.mark.parametrize("words", PROGRAMS, ids=" ".join)
@settings(max_examples=25)
@given(rows=ROWS, more=ROWS)
def test_any_partitions_any_way(words, rows, more):
    tables = tables_of(rows, more)
    whole = answer(words, tables, 1)
    assert answer(words, tables, 3) == whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectored, "run_by_columns", lambda *_: None)
        by_rows = answer(words, tables, 2)
    assert by_rows == whole


@given(rows=ROWS, more=ROWS)
def test_keys_come_in_the_order_of_their_first_import(rows, more):
    first = dict.fromkeys(row[0] for row in [*rows, *more])
    wanted = [
        (key.encode().decode("latin-1"), row[1], row[2].encode().decode("latin-1"))
        for key in first
        for row in rows
        if row[0] == key
    ]
    assert answer([], tables_of(rows, more), 3)[0] == wanted


def fold(rows):
    """Merge rows one after the other, as the rules of the vector say."""
    held = {}
    for key, number, word in rows:
        if key not in held:
            held[key] = [number, number, word, word]
            continue
        one = held[key]
        one[0] += number
        one[1] = min(one[1], number)
        one[3] = word or one[3]
    return {key: tuple(values) for key, values in held.items()}


@given(batches=st.lists(ROWS, max_size=4), limit=st.sampled_from([1, 3, 1 << 20]))
def test_what_is_merged_early_is_merged_the_same(batches, limit):
    layout = DATABASE.layout(DATABASE.find("v"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ess_dask.udb.merging.FOLD_ROWS", limit)
        patch.setattr("ess_dask.udb.merging.HOLD_ROWS", 3)
        merger = Merger(Written(), layout, None)
        for rows in batches:
            merger.add(merger.prepare(raw_vector(rows, 0).drop_columns([ORDER])))
        parts = merger.close() or []
    merged = merge_rows(pa.concat_tables([layout.stored_schema.empty_table(), *parts]), layout)
    found = {r["id"]: (r["s"], r["lo"], r["f"], r["z"]) for r in merged.to_pylist()}
    assert found == fold([row for rows in batches for row in rows])
    assert list(found) == list(fold([row for rows in batches for row in rows]))
