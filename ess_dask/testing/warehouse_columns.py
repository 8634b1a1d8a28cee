"""The part of the warehouse conformance suite that is about tables, columns, types and names."""

# ruff: noqa: D102 - a test's name says what must hold

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ess_dask.errors import ConfigError, ConflictError
from ess_dask.testing.loads import SALES, Loader, Version, columns, every_type, sales
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.model import Mode, Target
from ess_dask.warehouse.protocol import CapabilityError


class ColumnsConformance:
    """The hooks of a back end, and what its tables must be able to hold."""

    @pytest.fixture
    def warehouse_url(self, tmp_path: Path) -> str:
        """Return the URL of an empty warehouse of the test's own."""
        raise NotImplementedError

    def query(self, url: str, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement as another client would; return its rows."""
        raise NotImplementedError

    def hex_of(self, name: str) -> str:
        """Return the SQL of a binary column's hexadecimal digits, lower case."""
        raise NotImplementedError

    def damage_inserts(self, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
        """Make every insert of a load wrong: ``change`` is ``value`` or ``row``."""
        raise NotImplementedError

    @pytest.fixture
    def loader(self, warehouse_url: str, tmp_path: Path) -> Loader:
        """Return a loader into the empty warehouse."""
        return Loader(open_warehouse(warehouse_url), tmp_path / "stage")

    @pytest.fixture
    def target(self, warehouse_url: str) -> Target:
        """Return the usual destination."""
        return Target(warehouse_url, "sales", "shop")

    def ids(self, target: Target, table: str = "sales") -> list[int]:
        """Return the column ``id`` of a table, sorted."""
        return [row[0] for row in self.query(target.url, f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608

    def test_columns_are_added(self, loader: Loader, target: Target) -> None:
        loader.columns = columns(id="int16", price="float32")
        loader.load(target, Version("a", ((1, 0.5),)))
        loader.columns = columns(id="int16", price="float32", note="string", day="date")
        request = loader.request(target, Version("b", ((2, 0.25, "n", None),)))
        assert len(request.plan.ddl) == 2
        loader.warehouse.load(request)
        rows = self.query(target.url, "SELECT id, price, note FROM sales ORDER BY id")
        assert rows == [(1, 0.5, None), (2, 0.25, "n")]
        loader.columns = columns(note="string", day="date", price="float32", id="int8")
        assert loader.load(target, Version("c", (("m", None, 0.25, 3),))).rows_loaded == 1

    def test_numbers_are_widened_or_refused(self, loader: Loader, target: Target) -> None:
        loader.columns = columns(id="int16", price="float32")
        loader.load(target, Version("a", ((1, 0.5),)))
        loader.columns = columns(id="int64", price="float64")
        if "number" not in loader.warehouse.capabilities.widens:
            with pytest.raises(ConflictError, match=r"id.*price"):
                loader.plan(target, [Version("b", ((2**40, 0.1),))])
            return
        loader.load(target, Version("b", ((2**40, 0.1),)))
        rows = self.query(target.url, "SELECT id, price FROM sales ORDER BY id")
        assert rows == [(1, 0.5), (2**40, 0.1)]

    def test_texts_get_longer(self, loader: Loader, target: Target) -> None:
        for number, text in enumerate(("x", "ż" * 500, "🦆" * 10_000, "y" * 65_535)):
            loader.load(target, Version(f"f{number}", ((number, text, 1.0),)))
        rows = self.query(target.url, "SELECT id, name FROM sales ORDER BY id")
        assert [len(text.encode()) for _, text in rows] == [1, 1000, 40_000, 65_535]

    def test_every_mismatch_is_named(self, loader: Loader, target: Target) -> None:
        loader.load(target, sales("a", 1))
        loader.columns = columns(id="string", price="decimal(9,2)")
        with pytest.raises(ConflictError) as caught:
            loader.plan(target, [sales("b", 2)])
        for name in ("id", "name", "price"):
            assert name in caught.value.message

    def test_table_of_somebody_else_is_refused(self, loader: Loader, target: Target) -> None:
        self.query(target.url, "CREATE TABLE sales (id INTEGER, name VARCHAR(9))")
        with pytest.raises(ConflictError, match="not made by a load"):
            loader.plan(target, [sales("a", 1)])
        self.query(target.url, "CREATE VIEW seen AS SELECT 1 AS id")
        with pytest.raises(ConflictError, match="view"):
            loader.plan(replace(target, table="seen"), [sales("a", 1)])

    def test_table_that_changed_since_the_plan(self, loader: Loader, target: Target) -> None:
        request = loader.request(target, sales("a", 1))
        loader.columns = columns(id="int32", name="string")
        loader.load(target, Version("b", ((2, "n"),)))
        with pytest.raises(ConflictError, match="not as planned"):
            loader.warehouse.load(request)
        assert self.ids(target) == [2]

    def test_every_type_round_trip(self, loader: Loader, target: Target) -> None:
        types = every_type()
        offered = loader.warehouse.capabilities.types
        kept = {column: values for column, values in types.items() if column.type.name in offered}
        loader.columns = tuple(kept)
        rows = tuple(zip(*kept.values(), strict=True))
        request = loader.request(target, Version("a", rows))
        loader.warehouse.load(request)
        assert loader.warehouse.verify(request).ok
        names = ", ".join(
            self.hex_of(column.name) if column.type.name == "binary" else column.name
            for column in kept
        )
        for place, row in enumerate(self.query(target.url, f"SELECT {names} FROM sales")):  # noqa: S608
            assert [_plain(value) for value in row] == [_plain(value) for value in rows[place]]

    def test_unknown_type_is_a_gap(self, loader: Loader, target: Target) -> None:
        loader.columns = (replace(SALES[0], type=replace(SALES[0].type, name="skip")),)
        with pytest.raises(CapabilityError, match="skip"):
            loader.warehouse.plan(target, loader.columns, [])

    def test_unknown_mode_is_a_gap(self, loader: Loader, target: Target) -> None:
        mode: Mode = "merge"  # type: ignore[assignment]
        with pytest.raises(CapabilityError, match="merge"):
            loader.plan(replace(target, mode=mode), [])

    @pytest.mark.parametrize(
        "name",
        ["select", 'a"b', "żółw 🦆", "two words", "x;drop table sales--", "'", "odd.schema.t"],
    )
    def test_names_are_taken_literally(self, loader: Loader, target: Target, name: str) -> None:
        quoted = '"' + name.replace('"', '""') + '"'
        loader.columns = tuple(replace(column, name=f"{name} {column.name}") for column in SALES)
        target = replace(target, table=quoted, mode="upsert", key=(loader.columns[0].name,))
        loader.load(target, replace(sales("a", 1), uri="a'; --\n[*]?"))
        loader.load(target, sales("b", 1, 2))
        assert self.query(target.url, f"SELECT count(*) FROM {quoted}") == [(2,)]  # noqa: S608
        assert len(loader.plan(target, [sales("b", 1, 2)]).done) == 1

    def test_schema_is_made(self, loader: Loader, target: Target) -> None:
        target = replace(target, table="shop.sales")
        assert len(loader.plan(target, [sales("a", 1)]).ddl) == 2
        loader.load(target, sales("a", 1))
        assert self.ids(target, "shop.sales") == [1]
        assert len(loader.plan(replace(target, table="SHOP.Sales"), [sales("a", 1)]).done) == 1

    @pytest.mark.parametrize(
        "name", ["", ".", "a.b.c", "a.", '"open', "_ess_ledger", "x._ESS_meta"]
    )
    def test_bad_table_names(self, loader: Loader, target: Target, name: str) -> None:
        with pytest.raises(ConfigError):
            loader.plan(replace(target, table=name), [sales("a", 1)])

    def test_clashing_columns(self, loader: Loader, target: Target) -> None:
        for names in (("id", "ID"), ("_ess_load", "x")):
            loader.columns = columns(**dict.fromkeys(names, "int32"))
            with pytest.raises(ConfigError):
                loader.plan(target, [])


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, datetime) and value.tzinfo:
        return value.timestamp()
    if isinstance(value, bytes):
        return value.hex()
    return value
