"""Staging for Redshift into real S3 servers: what is stored, forgotten, retried, divided, swept."""

from __future__ import annotations

import http.client
import http.server
import io
import json
import os
import random
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stamina

from ess_dask.catalog import s3_objects
from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import AccessError, DataError, TransientError
from ess_dask.testing.loads import columns
from ess_dask.testing.s3 import free_port, moto_s3, rclone_s3, require_authorization
from ess_dask.warehouse.digest import compare
from ess_dask.warehouse.redshift.balance import LEAST_BYTES, Division, balanced, divide
from ess_dask.warehouse.redshift.csv_part import read_csv
from ess_dask.warehouse.redshift.digest import combine, table_digest
from ess_dask.warehouse.redshift.manifest import sweep, write_manifest
from ess_dask.warehouse.redshift.staging import RedshiftShape, RedshiftSink

pytestmark = pytest.mark.timeout(300)

FILES = tuple(FileRef(f"/lake/żółw {n}.csv", None, 10, "e") for n in range(6))
COLUMNS = columns(n="int64", s="string", b="binary")


QUICKLY = partial(stamina.retry_context, wait_max=0.01)


@pytest.fixture(scope="module")
def moto():
    with moto_s3() as running:
        yield running


@pytest.fixture(scope="module")
def rclone(tmp_path_factory):
    with rclone_s3(tmp_path_factory.mktemp("rclone")) as running:
        yield running


