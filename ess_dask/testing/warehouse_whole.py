"""The part of the warehouse conformance suite that is about files whose rows come as one whole."""

# ruff: noqa: D102 - a test's name says what must hold

from __future__ import annotations

from dataclasses import replace

import pytest

from ess_dask.errors import ConflictError
from ess_dask.testing.loads import Loader, Version, sales
from ess_dask.testing.warehouse_replays import ReplaysConformance
from ess_dask.warehouse.model import LoadRequest, Target

CARRIER = "memory:shop.sales"


class WholeConformance(ReplaysConformance):
    """Rows of several files that can no longer be told apart are loaded together, once."""

    def whole(
        self, loader: Loader, target: Target, rows: Version, *sources: Version
    ) -> LoadRequest:
        """Return the load of ``rows``, which are those of all ``sources``."""
        asked = replace(target, pipeline=CARRIER)
        return replace(loader.request(asked, rows, *sources), whole=True)

    def test_all_files_are_recorded_and_the_rows_are_loaded_once(
        self, loader: Loader, target: Target
    ) -> None:
        request = self.whole(loader, target, sales("memory#1", 1, 2), sales("a"), sales("b"))
        assert loader.warehouse.load(request).rows_loaded == 2
        assert loader.warehouse.load(request).rows_loaded == 2
        assert self.ids(target) == [1, 2]
        recorded = loader.warehouse.ledger("sales")
        assert sorted(entry.file.uri for entry in recorded) == ["a", "b", "memory#1"]
        assert loader.warehouse.verify(request).ok

    @pytest.mark.parametrize("pipeline", ["shop", CARRIER])
    def test_nothing_is_appended_when_one_of_the_files_stands(
        self, loader: Loader, target: Target, pipeline: str
    ) -> None:
        request = self.whole(loader, target, sales("memory#1", 1, 2), sales("a"), sales("b"))
        loader.load(replace(target, pipeline=pipeline), sales("a", 7))
        with pytest.raises(ConflictError, match="a"):
            loader.warehouse.load(request)
        assert self.ids(target) == [7]
        assert len(loader.warehouse.loads()) == 1

    def test_replace_puts_the_new_whole_in_the_place_of_the_old(
        self, loader: Loader, target: Target
    ) -> None:
        loader.warehouse.load(self.whole(loader, target, sales("memory#1", 1, 2), sales("a")))
        anew = replace(target, mode="replace")
        request = self.whole(loader, anew, sales("memory#2", 3, 4), sales("a"), sales("b"))
        assert loader.warehouse.load(request).rows_deleted == 2
        assert self.ids(target) == [3, 4]
        standing = sorted(entry.file.uri for entry in loader.warehouse.ledger("sales"))
        assert standing == ["a", "b", "memory#2"]

    def test_replace_does_not_take_rows_that_came_another_way(
        self, loader: Loader, target: Target
    ) -> None:
        loader.load(target, sales("a", 7))
        anew = replace(target, mode="replace")
        request = self.whole(loader, anew, sales("memory#1", 1), sales("a"))
        with pytest.raises(ConflictError, match="shop"):
            loader.warehouse.load(request)
        assert self.ids(target) == [7]

    def test_upsert_takes_the_whole_again(self, loader: Loader, target: Target) -> None:
        by_id = replace(target, mode="upsert", key=("id",))
        loader.warehouse.load(self.whole(loader, by_id, sales("memory#1", 1, 2), sales("a")))
        request = self.whole(loader, by_id, sales("memory#2", 2, 3), sales("a"), sales("b"))
        assert loader.warehouse.load(request).rows_loaded == 2
        assert self.ids(target) == [1, 2, 3]
