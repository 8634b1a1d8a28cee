"""The Redshift back end against the conformance suite of warehouses: the stand-in, or a cluster."""

from __future__ import annotations

import uuid
from urllib.parse import quote

import pytest

from ess_dask.errors import AccessError
from ess_dask.testing.loads import Loader, Version, columns, every_type, sales
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

    def test_two_users_of_one_table_and_ledger(self, warehouse_url, redshift, tmp_path):
        """A table whose columns a user may not see is not one that is gone."""
        name, password = f"u{uuid.uuid4().hex[:12]}", "Another-1"
        own = f"{quote(redshift.user)}:{quote(redshift.password)}@"
        assert own in warehouse_url
        url = warehouse_url.replace(own, f"{name}:{password}@")
        owner = Loader(open_warehouse(warehouse_url), tmp_path / "owner")
        other = Loader(open_warehouse(url), tmp_path / "other", count=100)
        target = Target(warehouse_url, "t", "p")
        owner.load(target, sales("a", 1, 2))
        self.query("", f"CREATE USER {name} PASSWORD '{password}'")
        try:
            self.query("", f"GRANT TEMP ON DATABASE {redshift.database} TO {name}")
            self.query("", f"GRANT USAGE ON SCHEMA {self.schema} TO {name}")
            for table in ("meta", "ledger", "loads", "digests", "rejects"):
                right = f"SELECT, INSERT, UPDATE ON {self.schema}._ess_{table}"
                self.query("", f"GRANT {right} TO {name}")
            with pytest.raises(AccessError, match="columns are hidden"):
                other.plan(target, [sales("a", 1, 2), sales("b", 3)])
            self.query("", f"GRANT SELECT, INSERT, DELETE ON {self.schema}.t TO {name}")
            assert other.load(target, sales("a", 1, 2), sales("b", 3)).rows_loaded == 1
            assert owner.load(target, sales("b", 3)).files == 0
            with pytest.raises(AccessError, match="owner") as caught:
                other.load(target, Version("c", ((4, "x" * 99, 1.0),)))
            assert "only its owner" in caught.value.hint
            assert self.query("", "SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,)]
        finally:
            self.query("", f"DROP SCHEMA {self.schema} CASCADE")
            self.query("", f"CREATE SCHEMA {self.schema}")
            self.query("", f"REVOKE ALL ON DATABASE {redshift.database} FROM {name}")
            self.query("", f"DROP USER {name}")

    def test_the_table_in_lower_case_is_meant(self, warehouse_url, tmp_path):
        self.query("", "SET enable_case_sensitive_identifier TO true")
        self.query("", 'CREATE TABLE "T" (id INTEGER)')
        self.query("", "RESET enable_case_sensitive_identifier")
        loader = Loader(open_warehouse(warehouse_url), tmp_path / "stage")
        loader.columns = columns(id="int32")
        assert loader.plan(Target(warehouse_url, "new", "p"), []).ddl
        self.query("", "CREATE TABLE t (id INTEGER, _ess_load VARCHAR(256), _ess_file VARCHAR(99))")
        assert loader.load(Target(warehouse_url, "T", "p"), Version("a", ((1,),))).rows_loaded == 1
        assert self.query("", "SELECT id FROM t") == [(1,)]
