"""The Redshift back end against the conformance suite of warehouses, through the stand-in."""

from __future__ import annotations

import uuid

import pytest

from ess_dask.testing.warehouse import WarehouseConformance
from ess_dask.warehouse.redshift import load

pytestmark = pytest.mark.slow

DAMAGE = {
    "value": "UPDATE {table} SET price = 7 WHERE id = 3",
    "row": "DELETE FROM {table} WHERE id = 3",
}


@pytest.fixture(scope="module")
def redshift(tmp_path_factory):
    from ess_dask.testing.redshift import standin

    with standin(tmp_path_factory.mktemp("redshift"), store="moto") as server:
        yield server


class TestRedshift(WarehouseConformance):
    @pytest.fixture
    def server(self, redshift, monkeypatch):
        for name, value in redshift.env.items():
            monkeypatch.setenv(name, value)
        return redshift

    @pytest.fixture
    def warehouse_url(self, server):
        self.server, self.schema = server, f"t{uuid.uuid4().hex[:12]}"
        server.query(f"CREATE SCHEMA {self.schema}")
        yield f"{server.url}&stage={server.stage}&iam_role={server.role}&schema={self.schema}"
        server.query(f"DROP SCHEMA {self.schema} CASCADE; DROP SCHEMA IF EXISTS shop CASCADE")

    def query(self, url, sql):
        with self.server.postgres.connect(self.server.database, self.server.user) as connection:
            connection.execute(f"SET search_path TO {self.schema}, public")
            cursor = connection.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def damage_inserts(self, monkeypatch, change):
        insert = load.insert_rows

        def damaged(session, request, name, source):
            rows = insert(session, request, name, source)
            session.run(DAMAGE[change].format(table=name.sql))
            return rows

        monkeypatch.setattr(load, "insert_rows", damaged)
