"""Rows that COPY refuses: every one of them is told, and nothing is loaded."""

from __future__ import annotations

import uuid

import pytest

from ess_dask.errors import AccessError, DataError
from ess_dask.testing.loads import Loader, Version, sales
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.model import Target
from ess_dask.warehouse.redshift.load_errors import CopyError
from tests.redshift import only_standin

pytestmark = pytest.mark.slow


@pytest.fixture
def server(redshift, monkeypatch):
    server = only_standin(redshift)
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    server.schema = f"t{uuid.uuid4().hex[:12]}"
    yield server
    server.query(f"DROP SCHEMA IF EXISTS {server.schema} CASCADE")


def shop(server, tmp_path, more="", role=None):
    url = f"{server.url}&stage={server.stage}&iam_role={role or server.role}{more}"
    url += f"&schema={server.schema}"
    return Loader(open_warehouse(url), tmp_path / "stage"), Target(url, "sales", "shop")


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_nulls_where_the_user_wants_none(server, tmp_path, format_):
    """The user changed the table behind the staging: a direct load meets it row by row."""
    loader, target = shop(server, tmp_path, f"&direct=true&format={format_}")
    loader.load(target, sales("first", 1))
    rows = tuple((n, None if n % 10 == 3 else "fine", 1.0) for n in range(200))
    request = loader.request(target, Version("second", rows))
    server.query(f"ALTER TABLE {server.schema}.sales ALTER COLUMN name SET NOT NULL")
    with pytest.raises(DataError) as caught:
        loader.warehouse.load(request)
    if format_ == "csv":
        # Parquet is refused as a whole, with the file and the column.
        assert isinstance(caught.value, CopyError)
        assert [row.line for row in caught.value.rows] == list(range(4, 201, 10))
        assert {(row.column, row.code) for row in caught.value.rows} == {("name", 1213)}
        assert "20 row(s)" in caught.value.message and "and 10 more" in caught.value.message
    assert "name" in caught.value.message and "part-" in caught.value.message
    assert server.query(f"SELECT count(*) FROM {server.schema}.sales") == [(1,)]
    assert len(loader.warehouse.ledger()) == len(loader.warehouse.loads()) == 1


def test_a_role_without_permission(server, tmp_path):
    loader, target = shop(server, tmp_path, role="arn:aws:iam::123456789012:role/other")
    with pytest.raises(AccessError, match="role"):
        loader.load(target, sales("a", 1))
    assert loader.warehouse.ledger() == ()


def test_a_part_that_is_gone_before_copy(server, tmp_path):
    loader, target = shop(server, tmp_path)
    request = loader.request(target, sales("a", 1), sales("b", 2), sales("c", 3))
    bucket, _, key = request.parts[1].path[5:].partition("/")
    server.s3.client().delete_object(Bucket=bucket, Key=key)
    with pytest.raises(DataError, match=key.rpartition("/")[2]) as caught:
        loader.warehouse.load(request)
    assert caught.value.hint == "nothing was loaded; run again"
    assert loader.warehouse.ledger() == ()
