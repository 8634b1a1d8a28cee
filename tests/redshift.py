"""The Redshift that tests load: the stand-in, or a real cluster.

To test one, set ``ESS_TEST_REDSHIFT_URL``, ``..._STAGE`` (s3://...) and ``..._ROLE`` (an ARN).
"""

import io
import json
import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest


@dataclass
class RealCluster:
    """A cluster outside: it has no faults to script and no side door."""

    url: str
    stage: str
    role: str

    def __post_init__(self):
        parts = urlsplit(self.url)
        self.host, self.port = parts.hostname, parts.port or 5439
        self.user, self.password = unquote(parts.username), unquote(parts.password or "")
        self.database = parts.path.lstrip("/")
        self.ssl = parse_qs(parts.query).get("ssl") != ["false"]
        self.bucket = urlsplit(self.stage).netloc
        self.env = {}
        self.s3 = SimpleNamespace(client=_outside_s3)


def _outside_s3():
    import boto3

    return boto3.client("s3")


@contextmanager
def redshift_server(folder, store="moto"):
    """Yield the server that tests of loads talk to."""
    if url := os.environ.get("ESS_TEST_REDSHIFT_URL"):
        yield RealCluster(
            url, os.environ["ESS_TEST_REDSHIFT_STAGE"], os.environ["ESS_TEST_REDSHIFT_ROLE"]
        )
        return
    from ess_dask.testing.redshift import standin

    # Moto's state is one for the whole process, and other tests reset it: by module, if at all.
    with standin(folder, store) as server:
        yield server


def only_standin(server):
    """Return the stand-in; a test that needs one is skipped on a real cluster."""
    if isinstance(server, RealCluster):
        pytest.skip("needs the stand-in: faults, or a look past the door")
    return server


def _s3_client(server):
    """Return the server's client for S3, made once: that takes longer than most tests."""
    if not hasattr(server, "client_of_tests"):
        server.client_of_tests = server.s3.client()
    return server.client_of_tests


class Client:
    """Connections and staged files of one test; what it made is dropped and removed at its end."""

    def __init__(self, server):
        self.server = server
        self.prefix = f"{server.stage}/{uuid.uuid4().hex}"
        self.s3 = _s3_client(server)
        self.opened = []
        self.tables = []

    def connect(self, **more):
        import redshift_connector

        server = self.server
        options = {
            "host": server.host, "port": server.port, "database": server.database,
            "user": server.user, "password": server.password,
            "ssl": getattr(server, "ssl", False), "timeout": 60,
        }  # fmt: skip
        connection = redshift_connector.connect(**options | more)
        self.opened.append(connection)
        return connection

    def table(self, columns, connection=None):
        """Make a table; return its name."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        connection = connection or self.connect()
        run(connection, f"create table {name} ({columns})")
        connection.commit()
        self.tables.append(name)
        return name

    def put(self, name, data):
        """Stage a file; return its address."""
        url = f"{self.prefix}/{name}"
        bucket, _, key = url[5:].partition("/")
        self.s3.put_object(Bucket=bucket, Key=key, Body=data)
        return url

    def get(self, url):
        bucket, _, key = url[5:].partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def files(self, prefix):
        """Return the addresses that start so."""
        bucket, _, key = prefix[5:].partition("/")
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
        return sorted(f"s3://{bucket}/{item['Key']}" for item in found)

    def parquet(self, table, name=None, **more):
        """Stage a Parquet file; return its entry for a manifest."""
        import pyarrow.parquet as pq

        out = io.BytesIO()
        pq.write_table(table, out, **more)
        url = self.put(name or f"{uuid.uuid4().hex}.parquet", out.getvalue())
        return {"url": url, "mandatory": True, "meta": {"content_length": len(out.getvalue())}}

    def manifest(self, *entries):
        data = json.dumps({"entries": entries}).encode()
        return self.put(f"{uuid.uuid4().hex}.manifest", data)

    def copy(self, table, source, options="format parquet manifest", columns=""):
        """Return the text of a COPY by the role."""
        return f"copy {table} {columns} from '{source}' iam_role '{self.server.role}' {options}"

    def close(self):
        for connection in self.opened:
            try:
                connection.rollback()
                connection.close()
            except Exception:
                connection._usock.close()
        # What the stand-in has goes with it.
        if not isinstance(self.server, RealCluster):
            return
        if self.tables:
            connection = self.connect()
            for name in self.tables:
                run(connection, f"drop table if exists {name}")
            connection.commit()
            connection.close()
        for url in self.files(self.prefix):
            bucket, _, key = url[5:].partition("/")
            self.s3.delete_object(Bucket=bucket, Key=key)


def run(connection, sql, *parameters):
    """Run SQL; return its rows as tuples, if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else None


def one(connection, sql):
    """Return the only value of a query."""
    ((value,),) = run(connection, sql)
    return value


def refused(connection, sql):
    """Run SQL that has to fail; return the fields of the error, after a rollback."""
    import redshift_connector

    with pytest.raises(redshift_connector.ProgrammingError) as caught:
        run(connection, sql)
    connection.rollback()
    return caught.value.args[0]
