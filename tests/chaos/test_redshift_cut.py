"""A load whose connection is cut at any of its statements: every file's rows are there once."""

from __future__ import annotations

import os
import uuid

import pytest
import stamina

from ess_dask.errors import TransientError
from ess_dask.testing.loads import Loader, sales
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.model import Hooks, Target

BAD = ((4, "id", "not an int32", b"TBD"),)
STRIDE = 1 if os.environ.get("ESS_STRESS") else 8
"""Without it a load with rare statements is cut at every eighth of them."""


@pytest.fixture
def url(redshift, monkeypatch):
    """A schema of the test's own; what is tried again is tried at once."""
    for name, value in redshift.env.items():
        monkeypatch.setenv(name, value)
    schema = f"t{uuid.uuid4().hex[:12]}"
    redshift.query(f"CREATE SCHEMA {schema}")
    stamina.set_testing(True, attempts=20)
    yield f"{redshift.url}&stage={redshift.stage}&iam_role={redshift.role}&schema={schema}"
    stamina.set_testing(False)
    redshift.faults.clear()
    redshift.query(f"DROP SCHEMA {schema} CASCADE")


class Shop:
    """A loader into one table, and what is in it afterwards."""

    def __init__(self, url, redshift, folder, **target):
        self.redshift, self.url = redshift, url
        self.schema = url.rpartition("=")[2]
        self.loader = Loader(open_warehouse(url), folder)
        self.target = Target(url, "sales", "shop", **target)

    def rows(self, sql):
        return self.redshift.query(sql.format(s=self.schema))

    def statements(self, request):
        """Load, and return how many statements it took."""
        self.redshift.faults.clear()
        self.loader.warehouse.load(request)
        return len(self.redshift.faults.seen)

    def check(self, expected, rejected):
        """Each file's rows once, with its entry, its rejects and its load."""
        found = self.rows("SELECT id, _ess_file, count(*) FROM {s}.sales GROUP BY 1, 2 ORDER BY 1")
        assert found == [(number, uri, 1) for number, uri in sorted(expected.items())]
        ledger = self.rows(
            "SELECT uri, count(*) FROM {s}._ess_ledger WHERE replaced_by = '' GROUP BY 1"
        )
        assert {uri for uri, _ in ledger} >= set(expected.values())
        assert {count for _, count in ledger} == {1}
        loads = self.rows("SELECT load_id, count(*) FROM {s}._ess_loads GROUP BY 1")
        assert {count for _, count in loads} == {1}
        assert self.loader.warehouse.rejects("sales").num_rows == rejected


@pytest.mark.parametrize("when", ["before", "after"])
def test_append(redshift, url, tmp_path, when):
    shop = Shop(url, redshift, tmp_path, hooks=Hooks(inside=("ANALYZE {table}",)))
    shop.loader.load(shop.target, sales("first", 0))
    total = shop.statements(shop.loader.request(shop.target, sales("f0", 1000, rejected=BAD)))
    expected = {0: "first", 1000: "f0"}
    # Before a statement is after the one before it, but for the answer: those are all cut.
    for n in range(1, total + 1, 1 if when == "after" else STRIDE):
        request = shop.loader.request(shop.target, sales(f"f{n}", n, rejected=BAD))
        redshift.faults.clear()
        getattr(redshift.faults, f"cut_{when}")(n)
        done = shop.loader.warehouse.load(request)
        assert (done.files, done.rows_loaded, done.rows_rejected) == (1, 1, 1), n
        assert shop.loader.warehouse.verify(request).ok
        expected[n] = f"f{n}"
    shop.check(expected, len(expected) - 1)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("mode", ["upsert", "replace", "reprocess", "direct"])
def test_other_ways(redshift, url, tmp_path, when, mode):
    if mode == "direct":
        shop = Shop(url.replace("&schema", "&direct=true&schema"), redshift, tmp_path)
    elif mode == "reprocess":
        shop = Shop(url, redshift, tmp_path, on_change="reprocess")
    else:
        shop = Shop(url, redshift, tmp_path, mode=mode, key=("id",) if mode == "upsert" else ())

    def again(n):
        """The next version: of one file, or (direct, upsert) another file with the same key."""
        uri = "f" if mode in ("reprocess", "replace") else f"f{n}"
        return sales(uri, n if mode == "direct" else 7, price=float(n), etag=f"v{n}")

    shop.loader.load(shop.target, again(1000))
    total = shop.statements(shop.loader.request(shop.target, again(1001)))
    for n in range(1, total + 1, STRIDE):
        request = shop.loader.request(shop.target, again(n))
        redshift.faults.clear()
        getattr(redshift.faults, f"cut_{when}")(n)
        assert shop.loader.warehouse.load(request).rows_loaded == 1
        found = shop.rows("SELECT id, price, count(*) FROM {s}.sales GROUP BY 1, 2 ORDER BY 1")
        assert (n if mode == "direct" else 7, float(n), 1) in found
        assert len(found) == (1 if mode != "direct" else 2 + len(range(1, n + 1, STRIDE)))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_gave_up_is_finished_by_the_next(redshift, url, tmp_path, when):
    """The next run knows nothing of the first: it plans, and loads what the ledger lacks."""
    shop = Shop(url, redshift, tmp_path)
    shop.loader.load(shop.target, sales("first", 0))
    total = shop.statements(shop.loader.request(shop.target, sales("f0", 1000)))
    expected = {0: "first", 1000: "f0"}
    stamina.set_testing(True, attempts=1)
    for n in range(1, total + 1, STRIDE):
        version = sales(f"f{n}", n)
        request = shop.loader.request(shop.target, version)
        redshift.faults.clear()
        getattr(redshift.faults, f"cut_{when}")(n)
        with pytest.raises(TransientError):
            shop.loader.warehouse.load(request)
        shop.loader.load(shop.target, version)
        expected[n] = f"f{n}"
    shop.check(expected, 0)
