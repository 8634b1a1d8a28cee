"""Loads into clusters that are stricter than the stand-in is by itself."""

from __future__ import annotations

import gzip
import json
import uuid
from dataclasses import replace

import pytest

from ess_dask.records.rejects import RAW_LIMIT
from ess_dask.testing.loads import Loader, Version, columns, sales
from ess_dask.warehouse.model import Target
from ess_dask.warehouse.redshift import load_errors
from ess_dask.warehouse.redshift.copy import Authorization, Copy
from ess_dask.warehouse.redshift.load_errors import CopyError
from ess_dask.warehouse.redshift.warehouse import open_redshift
from tests.redshift import only_standin

pytestmark = pytest.mark.slow


@pytest.fixture
def server(redshift, monkeypatch):
    server = only_standin(redshift)
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    server.faults.clear()
    yield server
    server.faults.clear()


@pytest.fixture
def schema(server):
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    server.query(f"drop schema if exists {name} cascade")


def url_of(server, schema, user=""):
    more = "&" if "?" in server.url else "?"
    url = server.url.replace(f"{server.user}:{server.password}@", user) if user else server.url
    stage = f"{server.stage}/{uuid.uuid4().hex}"
    return f"{url}{more}stage={stage}&iam_role={server.role}&schema={schema}"


@pytest.fixture
def poor_user(server, schema):
    """A user who may do what the documentation asks for, and no more."""
    server.query(f"create role {schema} login password 'Poor-1'")
    server.query(f"create schema {schema}")
    server.query(f"grant usage, create on schema {schema} to {schema}")
    yield f"{schema}:Poor-1@"
    server.query(f"drop owned by {schema} cascade")
    server.query(f"drop role {schema}")


def test_a_user_without_rights_on_the_database_loads(server, schema, poor_user, tmp_path):
    url = url_of(server, schema, poor_user)
    loader, target = Loader(open_redshift(url), tmp_path), Target(url, "sales", "p")
    bad = ((3, "id", "not an int32", b"x"),)
    assert loader.load(target, sales("a", 1, 2, rejected=bad)).rows_loaded == 2
    assert loader.load(target, sales("b", 3)).rows_loaded == 1
    assert server.query(f"select count(*) from {schema}.sales") == [(3,)]


@pytest.fixture
def blank_user(server, schema, poor_user):
    """A user to whom texts are equal that differ in blanks at their ends, as in Redshift."""
    server.query(
        f"create function {schema}.alike(varchar, varchar) returns bool immutable language sql "
        "as 'select pg_catalog.rtrim($1) operator(pg_catalog.=) pg_catalog.rtrim($2)'"
    )
    server.query(
        f"create operator {schema}.= (leftarg = varchar, rightarg = varchar, "
        f"function = {schema}.alike)"
    )
    server.query(f"alter role {schema} set search_path = {schema}, pg_catalog")
    return poor_user


def test_files_whose_names_end_in_blanks_are_files_of_their_own(
    server, schema, blank_user, tmp_path
):
    url = url_of(server, schema, blank_user)
    loader = Loader(open_redshift(url), tmp_path)
    target = Target(url, "sales", "p", on_change="reprocess")
    bad = ((3, "id", "not an int32", b"x"),)
    named = [replace(sales("a", 1, 2, rejected=bad), uri=uri) for uri in ("a", "a  ")]
    assert loader.load(target, *named).rows_loaded == 4
    assert loader.load(target, replace(sales("a", 9), uri="a ")).rows_loaded == 1
    assert len(loader.warehouse.rejects("sales")) == 2
    changed = loader.load(target, replace(sales("a", 7), uri="a  ", etag="new"))
    assert (changed.rows_loaded, changed.rows_deleted) == (1, 2)
    found = server.query(f"select id, _ess_file from {schema}.sales order by 1")
    assert found == [(1, "a"), (2, "a"), (7, "a  "), (9, "a ")]
    assert [entry.file.uri for entry in loader.warehouse.ledger("sales")] == ["a", "a ", "a  "]
    assert loader.warehouse.rejects("sales")["uri"].to_pylist() == ["a"]


