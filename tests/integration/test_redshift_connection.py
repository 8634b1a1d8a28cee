"""Connections to a server that answers: passwords, TLS, IAM, a secret, a cluster that is paused."""

import json
import logging
import time
from contextlib import closing
from dataclasses import replace

import botocore.session
import pytest

from ess_dask._version import __version__
from ess_dask.errors import AccessError, DataError, TransientError
from ess_dask.secret import Secret
from ess_dask.testing.redshift import standin
from ess_dask.testing.s3 import free_port
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.redshift.connection import connect, translating
from ess_dask.warehouse.redshift.query import run_statement
from ess_dask.warehouse.redshift.url import parse_url


def client_of(server, service):
    return botocore.session.Session().create_client(
        service, region_name="us-east-1", endpoint_url=server.control_plane,
        aws_access_key_id=server.s3.access_key, aws_secret_access_key=server.s3.secret_key,
    )  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run a stand-in with TLS, that AWS knows as the cluster ``shop``."""
    with standin(tmp_path_factory.mktemp("redshift"), tls=True) as running:
        client_of(running, "redshift").create_cluster(
            ClusterIdentifier="shop", NodeType="ra3.xlplus", MasterUsername="admin", DBName="dev",
            MasterUserPassword="Passw0rd1", ClusterType="single-node", Port=running.port,
        )  # fmt: skip
        yield running


@pytest.fixture(autouse=True)
def here(server, monkeypatch, tmp_path):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "ess"))
    monkeypatch.delenv("ESS_REDSHIFT_PASSWORD", raising=False)
    server.faults.clear()


def address(server, query="", **fields):
    url = f"redshift://awsuser@{server.host}:{server.port}/dev?{query}"
    return replace(parse_url(url).address, **fields)


def ask(found, statement="select current_user"):
    return run_statement(found, statement).rows


def test_the_right_password_connects_over_tls(server):
    found = parse_url(server.url).address
    assert (found.ssl, found.sslmode) == (True, "verify-full")
    with closing(connect(found)) as connection:
        assert connection._usock.version() in ("TLSv1.2", "TLSv1.3")
        assert connection.autocommit is False
        with closing(connection.cursor()) as cursor:
            cursor.execute("show application_name")
            assert cursor.fetchall() == ([f"ess-dask/{__version__}"],)


def test_a_wrong_password_is_refused_at_once_and_unseen(server):
    began = time.monotonic()
    with pytest.raises(AccessError, match="user or password was refused") as caught:
        connect(address(server, password=Secret("Canary-5f3c")), wait=20)
    assert time.monotonic() - began < 10
    assert "Canary" not in f"{caught.value}{caught.value.__dict__}"


def test_a_database_that_is_not_there(server):
    found = parse_url(server.url).address
    with pytest.raises(DataError, match='database "nope" does not exist') as caught:
        connect(replace(found, database="nope"))
    assert "URL" in caught.value.hint


def test_an_authority_that_is_not_trusted(server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(AccessError, match="certificate is not trusted") as caught:
        connect(parse_url(server.url).address)
    assert "SSL_CERT_FILE" in caught.value.hint


def test_passwords_from_the_environment_and_a_prompt(server, monkeypatch):
    asked = []
    prompt = lambda text: asked.append(text) or server.password  # noqa: E731
    connect(address(server), prompt).close()
    assert len(asked) == 1
    monkeypatch.setenv("ESS_REDSHIFT_PASSWORD", server.password)
    assert ask(address(server)) == (("awsuser",),)


def test_a_password_by_iam(server):
    assert ask(address(server, "iam=true&cluster=shop&region=us-east-1")) == (("awsuser",),)


def test_a_secret(server):
    client = client_of(server, "secretsmanager")
    value = {"username": server.user, "password": server.password, "host": server.host,
             "port": server.port, "dbname": "dev"}  # fmt: skip
    client.create_secret(Name="prod/etl", SecretString=json.dumps(value))
    assert ask(parse_url("redshift://?secret=prod/etl").address) == (("awsuser",),)


def test_a_cluster_that_is_paused_is_not_waited_for(server):
    client = client_of(server, "redshift")
    client.pause_cluster(ClusterIdentifier="shop")
    url = f"redshift://a:b@127.0.0.1:{free_port()}/dev?cluster=shop"
    began = time.monotonic()
    try:
        with pytest.raises(TransientError, match="the cluster shop is paused") as caught:
            connect(parse_url(url).address, wait=30)
        with pytest.raises(TransientError, match="the cluster shop is paused"):
            open_warehouse(url).ledger()
    finally:
        client.resume_cluster(ClusterIdentifier="shop")
    assert time.monotonic() - began < 20
    assert "aws redshift resume-cluster --cluster-identifier shop" in caught.value.hint


def test_a_statement_may_take_longer_than_the_start(server):
    found = replace(parse_url(server.url).address, timeout=0.5)
    assert ask(found, "select pg_sleep(1.2)") == (("",),)


def test_a_transaction_that_was_cut_says_so(server):
    with closing(connect(parse_url(server.url).address)) as connection:
        server.faults.cut_before_matching("select 42")
        with pytest.raises(TransientError), translating("the question"):
            connection.cursor().execute("select 42")


def test_nothing_of_ours_logs_a_secret(server, caplog):
    with caplog.at_level(logging.DEBUG):
        ask(parse_url(server.url).address)
        with pytest.raises(DataError):
            ask(parse_url(server.url).address, f"create user x password '{server.password}' nope")
    assert server.password not in caplog.text