@contextmanager
def bucket_of(server, monkeypatch, tmp_path):
    """Let this process talk to this server only; give a client of the empty bucket ``bucket``."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    client = server.client()
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="bucket")
    for key in keys(client):
        client.delete_object(Bucket="bucket", Key=key)
    yield client


@pytest.fixture(params=["moto", "rclone"])
def s3(request, monkeypatch, tmp_path):
    with bucket_of(request.getfixturevalue(request.param), monkeypatch, tmp_path) as client:
        yield client


@pytest.fixture
def on_moto(moto, monkeypatch, tmp_path):
    with bucket_of(moto, monkeypatch, tmp_path) as client:
        yield client
        require_authorization(moto, after=1_000_000)


@pytest.fixture
def sink(tmp_path):
    """Give a sink, its folder on this disk."""
    return RedshiftSink(str(tmp_path / "local"), "s3://bucket/stage/l1", "l1", COLUMNS)


def keys(client, prefix=""):
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))


def stored(client, part):
    key = part.path.removeprefix("s3://bucket/")
    data = client.get_object(Bucket="bucket", Key=key)["Body"].read()
    assert len(data) == part.bytes
    return data


def rows(client, parts):
    """Return (n, uri) of all rows, after checking each part against what was told of it."""
    found = []
    for part in parts:
        table = pq.read_table(io.BytesIO(stored(client, part)))
        assert table.num_rows == part.rows
        assert set(part.uris) == set(table["_ess_file"].to_pylist())
        assert part.digest == table_digest(table, COLUMNS, text=False)
        longest = {
            name: max(
                (len(bytes(v, "utf-8") if name == "s" else v) for v in values if v), default=0
            )
            for name, values in table.select(["s", "b"]).to_pydict().items()
        }
        assert dict(part.widths) == longest
        found += zip(table["n"].to_pylist(), table["_ess_file"].to_pylist(), strict=True)
    return found


def piece(start, count, *files, noise=0):
    """Return a piece of numbered rows, dealt to the files in equal runs."""
    rng = random.Random(start)
    table = pa.table(
        {
            "n": pa.array(range(start, start + count), pa.int64()),
            "s": [None if n % 5 == 0 else "ż" * (n % 7) for n in range(start, start + count)],
            "b": pa.array([rng.randbytes(noise or n % 3) for n in range(count)], pa.binary()),
        }
    )
    file_of = np.arange(count) * len(files) // max(count, 1)
    return Piece(table, files, file_of.astype(np.int32))


def stage(sink, *steps, number=3):
    writer = sink.open(Batch(number, FILES))
    for step in steps:
        writer.forget(step) if isinstance(step, FileRef) else writer.write(step)
    return writer.close()


def test_parts_are_stored_whole_and_nothing_is_left_here(s3, sink, tmp_path):
    steps = [piece(0, 6, *FILES[:2]), *[piece(n, 10, FILES[2]) for n in (10, 20, 30)]]
    parts = stage(sink, *steps)
    assert [part.path for part in parts] == [
        f"s3://bucket/stage/l1/part-000003-000{n}.parquet" for n in range(2)
    ]
    assert [part.uris for part in parts] == [(FILES[0].uri, FILES[1].uri), (FILES[2].uri,)]
    assert [n for n, _ in rows(s3, parts)] == [*range(6), *range(10, 40)]
    assert list((tmp_path / "local").iterdir()) == []
    assert keys(s3) == [part.path.removeprefix("s3://bucket/") for part in parts]


def test_forgotten_files_are_in_no_part_nor_in_its_digest(s3, sink):
    shared, again = piece(0, 8, *FILES[:4]), piece(100, 3, FILES[1])
    parts = stage(sink, shared, FILES[1], FILES[3], again)
    kept = {(n, FILES[n // 2].uri) for n in (0, 1, 4, 5)}
    assert set(rows(s3, parts)) == kept | {(n, FILES[1].uri) for n in (100, 101, 102)}
    large = [piece(n * 10, 10, FILES[4]) for n in range(3)]
    parts = stage(sink, shared, *large, FILES[4], piece(7, 1, FILES[5]))
    assert {uri for _, uri in rows(s3, parts)} == {file.uri for file in (*FILES[:4], FILES[5])}


def test_bytes_are_the_same_every_time(on_moto, sink):
    for made in (sink, replace(sink, format="csv", ordered=True, direct=True)):
        once = stage(made, *[piece(n * 50, 50, FILES[0]) for n in range(4)])
        first = [stored(on_moto, part) for part in once]
        retried = stage(
            made, piece(0, 50, FILES[0]), FILES[0], *[piece(n * 50, 50, FILES[0]) for n in range(4)]
        )
        assert retried == once
        assert [stored(on_moto, part) for part in retried] == first


def test_abort_takes_back_what_was_published(on_moto, sink, tmp_path):
    writer = sink.open(Batch(0, FILES))
    writer.write(piece(0, 5, *FILES[:2]))
    writer.close()
    assert len(keys(on_moto)) == 1
    writer.abort()
    assert keys(on_moto) == []
    writer.write(piece(0, 5, *FILES[:2]))
    writer.abort()
    assert writer.close() == ()
    assert (keys(on_moto), list((tmp_path / "local").iterdir())) == ([], [])


def test_a_large_part_goes_up_in_blocks(s3, sink, monkeypatch):
    monkeypatch.setattr(s3_objects, "UPLOAD_BLOCK", 5 << 20)
    (part,) = stage(sink, piece(0, 1200, *FILES[:2], noise=10_000))
    assert part.bytes > 11 << 20
    assert len(rows(s3, [part])) == 1200


def test_parts_are_begun_anew_by_size(on_moto, sink, monkeypatch):
    monkeypatch.setattr("ess_dask.warehouse.staging_part.ROW_GROUP_BYTES", 50_000)
    pieces = [piece(n * 100, 100, FILES[1], noise=1000) for n in range(8)]
    parts = stage(replace(sink, part_bytes=200_000), *pieces)
    assert [part.bytes > 200_000 for part in parts[:-1]] == [True] * (len(parts) - 1)
    assert all(part.bytes < 350_000 for part in parts)
    assert len(parts) > 2
    assert [n for n, _ in rows(on_moto, parts)] == list(range(800))


def test_csv_parts(s3, sink, tmp_path):
    made = replace(sink, format="csv", direct=True)
    (part,) = stage(made, piece(0, 60, *FILES[:2]))
    assert part.path.endswith("/part-000003-0000.csv.gz")
    path = tmp_path / "back.csv.gz"
    path.write_bytes(stored(s3, part))
    schema = RedshiftShape(made).schema
    back = pa.concat_tables(read_csv(path, schema, "l1"))
    assert back.select(["n", "s", "b"]) == piece(0, 60, FILES[0]).table
    assert list((tmp_path / "local").iterdir()) == []


def test_manifest_names_what_the_workers_told(on_moto, sink):
    parts = stage(sink, piece(0, 4, *FILES[:2]))
    on_moto.put_object(Bucket="bucket", Key="stage/l1/part-000003-00009.parquet", Body=b"stray")
    url = write_manifest(sink.prefix, parts, "manifest-1.json")
    assert url == "s3://bucket/stage/l1/manifest-1.json"
    data = on_moto.get_object(Bucket="bucket", Key="stage/l1/manifest-1.json")["Body"].read()
    assert json.loads(data) == {
        "entries": [
            {"url": parts[0].path, "mandatory": True, "meta": {"content_length": parts[0].bytes}}
        ]
    }


def test_sweep_takes_this_load_and_no_other(s3, sink):
    for other in ("l1", "l10", "l1x"):
        stage(replace(sink, prefix=f"s3://bucket/stage/{other}"), piece(0, 4, *FILES[:2]))
    assert sweep("s3://bucket/stage/l1") == 1
    assert sweep("s3://bucket/stage/l1/") == 0
    assert [key.split("/")[1] for key in keys(s3)] == ["l10", "l1x"]


def test_sweep_of_many_objects(on_moto, monkeypatch):
    monkeypatch.setattr(s3_objects, "_KEYS_AT_ONCE", 10)
    for number in range(25):
        on_moto.put_object(Bucket="bucket", Key=f"stage/l1/{number}", Body=b"")
    assert sweep("s3://bucket/stage/l1") == 25
    assert keys(on_moto) == []


def in_turn(function, items):
    return [function(item) for item in items]


@pytest.mark.parametrize(("form", "slices"), [("parquet", 4), ("csv", 4), ("parquet", 8)])
def test_balanced_parts_hold_the_same(s3, sink, form, slices, tmp_path):
    made = replace(sink, format=form, ordered=True)
    parts = (
        *stage(made, piece(0, 900, *FILES[:3], noise=7_000)),
        *stage(made, piece(2000, 20, *FILES[3:5]), number=4),
    )
    found = balanced(parts, slices, in_turn, made)
    assert len(found) == 4 if slices == 4 else len(found) in range(4, 9)
    assert found[-1] == parts[-1]
    assert all(part.bytes > 0.9 * LEAST_BYTES for part in found[:-1])
    assert sum(part.rows for part in found) == 920
    assert compare(combine([p.digest for p in parts]), combine([p.digest for p in found])) == ()
    for name in ("s", "b"):
        widths = [max(dict(part.widths)[name] for part in some) for some in (parts, found)]
        assert widths[0] == widths[1]
    assert found[0].uris == (FILES[0].uri,)
    assert found[0].path.endswith(
        "/part-000003-0000-00." + ("parquet" if form == "parquet" else "csv.gz")
    )
    assert list((tmp_path / "local").iterdir()) == []
    if form == "parquet":
        assert [n for n, _ in rows(s3, found)] == [*range(900), *range(2000, 2020)]
    assert balanced(parts, slices, in_turn, made) == found


def test_balance_leaves_small_loads(on_moto, sink):
    parts = stage(sink, piece(0, 4, *FILES[:2]))
    assert balanced(parts, 8, in_turn, sink) == parts
    assert balanced((), 8, in_turn, sink) == ()


def test_a_part_that_is_not_what_was_told_is_not_divided(on_moto, sink):
    (part,) = stage(sink, piece(0, 400, *FILES[:2], noise=9_000))
    for told in (300, 500):
        with pytest.raises(DataError, match=f"does not hold its {told} rows"):
            divide(Division(replace(part, rows=told), 2, sink))
    with pytest.raises(DataError, match="vanished"):
        divide(Division(replace(part, path=part.path + "x"), 2, sink))


def test_a_bucket_that_is_closed_or_missing(moto, on_moto, sink, tmp_path):
    gone = replace(sink, prefix="s3://nobucket/stage/l1")
    with pytest.raises(AccessError, match="nobucket does not exist"):
        stage(gone, piece(0, 4, *FILES[:2]))
    require_authorization(moto, after=0)
    with pytest.raises(AccessError, match="refused"):
        stage(sink, piece(0, 4, *FILES[:2]))
    require_authorization(moto, after=1_000_000)
    assert keys(on_moto) == []
    assert [path.suffix for path in (tmp_path / "local").iterdir()] == []


class Flaky(http.server.BaseHTTPRequestHandler):
    """Passes requests on, after it has refused or cut off the first ones that write."""

    protocol_version = "HTTP/1.1"
    target: str
    faults: list[str]
    seen: list[str]

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append(self.path)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "reset":
            self.close_connection = True
            self.connection.close()
            return
        if fault:
            answer = f"<Error><Code>{fault}</Code><Message>x</Message></Error>".encode()
            self.answer(503, [], answer)
            return
        upstream = http.client.HTTPConnection(self.target, timeout=20)
        upstream.request(self.command, self.path, body, dict(self.headers))
        got = upstream.getresponse()
        self.answer(got.status, got.getheaders(), got.read())
        upstream.close()

    do_GET = do_POST = do_DELETE = do_HEAD = do_PUT

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {
                "content-length",
                "transfer-encoding",
                "connection",
                "date",
                "server",
            }:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def flaky(moto):
    """Give (endpoint, faults to come, paths seen) of a door to moto that fails as told."""
    faults, seen = [], []
    attributes = {"target": moto.endpoint.removeprefix("http://"), "faults": faults, "seen": seen}
    handler = type("Handler", (Flaky,), attributes)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", faults, seen
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_busy_servers_and_cut_connections_are_tried_again(on_moto, flaky, sink, monkeypatch):
    endpoint, faults, seen = flaky
    monkeypatch.setattr("stamina.retry_context", QUICKLY)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    faults += ["SlowDown", "reset", "InternalError"]
    parts = stage(sink, piece(0, 6, *FILES[:2]))
    assert len(seen) == 4
    assert len(rows(on_moto, parts)) == 6


def test_a_server_that_stays_busy_leaves_nothing(on_moto, flaky, sink, monkeypatch, tmp_path):
    endpoint, faults, _ = flaky
    monkeypatch.setattr("stamina.retry_context", QUICKLY)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    faults += ["SlowDown"] * 50
    writer = sink.open(Batch(0, FILES))
    writer.write(piece(0, 6, *FILES[:2]))
    with pytest.raises(TransientError, match="SlowDown"):
        writer.close()
    faults.clear()
    writer.abort()
    assert (keys(on_moto), list((tmp_path / "local").iterdir())) == ([], [])


MEMORY = """
import resource, sys
import numpy as np, pyarrow as pa
from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece
from ess_dask.testing.loads import columns
from ess_dask.warehouse.redshift.staging import RedshiftSink