def test_keys_that_end_in_blanks_are_keys_of_their_own(server, schema, blank_user, tmp_path):
    url = url_of(server, schema, blank_user)
    loader = Loader(open_redshift(url), tmp_path)
    target = Target(url, "t", "p", mode="upsert", key=("name", "part"))
    loader.columns = columns(id="int32", name="string", part="string")
    rows = ((1, "k", "x"), (2, "k ", "x"), (3, "k", "x"), (4, "k", None), (5, "k ", None))
    loader.load(target, Version("a", rows))
    loader.load(target, Version("b", ((6, "k ", "x"), (7, "k", None))))
    found = server.query(f"select id, name, part from {schema}.t order by 1")
    assert found == [(3, "k", "x"), (5, "k ", None), (6, "k ", "x"), (7, "k", None)]


def test_a_schema_in_capitals_is_the_folded_one(server, schema, tmp_path):
    url = url_of(server, schema.upper())
    loader, target = Loader(open_redshift(url), tmp_path), Target(url, "sales", "p")
    assert loader.load(target, sales("a", 1)).rows_loaded == 1
    assert loader.load(target, sales("b", 2)).rows_loaded == 1
    assert len(loader.warehouse.ledger("sales")) == 2


def test_the_longest_raw_text_of_a_rejected_row_comes_back(server, schema, tmp_path):
    url = url_of(server, schema)
    loader, target = Loader(open_redshift(url), tmp_path), Target(url, "sales", "p")
    raw = bytes(range(256)) * (RAW_LIMIT // 256)
    short = ((2, "id", "empty", b""), (3, "id", "long", raw))
    loader.load(target, sales("a", 1, rejected=short))
    assert loader.warehouse.rejects("sales")["raw"].to_pylist() == [b"", raw]


def test_a_cluster_that_hides_its_slices_gets_the_parts_as_they_are(server, schema):
    warehouse = open_redshift(url_of(server, schema))
    assert warehouse._slices() == 4
    server.faults.fail_matching("stv_slices", "42501", "permission denied for relation stv_slices")
    assert warehouse._slices() == 1


class TestLoadErrors:
    @pytest.fixture
    def failing(self, server, warehouse_client):
        """Return a COPY of a text that is too long."""
        table = warehouse_client.table("name varchar(2)")
        url = warehouse_client.put("part.csv.gz", gzip.compress(b'"a"\n"long"\n'))
        manifest = warehouse_client.put(
            "rows.manifest", json.dumps({"entries": [{"url": url, "mandatory": True}]}).encode()
        )
        return Copy(f'"{table}"', ("name",), manifest, Authorization(role=server.role), "csv", "-")

    def copy(self, server, command):
        warehouse = open_redshift(url_of(server, "public"))
        with warehouse.session() as session, pytest.raises(CopyError) as caught:
            load_errors.copy(session, command, 2)
        return caught.value

    def test_rows_that_are_seen_late_are_waited_for(self, server, failing, monkeypatch):
        monkeypatch.setattr(load_errors, "PAUSES", (0.0, 0.05, 0.05))
        for view in ("sys_load_error_detail", "stl_load_errors"):
            server.faults.fail_matching(view, "42501", "permission denied", count=2)
        assert [row.column for row in self.copy(server, failing).rows] == ["name"]

    def test_rows_of_another_load_are_not_taken_for_its_own(self, server, failing, monkeypatch):
        monkeypatch.setattr(load_errors, "PAUSES", (0.0,))
        gone = replace(failing, manifest=f"{server.stage}/gone/rows.manifest")
        warehouse = open_redshift(url_of(server, "public"))
        with warehouse.session() as session:
            with pytest.raises(CopyError) as first:
                load_errors.copy(session, failing, 2)
            with pytest.raises(CopyError) as second:
                load_errors.copy(session, gone, 2)
        assert (len(first.value.rows), second.value.rows) == (1, ())
