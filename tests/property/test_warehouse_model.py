"""Whatever is loaded, loaded again, changed or replaced: the table is what a simple model says."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ess_dask.catalog.bounds import Bounds
from ess_dask.testing.loads import Loader, Version
from ess_dask.warehouse.duckdb.warehouse import DuckDBWarehouse
from ess_dask.warehouse.model import Target

pytestmark = pytest.mark.slow

URIS = [f"f{n}" for n in range(4)]
PIPELINES = st.sampled_from(["one", "two"])
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["x", None]), st.just(1.0)), max_size=3
)


@st.composite
def versions(draw):
    """Some files, each in one of two versions; the rows are a function of the version."""
    chosen = draw(st.lists(st.sampled_from(URIS), unique=True, min_size=1))
    return [(uri, draw(st.sampled_from(["v1", "v2"]))) for uri in chosen]


class Loads(RuleBasedStateMachine):
    """Model: pipeline -> uri -> (version, rows), for append, reprocess, ignore and replace."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loader = Loader(DuckDBWarehouse(self.folder / "w.duckdb"), self.folder / "stage")
        self.model = {"one": {}, "two": {}}
        self.pending = []

    def teardown(self):
        shutil.rmtree(self.folder)

    @initialize(rows=st.lists(ROWS, min_size=8, max_size=8))
    def contents(self, rows):
        keys = [(uri, etag) for uri in URIS for etag in ("v1", "v2")]
        self.rows = dict(zip(keys, map(tuple, rows), strict=True))

    def version(self, uri, etag):
        return Version(uri, self.rows[uri, etag], etag, date=str(URIS.index(uri)))

    @rule(pipeline=PIPELINES, chosen=versions(), policy=st.sampled_from(["reprocess", "ignore"]))
    def load(self, pipeline, chosen, policy):
        target = Target("", "sales", pipeline, on_change=policy)
        self.loader.load(target, *[self.version(*one) for one in chosen])
        self._append(pipeline, chosen, policy)

    @rule(pipeline=PIPELINES, chosen=versions(), lower=st.integers(0, 3), upper=st.integers(0, 3))
    def replace_range(self, pipeline, chosen, lower, upper):
        target = Target("", "sales", pipeline, mode="replace")
        some = [self.version(*one) for one in chosen]
        self.loader.load(target, *some, replace_range=Bounds(lower, upper))
        loaded = self.model[pipeline]
        for uri in [uri for uri in loaded if lower <= URIS.index(uri) <= upper]:
            del loaded[uri]
        loaded.update({uri: (etag, self.rows[uri, etag]) for uri, etag in chosen})

    @rule(pipeline=PIPELINES, chosen=versions())
    def stage_for_later(self, pipeline, chosen):
        target = Target("", "sales", pipeline, on_change="ignore")
        request = self.loader.request(target, *[self.version(*one) for one in chosen])
        staged = {file.uri for file in request.files}
        self.pending.append((request, [one for one in chosen if one[0] in staged]))

    @rule(times=st.integers(1, 2))
    def load_what_was_staged(self, times):
        if self.pending:
            request, chosen = self.pending.pop()
            results = {self.loader.warehouse.load(request) for _ in range(times)}
            assert len(results) == 1
            self._append(request.plan.target.pipeline, chosen, "ignore")

    def _append(self, pipeline, chosen, policy):
        loaded = self.model[pipeline]
        for uri, etag in chosen:
            if uri not in loaded or (policy == "reprocess" and loaded[uri][0] != etag):
                loaded[uri] = (etag, self.rows[uri, etag])

    @invariant()
    def table_is_the_model(self):
        path = self.loader.warehouse.path
        found = []
        if path.exists():
            with duckdb.connect(str(path)) as connection:
                found = connection.execute(
                    "SELECT pipeline, uri, etag, id, name FROM _ess_ledger "
                    "LEFT JOIN sales ON _ess_load = load_id AND _ess_file = uri "
                    "WHERE replaced_by = '' ORDER BY ALL"
                ).fetchall()
                rows = connection.execute("SELECT count(*) FROM sales").fetchall()[0][0]
            assert rows == sum(
                len(kept) for files in self.model.values() for _, kept in files.values()
            )
        expected = [
            (pipeline, uri, etag, *row)
            for pipeline, files in self.model.items()
            for uri, (etag, kept) in files.items()
            for row in ([row[:2] for row in kept] or [(None, None)])
        ]
        assert sorted(found, key=repr) == sorted(expected, key=repr)


Loads.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=8,
    suppress_health_check=list(HealthCheck),
)
TestLoads = Loads.TestCase


KEYED = st.lists(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["x", None]), st.floats(0, 9)), max_size=4
    ),
    min_size=1,
    max_size=4,
)


@given(first=KEYED, second=KEYED, order=st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_upsert_is_the_last_row_of_each_key(first, second, order):
    with tempfile.TemporaryDirectory() as folder:
        loader = Loader(DuckDBWarehouse(Path(folder) / "w.duckdb"), Path(folder) / "stage")
        target = Target("", "sales", "p", mode="upsert", key=("id", "name"))
        model = {}
        for number, files in enumerate((first, second)):
            some = [
                Version(f"{number}-{place}", tuple(rows), date=f"2014-09-0{place + 1}")
                for place, rows in enumerate(files)
            ]
            model.update({row[:2]: row[2] for rows in files for row in rows})
            order.shuffle(some)
            loader.load(target, *some)
        with duckdb.connect(str(loader.warehouse.path)) as connection:
            found = connection.execute("SELECT id, name, price FROM sales").fetchall()
        assert sorted(found, key=repr) == sorted([(*k, v) for k, v in model.items()], key=repr)
