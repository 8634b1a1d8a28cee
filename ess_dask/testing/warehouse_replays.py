"""The part of the warehouse conformance suite that is about rejected rows that are read again."""

# ruff: noqa: D102 - a test's name says what must hold

from __future__ import annotations

from dataclasses import replace

import pytest

from ess_dask.errors import ConflictError
from ess_dask.testing.loads import Loader, Reject, Version, sales
from ess_dask.testing.warehouse_columns import ColumnsConformance
from ess_dask.warehouse.model import LoadRequest, Target
from ess_dask.warehouse.replayed import write_replayed

BAD: tuple[Reject, ...] = ((3, "id", "not an int32", b"x"), (7, "id", "not an int32", b"y"))


class ReplaysConformance(ColumnsConformance):
    """A rejected row stands, or was loaded by a replay that stands: always one of the two."""

    def standing(self, loader: Loader) -> list[tuple[str, int]]:
        """Return (uri, line) of the rejected rows that stand."""
        return [(r["uri"], r["line"]) for r in loader.warehouse.rejects("sales").to_pylist()]

    def replay(self, loader: Loader, target: Target, version: Version) -> LoadRequest:
        """Return the load that reads all standing rejected rows of one file again."""
        import pyarrow.compute as pc

        request = loader.request(target, version)
        rejects = loader.warehouse.rejects("sales")
        rejects = rejects.filter(pc.equal(rejects["uri"], version.uri))
        path = loader.folder / request.load_id / "replayed.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        return replace(request, replayed=write_replayed(path, rejects))

    def test_rows_that_pass_no_longer_stand(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1, rejected=BAD), sales("b", 2, rejected=BAD[:1]))
        again = sales("a", 10, part="again", rejected=((7, "id", "still bad", b"y"),))
        assert loader.warehouse.load(self.replay(loader, target, again)).rows_loaded == 1
        assert self.standing(loader) == [("b", 3), ("a", 7)]
        assert loader.warehouse.rejects("sales")["reason"].to_pylist()[1] == "still bad"
        assert self.ids(target) == [1, 2, 10]

    def test_the_same_replay_twice(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1, rejected=BAD))
        again = sales("a", 10, 11, part="again")
        request = self.replay(loader, target, again)
        other = replace(request, load_id="another")
        loader.warehouse.load(request)
        assert loader.warehouse.load(request).rows_loaded == 2
        assert loader.warehouse.load(other).already_done == 1
        assert self.ids(target) == [1, 10, 11]
        assert self.standing(loader) == []

    def test_two_replays_of_the_same_rows(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1, rejected=BAD))
        first = self.replay(loader, target, sales("a", 10, 11, part="one"))
        second = self.replay(loader, target, sales("a", 10, 11, part="two"))
        loader.warehouse.load(first)
        with pytest.raises(ConflictError, match="0 of them stand"):
            loader.warehouse.load(second)
        assert self.ids(target) == [1, 10, 11]
        assert len(loader.warehouse.loads()) == 2

    def test_a_replay_goes_with_the_file_it_belongs_to(
        self, loader: Loader, target: Target
    ) -> None:
        target = replace(target, on_change="reprocess")
        loader.load(target, sales("a", 1, rejected=BAD))
        loader.warehouse.load(self.replay(loader, target, sales("a", 10, 11, part="again")))
        loader.load(target, sales("a", 5, etag="v2", rejected=BAD[:1]))
        assert self.ids(target) == [5]
        assert self.standing(loader) == [("a", 3)]

    def test_rows_of_a_replay_that_is_gone_stand_again(
        self, loader: Loader, target: Target
    ) -> None:
        loader.load(target, sales("a", rejected=BAD))
        loader.warehouse.load(self.replay(loader, target, sales("a", 10, 11, part="again")))
        assert self.standing(loader) == []
        self.query(target.url, "DROP TABLE sales")
        loader.load(target, sales("b", 1))
        assert self.standing(loader) == [("a", 3), ("a", 7)]
        loader.warehouse.load(self.replay(loader, target, sales("a", 10, 11, part="again")))
        assert self.ids(target) == [1, 10, 11]

    def test_rows_of_another_pipeline_are_left_alone(self, loader: Loader, target: Target) -> None:
        other = replace(target, pipeline="other")
        loader.load(other, sales("a", 2, rejected=BAD))
        loader.load(target, sales("a", 1, rejected=BAD))
        rejects = loader.warehouse.rejects("sales", "shop")
        request = loader.request(target, sales("a", 10, 11, part="again"))
        path = loader.folder / "replayed.parquet"
        loader.warehouse.load(replace(request, replayed=write_replayed(path, rejects)))
        assert loader.warehouse.rejects(pipeline="shop").num_rows == 0
        assert loader.warehouse.rejects(pipeline="other").num_rows == 2
