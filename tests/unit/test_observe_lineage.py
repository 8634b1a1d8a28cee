"""OpenLineage events: their documented shape, names of datasets, and a receiver that is no use."""

import importlib.util
import json
import logging
import socket
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jsonschema
import pytest

from ess_dask.catalog.model import WarehouseCluster
from ess_dask.observe import lineage
from ess_dask.observe.model import Beginning, Ending
from ess_dask.warehouse.connect import resolved_url
from ess_dask.warehouse.redshift.registry import register

PACKAGE = Path(lineage.__file__).parents[1]

FACET = {
    "type": "object",
    "properties": {
        "_producer": {"type": "string", "format": "uri"},
        "_schemaURL": {"type": "string", "pattern": r"^https://openlineage\.io/spec/facets/.*#/"},
    },
    "required": ["_producer", "_schemaURL"],
}
FACETS = {"type": "object", "additionalProperties": FACET}
DATASET = {
    "type": "object",
    "properties": {
        "namespace": {"type": "string", "minLength": 1},
        "name": {"type": "string", "minLength": 1},
        "facets": FACETS,
        "inputFacets": FACETS,
        "outputFacets": FACETS,
    },
    "required": ["namespace", "name"],
    "additionalProperties": False,
}
EVENT = {
    "type": "object",
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"type": "string", "format": "uri"},
        "run": {
            "type": "object",
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": FACETS},
            "required": ["runId"],
            "additionalProperties": False,
        },
        "job": {
            "type": "object",
            "properties": {
                "namespace": {"type": "string", "minLength": 1},
                "name": {"type": "string", "minLength": 1},
                "facets": FACETS,
            },
            "required": ["namespace", "name"],
            "additionalProperties": False,
        },
        "inputs": {"type": "array", "items": DATASET},
        "outputs": {"type": "array", "items": DATASET},
    },
    "required": ["eventTime", "producer", "schemaURL", "run", "job", "eventType"],
    "additionalProperties": False,
}
"""The shape of a run event (version 2-0-2), as OpenLineage documents it."""

BEGINNING = Beginning(
    run_id="20261127T003904-3216707d",
    pipeline="shop",
    started=1795739944.76,
    store="s3://my-lake/raw",
    target="duckdb:////srv/shop.duckdb",
    table="sales",
    columns=(("price", "float64"), ("userID", "string")),
    files=30,
    size=1_188_058,
)


def check(event):
    jsonschema.Draft202012Validator(
        EVENT, format_checker=jsonschema.FormatChecker(["date-time", "uuid"])
    ).validate(event)
    return event


def ending(code=0, error=""):
    return Ending(1795739949.2, code, "done", {"rows_loaded": 118_798}, error)


def test_events_have_the_documented_shape():
    start = check(lineage.start_event(BEGINNING))
    done = check(lineage.end_event(BEGINNING, ending()))
    assert (start["eventType"], done["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == done["run"]["runId"]
    assert start["eventTime"] == "2026-11-27T00:39:04.760+00:00"
    (read,), (written,) = done["inputs"], done["outputs"]
    assert (read["namespace"], read["name"]) == ("s3://my-lake", "raw")
    assert read["inputFacets"]["inputStatistics"]["fileCount"] == 30
    assert (written["namespace"], written["name"]) == ("duckdb:///srv/shop.duckdb", "main.sales")
    fields = [{"name": "price", "type": "float64"}, {"name": "userID", "type": "string"}]
    assert written["facets"]["schema"]["fields"] == fields
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 118_798


@pytest.mark.parametrize(("code", "kind"), [(1, "FAIL"), (3, "FAIL"), (4, "FAIL"), (130, "ABORT")])
def test_a_run_that_failed_says_why(code, kind):
    event = check(lineage.end_event(BEGINNING, ending(code, "no bucket")))
    assert event["eventType"] == kind
    assert event["run"]["facets"]["errorMessage"]["message"] == "no bucket"


def test_a_run_has_the_same_id_everywhere_and_always():
    assert lineage.run_uuid("20261127T003904-3216707d") == "28ef7592-1b2b-5667-b03b-b74e78d7661e"


STORES = ["s3://my-lake", "s3://my-lake/raw/2014/", "/data/lake", ""]
TABLES = [
    ("duckdb:////srv/shop.duckdb", "sales"),
    ("duckdb:///shop.duckdb", "main.sales"),
    ("redshift://etl@shop.abc123.eu-west-1.redshift.amazonaws.com:5439/dev?stage=s3://b", "sales"),
    ("redshift://wg.123.us-east-1.redshift-serverless.amazonaws.com/dev", "public.sales"),
    ("redshift://etl@10.1.2.3:5555/dev?schema=raw", "sales"),
    ("redshift://etl@/dev?cluster=shop&region=eu-west-1&iam=true", "sales"),
    ("redshift:///dev?workgroup=wg", "raw.sales"),
    ("other://user@host:1/x", "sales"),
    ("", "sales"),
    ("duckdb:///shop.duckdb", ""),
]


def test_datasets_are_named_as_the_airflow_provider_names_them(monkeypatch):
    path = PACKAGE / "airflow" / "lineage.py"
    spec = importlib.util.spec_from_file_location("lineage_of_airflow", path)
    theirs = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, theirs)
    spec.loader.exec_module(theirs)
    for store in STORES:
        assert shown(lineage.source_of(store)) == shown(theirs.source_of({"store": store}))
    for url, table in TABLES:
        report = {"warehouse": url, "table": table}
        assert shown(lineage.target_of(url, table)) == shown(theirs.target_of(report))


def test_a_cluster_is_named_by_identifier_and_region():
    for url, namespace, name in (
        (TABLES[2][0], "redshift://shop.eu-west-1:5439", "dev.public.sales"),
        (TABLES[4][0], "redshift://10.1.2.3:5555", "dev.raw.sales"),
        (TABLES[5][0], "redshift://shop.eu-west-1:5439", "dev.public.sales"),
        (TABLES[6][0], "redshift://wg:5439", "dev.public.sales"),
    ):
        assert shown(lineage.target_of(url, "sales")) == (namespace, name)


def test_a_registered_cluster_is_told_by_its_place(monkeypatch, tmp_path):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path))
    host = "shop.abc.eu-west-1.redshift.amazonaws.com"
    register(WarehouseCluster("prod", "shop", host, 5439, "dev", "etl", "eu-west-1", ""))
    for url in ("redshift://prod", f"redshift+redshift_connector://etl:pw@{host}/dev"):
        assert resolved_url(url).startswith(f"redshift://etl@{host}:5439/dev")
        name = shown(lineage.target_of(resolved_url(url), "sales"))
        assert name == ("redshift://shop.eu-west-1:5439", "dev.public.sales")
    assert resolved_url("duckdb:///a.duckdb") == "duckdb:///a.duckdb"


