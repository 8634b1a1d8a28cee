"""The Redshift back end against the conformance suite of warehouses: the stand-in, or a cluster."""

from __future__ import annotations

import uuid

import pytest

from ess_dask.testing.loads import Loader, Version, columns, every_type
from ess_dask.testing.warehouse import WarehouseConformance
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.model import Target
from ess_dask.warehouse.redshift import load
from ess_dask.warehouse.redshift.warehouse import RedshiftWarehouse
from tests.redshift import run

pytestmark = pytest.mark.slow

DAMAGE = {
    "value": "UPDATE {table} SET price = 7 WHERE id = 3",
    "row": "DELETE FROM {table} WHERE id = 3",
}


class TestRedshift(WarehouseConformance):
    @pytest.fixture
    def warehouse_url(self, redshift, warehouse_client, monkeypatch):
        for name, value in redshift.env.items():
            monkeypatch.setenv(name, value)
        self.connection, self.schema = warehouse_client.connect(), f"t{uuid.uuid4().hex[:12]}"
        self.query("", f"CREATE SCHEMA {self.schema}")
        more = "&" if "?" in redshift.url else "?"
        yield (
            f"{redshift.url}{more}stage={redshift.stage}&iam_role={redshift.role}"
            f"&schema={self.schema}"
        )
        self.query("", f"DROP SCHEMA {self.schema} CASCADE")
        self.query("", "DROP SCHEMA IF EXISTS shop CASCADE")

    def query(self, url, sql):
        run(self.connection, f"SET search_path TO {self.schema}, public")
        rows = run(self.connection, sql)
        self.connection.commit()
        return rows or []

    def hex_of(self, name):
        return f"to_hex({name})"

    def damage_inserts(self, monkeypatch, change):
        insert = load.insert_rows

        def damaged(session, request, name, source):
            rows = insert(session, request, name, source)
            session.run(DAMAGE[change].format(table=name.sql))
            return rows

        monkeypatch.setattr(load, "insert_rows", damaged)

    def test_every_type_with_texts_compared(self, warehouse_url, tmp_path):
        url = f"{warehouse_url}&text_digest=true"
        loader = Loader(open_warehouse(url), tmp_path / "stage")
        types = every_type()
        loader.columns = tuple(types)
        version = Version("a", tuple(zip(*types.values(), strict=True)))
        assert loader.load(Target(url, "t", "p"), version).rows_loaded == 4

    def test_what_the_table_has_room_for_needs_no_ddl(self, warehouse_url, tmp_path):
        """A text is not widened ahead of need: a view upon the column would forbid it."""
        loader = Loader(open_warehouse(warehouse_url), tmp_path / "stage")
        loader.columns = columns(id="int32", name="string")
        target = Target(warehouse_url, "t", "p")
        loader.load(target, Version("a", ((1, "x"),)))
        self.query("", "CREATE VIEW seen AS SELECT name FROM t")
        full = loader.request(target, Version("b", ((2, "y" * 16),)))
        assert full.plan.ddl == ()
        assert loader.warehouse.load(full).rows_loaded == 1
        assert loader.request(target, Version("c", ((3, "z" * 17),))).plan.ddl == (
            f'ALTER TABLE "{self.schema}"."t" ALTER COLUMN "name" TYPE VARCHAR(32)',
        )

    @pytest.mark.parametrize("first", [b"", b"x" * 8, b"x" * 70_000])
    def test_a_binary_has_room_from_the_start(self, warehouse_url, tmp_path, first):
        """Redshift makes no VARBYTE longer: a short first file must not decide for ever."""
        loader = Loader(open_warehouse(warehouse_url), tmp_path / "stage")
        loader.columns = columns(id="int32", data="binary")
        target = Target(warehouse_url, "t", "p")
        loader.load(target, Version("a", ((1, first),)))
        most = max(64_000, len(first))
        assert loader.load(target, Version("b", ((2, b"y" * most),))).rows_loaded == 1
        assert self.query("", "SELECT octet_length(data) FROM t ORDER BY id") == [
            (len(first),),
            (most,),
        ]

    @pytest.mark.parametrize("moment", ["before", "widen"])
    def test_a_table_that_another_load_made_shorter_is_widened(
        self, warehouse_url, tmp_path, moment
    ):
        """Two first loads at once: the second is planned for a table that is not there yet."""
        target = Target(warehouse_url, "t", "p")
        loader = Loader(open_warehouse(warehouse_url), tmp_path / "stage")
        loader.columns = columns(id="int32", name="string")
        late = loader.request(target, Version("b", ((2, "y" * 500),)))
        first = loader.request(target, Version("a", ((1, "x"),)))
        waiting = [first]

        def watch(step):
            if step == moment and waiting:
                loader.warehouse.load(waiting.pop())

        watch("before")
        loaded = RedshiftWarehouse(loader.warehouse.url, watch).load(late)
        assert (loaded.rows_loaded, waiting) == (1, [])
        assert self.query("", "SELECT id, octet_length(name) FROM t ORDER BY 1") == [
            (1, 1),
            (2, 500),
        ]
