"""The part of the warehouse conformance suite that is about SQL around a load."""

# ruff: noqa: D102 - a test's name says what must hold

from __future__ import annotations

from dataclasses import replace

import pytest

from ess_dask.errors import DataError
from ess_dask.testing.loads import Loader, sales
from ess_dask.testing.warehouse_columns import ColumnsConformance
from ess_dask.warehouse.model import Hooks, Target

COUNT = "CREATE TABLE shop.audit AS SELECT count(*) AS n FROM {table}"
FIRST = "CREATE TABLE shop.first AS SELECT 1 AS n"
WRONG = "INSERT INTO shop.missing SELECT 'secret' FROM {table}"


class HooksConformance(ColumnsConformance):
    """Inside: all or nothing with the load. After: the load stands, whatever they do."""

    def hooked(self, target: Target, **hooks: tuple[str, ...]) -> Target:
        """Return the target in a schema of its own, with hooks."""
        return replace(target, table="shop.sales", hooks=Hooks(**hooks))

    def test_hooks_see_the_rows_of_the_load(self, loader: Loader, target: Target) -> None:
        view = "CREATE VIEW shop.seen AS SELECT id FROM {table}"
        loader.load(self.hooked(target, inside=(COUNT,), after=(view,)), sales("a", 1, 2))
        assert self.query(target.url, "SELECT n FROM shop.audit") == [(2,)]
        assert self.query(target.url, "SELECT id FROM shop.seen ORDER BY id") == [(1,), (2,)]

    def test_a_failing_hook_inside_takes_all_back(self, loader: Loader, target: Target) -> None:
        request = loader.request(self.hooked(target, inside=(FIRST, WRONG)), sales("a", 1, 2))
        with pytest.raises(DataError, match=r"statement 2 of hooks\.inside") as caught:
            loader.warehouse.load(request)
        assert "INSERT INTO shop.missing" in caught.value.message
        assert "secret" not in caught.value.message
        assert "nothing was loaded" in caught.value.hint
        assert (loader.warehouse.loads(), loader.warehouse.ledger()) == ((), ())
        assert not loader.warehouse.verify(request).ok
        again = loader.load(self.hooked(target, inside=(FIRST,)), sales("a", 1, 2))
        assert again.rows_loaded == 2
        assert self.query(target.url, "SELECT n FROM shop.first") == [(1,)]

    def test_a_failing_hook_after_leaves_the_load(self, loader: Loader, target: Target) -> None:
        hooked = self.hooked(target, after=(FIRST, WRONG, COUNT))
        with pytest.raises(DataError, match="the load is done") as caught:
            loader.load(hooked, sales("a", 1, 2))
        assert "statement 2 of hooks.after" in caught.value.message
        assert "the 1 after it did not run" in caught.value.message
        assert caught.value.exit_code == 3
        assert self.query(target.url, "SELECT count(*) FROM shop.sales") == [(2,)]
        assert self.query(target.url, "SELECT n FROM shop.first") == [(1,)]
        assert [each.file.uri for each in loader.warehouse.ledger("shop.sales")] == ["a"]
        assert loader.plan(hooked, [sales("a", 1, 2)]).new == ()
