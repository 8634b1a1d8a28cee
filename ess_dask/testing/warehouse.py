"""The conformance suite of warehouse back ends.

A back end's tests subclass ``WarehouseConformance`` (pytest), give the fixture ``warehouse_url``
and the two hooks (``ColumnsConformance``), and inherit every test.
"""

# ruff: noqa: D102 - a test's name says what must hold

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from ess_dask.catalog.bounds import Bounds
from ess_dask.errors import ConfigError, ConflictError, DataError, UsageError
from ess_dask.testing.loads import Loader, Version, sales
from ess_dask.testing.warehouse_hooks import HooksConformance
from ess_dask.testing.warehouse_whole import WholeConformance
from ess_dask.warehouse.changes import refuse_changed
from ess_dask.warehouse.model import LoadResult, OnChange, Target


class WarehouseConformance(HooksConformance, WholeConformance):
    """What every back end must do, by what can be seen in it afterwards."""

    # --- plan

    def test_plan_writes_nothing(self, loader: Loader, target: Target) -> None:
        plan = loader.plan(target, [sales("b", 1), sales("a", 2)])
        assert [file.uri for file in plan.new] == ["a", "b"]
        assert len(plan.ddl) == 1
        assert "CREATE TABLE" in plan.ddl[0]
        assert loader.warehouse.loads() == ()
        assert loader.warehouse.ledger() == ()
        assert loader.warehouse.rejects().num_rows == 0
        assert loader.plan(target, [sales("b", 1), sales("a", 2)]) == plan

    def test_plan_without_columns_classifies(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1))
        files = [sales("a", 1).file, sales("b", 2).file]
        plan = loader.warehouse.plan(target, (), files)
        assert ([f.uri for f in plan.done], [f.uri for f in plan.new]) == (["a"], ["b"])
        assert plan.ddl == ()

    def test_plan_reports_another_digest(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1))
        assert loader.plan(target, [sales("b", 2)]).warnings == ()
        loader.digest = "plan-2"
        (warning,) = loader.plan(target, [sales("b", 2)]).warnings
        assert "plan-1" in warning
        assert "plan-2" in warning

    # --- append, exactly once

    def test_append_twice_is_nothing_new(self, loader: Loader, target: Target) -> None:
        versions = [sales("a", 1, 2), sales("b", 3)]
        assert loader.load(target, *versions).rows_loaded == 3
        plan = loader.plan(target, versions)
        assert (plan.new, plan.changed, plan.ddl) == ((), (), ())
        assert [file.rows_loaded for file in plan.done] == [2, 1]
        assert loader.load(target, *versions).files == 0
        assert self.ids(target) == [1, 2, 3]

    def test_rows_say_load_and_file(self, loader: Loader, target: Target) -> None:
        request = loader.request(target, sales("a", 1), sales("b", 2))
        loader.warehouse.load(request)
        rows = self.query(target.url, "SELECT id, _ess_load, _ess_file FROM sales ORDER BY id")
        assert rows == [(1, request.load_id, "a"), (2, request.load_id, "b")]

    def test_rows_keep_the_order_of_the_files(self, loader: Loader, target: Target) -> None:
        versions = [sales(f"f{n:02d}", *range(n * 100 + 99, n * 100 - 1, -1)) for n in range(12)]
        loader.load(target, *versions)
        found = [row[0] for row in self.query(target.url, "SELECT id FROM sales")]
        assert found == [row[0] for version in versions for row in version.rows]

    def test_late_file_is_found(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("2014-09-02", 2, date="2014-09-02"))
        late = sales("2014-09-01", 1, date="2014-09-01")
        plan = loader.plan(target, [late, sales("2014-09-02", 2, date="2014-09-02")])
        assert [file.uri for file in plan.new] == ["2014-09-01"]

    def test_two_loaders_overlap(self, loader: Loader, target: Target) -> None:
        mine = loader.request(target, sales("a", 1), sales("b", 2, 20), sales("c", 3))
        theirs = loader.request(target, sales("b", 2, 20), sales("d", 4))
        assert loader.warehouse.load(theirs).already_done == 0
        result = loader.warehouse.load(mine)
        assert (result.files, result.rows_loaded, result.already_done) == (2, 2, 1)
        assert self.ids(target) == [1, 2, 3, 4, 20]
        assert loader.warehouse.verify(mine).ok

    def test_pipelines_and_tables_count_apart(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1))
        loader.load(replace(target, pipeline="other"), sales("a", 1))
        loader.load(replace(target, table="sales2"), sales("a", 1))
        assert self.ids(target) == [1, 1]
        assert self.ids(target, "sales2") == [1]
        assert len(loader.warehouse.ledger("sales")) == 2
        assert len(loader.warehouse.ledger("SALES", "other")) == 1

    def test_part_of_a_version_is_loaded_beside_it(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1))
        replayed = sales("a", 2, part="replay-1")
        assert loader.load(target, replayed).rows_loaded == 1
        assert loader.load(target, replayed).rows_loaded == 0
        assert self.ids(target) == [1, 2]

    def test_empty_files_are_in_the_ledger(self, loader: Loader, target: Target) -> None:
        assert loader.load(target, sales("empty")).files == 1
        assert self.ids(target) == []
        result = loader.load(target, sales("empty"), sales("a", 1), sales("empty 2"))
        assert (result.files, result.rows_loaded) == (2, 1)
        assert {entry.file.uri for entry in loader.warehouse.ledger()} == {"empty", "a", "empty 2"}

    def test_one_uri_twice_is_refused(self, loader: Loader, target: Target) -> None:
        with pytest.raises(UsageError, match="twice"):
            loader.plan(target, [sales("a", 1), sales("a", 1, etag="v2")])

    def test_dropped_table_is_loaded_again(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1), sales("empty"))
        self.query(target.url, "DROP TABLE sales")
        plan = loader.plan(target, [sales("a", 1), sales("empty")])
        assert "gone" in plan.warnings[0]
        loader.load(target, sales("a", 1), sales("empty"))
        assert self.ids(target) == [1]

    # --- lost answers

    def test_same_load_id_again_changes_nothing(self, loader: Loader, target: Target) -> None:
        request = loader.request(target, sales("a", 1, 2))
        first = loader.warehouse.load(request)
        assert loader.warehouse.load(request) == first
        assert first == LoadResult(request.load_id, files=1, rows_loaded=2, rows_rejected=0)
        assert self.ids(target) == [1, 2]

    def test_load_id_of_another_table_is_refused(self, loader: Loader, target: Target) -> None:
        request = loader.request(target, sales("a", 1))
        loader.warehouse.load(request)
        other = loader.request(replace(target, table="other"), sales("a", 1))
        with pytest.raises(ConflictError, match=request.load_id):
            loader.warehouse.load(replace(other, load_id=request.load_id))

    # --- changed files

    def test_changed_file_fails_by_default(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1), sales("b", 2))
        plan = loader.plan(target, [sales("a", 10, etag="v2"), sales("b", 2)])
        assert [file.uri for file in plan.changed] == ["a"]
        with pytest.raises(ConflictError) as caught:
            refuse_changed(plan)
        assert "a" in caught.value.message
        for policy in ("fail", "reprocess", "ignore"):
            assert policy in caught.value.hint
        with pytest.raises(ConflictError):
            loader.load(target, sales("a", 10, etag="v2"))
        assert self.ids(target) == [1, 2]

    def test_changed_file_is_reprocessed(self, loader: Loader, target: Target) -> None:
        target = replace(target, on_change="reprocess")
        loader.load(target, sales("a", 1, 2), sales("b", 3))
        loader.load(replace(target, pipeline="other"), sales("a", 7))
        loader.load(target, sales("a", 5, part="replay-1"))
        request = loader.request(target, sales("a", 10, etag="v2"), sales("b", 3))
        assert request.plan.replaces == ("a",)
        result = loader.warehouse.load(request)
        assert (result.rows_deleted, result.rows_loaded) == (3, 1)
        assert self.ids(target) == [3, 7, 10]
        back = loader.load(target, sales("a", 1, 2))
        assert (back.rows_deleted, self.ids(target)) == (1, [1, 2, 3, 7])
        history = loader.warehouse.ledger("sales", "shop", history=True)
        assert [(e.file.uri, bool(e.replaced_by)) for e in history if e.file.uri == "a"] == [
            ("a", True), ("a", True), ("a", True), ("a", False),
        ]  # fmt: skip

    def test_loaded_file_is_loaded_again(self, loader: Loader, target: Target) -> None:
        target = replace(target, on_change="reprocess")
        loader.load(target, sales("a", 1, 2), sales("b", 3))
        loader.load(target, sales("a", 5, part="replay-1"))
        loader.load(replace(target, pipeline="other"), sales("a", 7))
        again = replace(loader, again=frozenset({"a"}))
        request = again.request(target, sales("a", 10), sales("b", 30))
        assert [file.uri for file in request.plan.done] == ["b"]
        result = loader.warehouse.load(request)
        assert (result.rows_deleted, result.rows_loaded, result.already_done) == (3, 1, 0)
        assert self.ids(target) == [3, 7, 10]
        assert loader.warehouse.load(request) == result
        assert [file.uri for file in loader.plan(target, [sales("a", 10)]).done] == ["a"]

    def test_changed_file_is_ignored(self, loader: Loader, target: Target) -> None:
        target = replace(target, on_change="ignore")
        loader.load(target, sales("a", 1))
        plan = loader.plan(target, [sales("a", 10, etag="v2")])
        assert (plan.new, plan.changed, len(plan.done)) == ((), (), 1)
        assert "a" in plan.warnings[0]
        assert self.ids(target) == [1]

    @pytest.mark.parametrize("policy", ["fail", "reprocess", "ignore"])
    def test_file_changed_by_somebody_in_between(
        self, loader: Loader, target: Target, policy: OnChange
    ) -> None:
        target = replace(target, on_change=policy)
        mine = loader.request(target, sales("a", 10, etag="v2"), sales("b", 2))
        loader.load(target, sales("a", 1))
        if policy == "fail":
            with pytest.raises(ConflictError):
                loader.warehouse.load(mine)
            assert self.ids(target) == [1]
            return
        result = loader.warehouse.load(mine)
        assert result.already_done == (policy == "ignore")
        assert self.ids(target) == ([1, 2] if policy == "ignore" else [2, 10])

    def test_replay_of_an_older_version_is_refused(self, loader: Loader, target: Target) -> None:
        target = replace(target, on_change="reprocess")
        loader.load(target, sales("a", 1))
        loader.load(target, sales("a", 2, etag="v2"))
        with pytest.raises(ConflictError, match="older version"):
            loader.load(target, sales("a", 3, part="replay-1"))
        assert self.ids(target) == [2]

    # --- replace

    def test_replace_range(self, loader: Loader, target: Target) -> None:
        days = [sales(f"day{n}", n, date=f"2014-09-0{n}T00:00:00") for n in range(1, 5)]
        loader.load(target, *days)
        loader.load(replace(target, pipeline="other"), replace(days[1], uri="theirs"))
        target = replace(target, mode="replace")
        again = [sales("day2", 20, date="2014-09-02", etag="v2")]
        bounds = Bounds(datetime(2014, 9, 2), datetime(2014, 9, 3, 23, 59))  # noqa: DTZ001
        request = loader.request(target, *again, replace_range=bounds)
        assert request.plan.replaces == ("day2", "day3")
        result = loader.warehouse.load(request)
        assert (result.rows_deleted, result.rows_loaded) == (2, 1)
        assert self.ids(target) == [1, 2, 4, 20]
        assert loader.load(target, *again, replace_range=bounds).rows_deleted == 1
        assert self.ids(target) == [1, 2, 4, 20]

    def test_replace_by_integer_ids(self, loader: Loader, target: Target) -> None:
        loader.load(target, *[sales(f"f{n}", n, date=str(n)) for n in (9, 10, 11)])
        target = replace(target, mode="replace")
        loader.load(target, sales("f10", 100, date="10"), replace_range=Bounds(10, 11))
        assert self.ids(target) == [9, 100]

    def test_replace_everything(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1), sales("undated", 2), sales("b", 3, date="2014-09-01"))
        assert loader.load(replace(target, mode="replace"), sales("a", 4)).rows_deleted == 3
        assert self.ids(target) == [4]

    def test_replace_keeps_what_came_in_between(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1))
        request = loader.request(replace(target, mode="replace"), sales("a", 10))
        loader.load(target, sales("late", 2))
        loader.warehouse.load(request)
        assert self.ids(target) == [2, 10]

    def test_replace_keeps_what_is_not_read(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("broken", 1), sales("a", 2), sales("gone", 3))
        again = sales("a", 20), sales("broken", 10)
        whole = loader.plan(replace(target, mode="replace"), again)
        request = loader.request(replace(target, mode="replace"), again[0])
        plan = replace(request.plan, new=whole.new, replaces=whole.replaces)
        request = replace(request, plan=plan)
        assert loader.warehouse.load(request).rows_deleted == 2
        assert self.ids(target) == [1, 20]
        assert loader.load(replace(target, mode="replace"), *again).rows_deleted == 2
        assert self.ids(target) == [10, 20]

    def test_range_without_replace_is_refused(self, loader: Loader, target: Target) -> None:
        with pytest.raises(ConfigError, match="range"):
            loader.plan(target, [sales("a", 1)], Bounds(1, 2))

    # --- upsert

    def test_upsert_keeps_the_last_by_date_uri_and_line(
        self, loader: Loader, target: Target
    ) -> None:
        target = replace(target, mode="upsert", key=("id",))
        loader.load(target, sales("z", 1, 2, 3, price=0.5, date="2014-08-01"))
        lines = Version(
            "a", ((1, "first", 1.0), (1, "last", 2.0), (4, "new", 1.0)), date="2014-09-02"
        )
        early = sales("x", 1, 2, price=9.0, date="2014-09-01")
        result = loader.load(target, lines, early)
        assert (result.rows_loaded, result.rows_deleted) == (3, 2)
        rows = self.query(target.url, "SELECT id, name, price, _ess_file FROM sales ORDER BY id")
        assert rows == [
            (1, "last", 2.0, "a"),
            (2, "name 2", 9.0, "x"),
            (3, "name 3", 0.5, "z"),
            (4, "new", 1.0, "a"),
        ]

    def test_upsert_is_the_same_for_any_order_of_parts(
        self, loader: Loader, target: Target
    ) -> None:
        versions = [sales(f"f{n}", *range(20), price=float(n), date=f"2014-09-0{n}") for n in range(1, 8)]  # fmt: skip  # noqa: E501
        found = []
        for table, backwards in (("up", False), ("down", True)):
            to = replace(target, table=table, mode="upsert", key=("id",))
            request = loader.request(to, *(reversed(versions) if backwards else versions))
            loader.warehouse.load(request)
            assert loader.warehouse.verify(request).ok
            found.append(self.query(to.url, f"SELECT id, name, price FROM {table}"))  # noqa: S608
        assert found[0] == found[1]
        assert {row[2] for row in found[0]} == {7.0}

    def test_upsert_takes_null_keys_as_equal(self, loader: Loader, target: Target) -> None:
        target = replace(target, mode="upsert", key=("id", "name"))
        loader.load(target, Version("a", ((None, "n", 1.0), (None, "n", 2.0), (None, None, 3.0))))
        loader.load(target, Version("b", ((None, "n", 4.0),)))
        rows = self.query(target.url, "SELECT price FROM sales ORDER BY price")
        assert rows == [(3.0,), (4.0,)]

    @pytest.mark.parametrize("key", [(), ("id", "nothing")])
    def test_upsert_needs_its_key(
        self, loader: Loader, target: Target, key: tuple[str, ...]
    ) -> None:
        with pytest.raises(ConfigError, match="key"):
            loader.plan(replace(target, mode="upsert", key=key), [sales("a", 1)])

    # --- rejects and checks

    def test_rejects_are_kept(self, loader: Loader, target: Target) -> None:
        target = replace(target, on_change="reprocess")
        bad = ((7, "id", "not an int32", b"TBD,\xff"), (3, "", "2 fields, 3 expected", b"x,y"))
        loader.load(target, sales("a", 1, rejected=bad), sales("b", 2))
        found = loader.warehouse.rejects("sales").to_pylist()
        assert [(row["uri"], row["line"], row["column_name"], row["raw"]) for row in found] == [
            ("a", 3, "", b"x,y"),
            ("a", 7, "id", b"TBD,\xff"),
        ]
        assert {row["etag"] for row in found} == {"v1"}
        assert loader.warehouse.rejects(limit=1).num_rows == 1
        assert loader.warehouse.rejects(load_id=found[0]["load_id"]).num_rows == 2
        assert loader.warehouse.rejects(pipeline="other").num_rows == 0
        loader.load(target, sales("a", 1, etag="v2"))
        assert loader.warehouse.rejects("sales").num_rows == 0

    def test_rejects_of_files_left_out_are_not_copied(self, loader: Loader, target: Target) -> None:
        bad = sales("a", 1, rejected=((2, "id", "bad", b"x"),))
        first, second = loader.request(target, bad), loader.request(target, bad, sales("b", 2))
        loader.warehouse.load(first)
        assert loader.warehouse.load(second).rows_rejected == 0
        assert loader.warehouse.rejects().num_rows == 1

    @pytest.mark.parametrize("change", ["value", "row"])
    def test_wrong_rows_roll_everything_back(
        self, loader: Loader, target: Target, monkeypatch: pytest.MonkeyPatch, change: str
    ) -> None:
        loader.load(target, sales("a", 1))
        request = loader.request(target, sales("b", 2, 3, rejected=((9, "id", "bad", b"x"),)))
        with monkeypatch.context() as patch:
            self.damage_inserts(patch, change)
            with pytest.raises(DataError, match="not those that were staged"):
                loader.warehouse.load(request)
        assert self.ids(target) == [1]
        assert len(loader.warehouse.loads()) == len(loader.warehouse.ledger()) == 1
        assert loader.warehouse.rejects().num_rows == 0
        assert not loader.warehouse.verify(request).ok
        assert loader.warehouse.load(request).rows_loaded == 2
        assert loader.warehouse.verify(request).ok

    def test_counts_must_agree_with_the_parts(self, loader: Loader, target: Target) -> None:
        request = loader.request(target, sales("a", 1, 2, rejected=((9, "id", "bad", b"x"),)))
        (part,), (file,) = request.parts, request.files
        for wrong in (
            replace(request, parts=(replace(part, rows=3),)),
            replace(request, parts=(replace(part, path=part.path + ".gone"),)),
            replace(request, parts=()),
            replace(request, files=(replace(file, rows_loaded=1),)),
            replace(request, files=(replace(file, rows_rejected=2),)),
            replace(request, files=()),
        ):
            with pytest.raises(DataError):
                loader.warehouse.load(wrong)
        with pytest.raises(UsageError):
            loader.warehouse.load(replace(request, files=(replace(file, uri="stranger"),)))
        assert loader.warehouse.loads() == ()
        assert loader.warehouse.load(request).rows_loaded == 2

    def test_verify_sees_later_damage(self, loader: Loader, target: Target) -> None:
        request = loader.request(target, sales("a", 1, 2))
        assert not loader.warehouse.verify(request).ok
        loader.warehouse.load(request)
        assert loader.warehouse.verify(request).ok
        self.query(target.url, "UPDATE sales SET price = price + 1 WHERE id = 1")
        found = loader.warehouse.verify(request)
        assert "price" in found.mismatches[0]
        assert (found.rows_staged, found.rows_loaded) == (2, 2)

    def test_loads_are_listed(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1))
        loader.load(replace(target, pipeline="other"), sales("a", 1))
        first, second = loader.warehouse.loads()
        assert (first.pipeline, second.pipeline) == ("shop", "other")
        assert first.committed_at <= second.committed_at
        assert first.committed_at.tzinfo is None
        assert (first.digest, first.mode) == ("plan-1", "append")
        assert loader.warehouse.loads("sales", "other") == (second,)