folder, pieces, form = sys.argv[1], int(sys.argv[2]), sys.argv[3]
COLUMNS = columns(n="int64", f="float64")
sink = RedshiftSink(folder, "s3://bucket/stage/m", "m", COLUMNS, format=form)
file, rng = FileRef("/l/big", None, 1, "e"), np.random.default_rng(1)
writer = sink.open(Batch(0, (file,)))
rows = 500_000
for _ in range(pieces):
    table = pa.table({"n": rng.integers(0, 2**62, rows), "f": rng.random(rows)})
    writer.write(Piece(table, (file,), np.zeros(rows, np.int32)))
parts = writer.close()
print(len(parts), sum(p.bytes for p in parts), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(not os.environ.get("ESS_STRESS"), reason="takes 40 s: make stress")
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_file(form, rclone, monkeypatch, tmp_path):
    with bucket_of(rclone, monkeypatch, tmp_path) as client:
        found = []
        for pieces in (8, 40):
            done = subprocess.run(
                [sys.executable, "-c", MEMORY, tmp_path / "local", str(pieces), form],
                capture_output=True, text=True, timeout=110, check=True,
            )  # fmt: skip
            found.append(tuple(map(int, done.stdout.split())))
        (_, small_bytes, small), (count, large_bytes, large) = found
        assert count > 2
        assert large_bytes > 4 * small_bytes > 200 << 20
        assert large - small < 160 << 10, (small, large)
        assert len(keys(client)) == count
