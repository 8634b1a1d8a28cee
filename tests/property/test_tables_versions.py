"""Any sequence of imports, replacements, rewrites and drops, against a list of rows in Python."""

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ess_dask.errors import ReadError, UsageError
from ess_dask.tables.layout import MergeRule, TableLayout
from ess_dask.tables.registry import TableName
from ess_dask.tables.segment import SegmentWriter
from ess_dask.tables.store import TableStore

SCHEMA = pa.schema([("k", pa.string()), ("n", pa.int64())])
LAYOUTS = {
    "plain": TableLayout(SCHEMA, ("k",), 3),
    "sorted": TableLayout(SCHEMA, ("k",), 3, sort=("n",)),
    "ordered": TableLayout(SCHEMA, ("k",), 3, ordered=True),
    "vector": TableLayout(
        SCHEMA, ("k",), 3, ordered=True, merge_key=("k",), merge=(MergeRule("n", "add"),)
    ),
}
ROWS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 9)), max_size=6)


class Tables(RuleBasedStateMachine):
    """One table of each kind; ``rows`` is what it should hold, in import order."""

    cluster: LocalCluster
    client: Client

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = TableStore(self.client, self.folder)
        self.rows: dict[str, list[tuple[str, int]]] = {}
        self.readers = []

    def teardown(self):
        for _, table, _ in self.readers:
            table.close()
        for kind in LAYOUTS:
            self.store.drop(name(kind))
        assert not list(self.folder.glob("*/segments/*/*"))
        shutil.rmtree(self.folder)

    def publish(self, kind, batches, fresh=False, lost=False):
        sink = self.store.sink(LAYOUTS[kind])
        segments = []
        for batch in batches:
            writer = SegmentWriter(Path(sink.folder), sink.layout)
            writer.add(table_of(batch))
            segments.append(writer.close())
        if lost:
            Path(segments[-1].path).unlink()
        try:
            self.store.publish(name(kind), sink, segments, fresh=fresh).close()
        except ReadError:
            self.store.discard(sink)
            raise

    @rule(kind=st.sampled_from(sorted(LAYOUTS)), batches=st.lists(ROWS, max_size=3))
    def append(self, kind, batches):
        self.publish(kind, batches)
        self.rows.setdefault(kind, []).extend(row for batch in batches for row in batch)

    @rule(kind=st.sampled_from(sorted(LAYOUTS)), batch=ROWS)
    def replace(self, kind, batch):
        self.publish(kind, [batch], fresh=True)
        self.rows[kind] = list(batch)

    @rule(kind=st.sampled_from(sorted(LAYOUTS)), batch=ROWS.filter(bool))
    def fail(self, kind, batch):
        with pytest.raises(ReadError):
            self.publish(kind, [batch], lost=True)
        self.rows.setdefault(kind, [])

    @rule(kind=st.sampled_from(sorted(LAYOUTS)))
    def clear(self, kind):
        self.store.clear(name(kind))
        if kind in self.rows:
            self.rows[kind] = []

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), key=st.sampled_from("abcde"))
    def delete_key(self, data, key):
        kind = data.draw(st.sampled_from(sorted(self.rows)))
        self.store.rewrite(
            name(kind), lambda part: part.filter(pc.not_equal(part["k"], key))
        ).close()
        self.rows[kind] = [row for row in self.rows[kind] if row[0] != key]

    @rule(kind=st.sampled_from(sorted(LAYOUTS)))
    def drop(self, kind):
        assert self.store.drop(name(kind)) == (kind in self.rows)
        self.rows.pop(kind, None)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def open_reader(self, data):
        kind = data.draw(st.sampled_from(sorted(self.rows)))
        self.readers.append((kind, self.store.open(name(kind)), list(self.rows[kind])))

    @precondition(lambda self: self.readers)
    @rule()
    def close_reader(self):
        kind, table, rows = self.readers.pop(0)
        check(kind, table, rows)
        table.close()

    @invariant()
    def tables_hold_what_they_should(self):
        assert [n.table for n in self.store.names()] == sorted(self.rows)
        for kind, rows in self.rows.items():
            with self.store.open(name(kind)) as table:
                check(kind, table, rows)

    @invariant()
    def what_is_not_there_is_refused(self):
        for kind in set(LAYOUTS) - set(self.rows):
            with pytest.raises(UsageError):
                self.store.open(name(kind))


def name(kind):
    return TableName("/w", "d", kind)


def table_of(rows):
    return pa.table([[k for k, _ in rows], [n for _, n in rows]], schema=SCHEMA)


def check(kind, table, rows):
    got = [tuple(row.values()) for row in table.to_arrow().to_pylist()]
    assert table.count() == len(got)
    assert table.head(2).to_pylist() == table.to_arrow().slice(0, 2).to_pylist()
    keys = list(dict.fromkeys(k for k, _ in rows))
    of_key = {key: [row for row in rows if row[0] == key] for key in keys}
    if kind == "ordered":
        assert got == [row for key in keys for row in of_key[key]]
    elif kind == "vector":
        assert got == [(key, sum(n for _, n in of_key[key])) for key in keys]
    else:
        assert sorted(got) == sorted(rows)
        for key in keys:
            wanted = sorted(of_key[key]) if kind == "sorted" else of_key[key]
            assert [row for row in got if row[0] == key] == wanted


@pytest.mark.slow
def test_any_sequence_of_changes_gives_the_rows_of_the_model():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, host="127.0.0.1",
            protocol="tcp://", dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        Tables.client = client
        case = Tables.TestCase
        case.settings = settings(
            max_examples=8, stateful_step_count=12,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        case("runTest").runTest()