def shown(name):
    return name and (name.namespace, name.name)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers.get("Authorization")
        self.server.got.append((self.path, key, json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@contextmanager
def receiver(status=201):
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.got, server.status = [], status
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


def test_a_receiver_gets_the_events_with_the_key(monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "k1")
    with receiver() as (server, url):
        lineage.Sender(url).send(lineage.start_event(BEGINNING))
        lineage.Sender(f"{url}/own/path").send(lineage.end_event(BEGINNING, ending()))
    assert [(path, key) for path, key, _ in server.got] == [
        ("/api/v1/lineage", "Bearer k1"),
        ("/own/path", "Bearer k1"),
    ]
    assert [check(event)["eventType"] for *_, event in server.got] == ["START", "COMPLETE"]


def test_events_go_into_a_file_a_line_each_without_secrets(tmp_path):
    path = tmp_path / "events.ndjson"
    sender = lineage.Sender(str(path))
    sender.send(lineage.start_event(BEGINNING))
    sender.send(lineage.end_event(BEGINNING, ending(1, "password=hunter2 at redshift://a:pw9@h/d")))
    start, end = map(json.loads, path.read_text().splitlines())
    check(start)
    message = check(end)["run"]["facets"]["errorMessage"]["message"]
    assert "***" in message
    assert "hunter2" not in path.read_text()
    assert "pw9" not in path.read_text()


def test_a_receiver_that_is_no_use_is_said_once(caplog, tmp_path):
    with receiver(status=503) as (_, url):
        sender = lineage.Sender(url)
        with caplog.at_level(logging.WARNING):
            sender.send(lineage.start_event(BEGINNING))
            sender.send(lineage.end_event(BEGINNING, ending()))
    (said,) = caplog.messages
    assert "503" in said
    caplog.clear()
    lineage.Sender(str(tmp_path / "nowhere" / "x")).send(lineage.start_event(BEGINNING))
    assert "No such file" in caplog.text


@pytest.mark.slow
def test_a_receiver_that_never_ends_its_answer_is_left(monkeypatch, caplog):
    monkeypatch.setattr(lineage, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = threading.Thread(target=drip, args=(server,))
        held.start()
        began = time.monotonic()
        lineage.Sender(f"http://127.0.0.1:{server.getsockname()[1]}").send(
            lineage.start_event(BEGINNING)
        )
        assert time.monotonic() - began < 3
        held.join(10)
    assert "not sent" in caplog.text


def drip(server):
    """Answer with a byte now and then, for a second: no time-out of a single read sees it."""
    peer, _ = server.accept()
    with peer:
        for byte in b"HTTP/1.1 2":
            peer.sendall(bytes([byte]))
            time.sleep(0.1)
