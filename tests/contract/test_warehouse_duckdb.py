"""The DuckDB back end against the conformance suite of warehouses, and what is its own."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from ess_dask.errors import DataError
from ess_dask.testing.loads import Loader, Version, every_type, sales
from ess_dask.testing.warehouse import WarehouseConformance
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.duckdb import transaction
from ess_dask.warehouse.model import Target

pytestmark = pytest.mark.slow

DAMAGE = {
    "value": "UPDATE sales SET price = 7 WHERE id = 3",
    "row": "DELETE FROM sales WHERE id = 3",
    "text": "UPDATE sales SET name = 'eman 3' WHERE id = 3",
}


class TestDuckDB(WarehouseConformance):
    @pytest.fixture
    def warehouse_url(self, tmp_path):
        return f"duckdb:///{tmp_path}/warehouse.duckdb?memory_limit=500MB&threads=2"

    def query(self, url, sql):
        with duckdb.connect(str(open_warehouse(url).path)) as connection:
            return connection.execute(sql).fetchall()

    def hex_of(self, name):
        return f"lower(hex({name}))"

    def damage_inserts(self, monkeypatch, change):
        insert = transaction._insert

        def damaged(connection, request, name, source):
            rows = insert(connection, request, name, source)
            connection.execute(DAMAGE[change])
            return rows

        monkeypatch.setattr(transaction, "_insert", damaged)

    def test_texts_are_compared_when_asked(self, warehouse_url, tmp_path, monkeypatch):
        self.damage_inserts(monkeypatch, "text")
        quick = Loader(open_warehouse(warehouse_url), tmp_path / "quick")
        quick.load(Target(warehouse_url, "sales", "quick"), sales("a", 3))
        careful = Loader(open_warehouse(warehouse_url + "&text_digest=true"), tmp_path / "careful")
        with pytest.raises(DataError, match="md5"):
            careful.load(Target(warehouse_url, "sales", "careful"), sales("a", 3))

    def test_every_type_with_texts_compared(self, warehouse_url, tmp_path):
        loader = Loader(open_warehouse(warehouse_url + "&text_digest=true"), tmp_path / "stage")
        types = every_type()
        loader.columns = tuple(types)
        version = Version("a", tuple(zip(*types.values(), strict=True)))
        assert loader.load(Target(warehouse_url, "t", "p"), version).rows_loaded == 4

    def test_schema_named_as_the_file(self, tmp_path):
        url = f"duckdb:///{tmp_path}/shop.duckdb"
        loader = Loader(open_warehouse(url), tmp_path / "stage")
        target = Target(url, "shop.sales", "p", on_change="reprocess")
        loader.load(target, sales("a", 1))
        loader.columns = loader.columns[::-1]
        loader.load(target, replace(sales("a", 2, etag="v2"), rows=((1.0, "x", 2),)))
        assert self.query(url, "SELECT id FROM shop.shop.sales") == [(2,)]

    def test_rejects_of_an_earlier_release_are_read_and_mended(self, loader, target):
        loader.load(target, sales("a", 1, rejected=((2, "id", "bad", b"x"),)))
        for name in ("member", "title", "replayed_by"):
            self.query(target.url, f"ALTER TABLE _ess_rejects DROP COLUMN {name}")
        (row,) = loader.warehouse.rejects().to_pylist()
        assert (row["line"], row["member"], row["title"]) == (2, "", "")
        loader.load(target, sales("b", 2, rejected=((3, "id", "bad", b"y"),)))
        assert loader.warehouse.rejects()["line"].to_pylist() == [2, 3]
