"""AWS as it is asked: clusters, passwords by IAM, secrets, refusals; the order of credentials."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace

import botocore.session
import pytest
from botocore.stub import Stubber

from ess_dask.errors import AccessError, ConfigError, TransientError
from ess_dask.testing.s3 import free_port, moto_s3, require_authorization
from ess_dask.warehouse.redshift import control_plane
from ess_dask.warehouse.redshift.control_plane import (
    Asker,
    Endpoint,
    cluster_credentials,
    find_cluster,
    find_workgroup,
    read_secret,
)
from ess_dask.warehouse.redshift.credentials import VARIABLE, resolve
from ess_dask.warehouse.redshift.url import parse_url

CANARY = "Canary-5f3c"
HERE = Asker("us-east-1")


@pytest.fixture(scope="module")
def aws():
    with moto_s3() as running:
        yield running


def client_of(server, service):
    return botocore.session.Session().create_client(
        service, region_name=server.region, endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def here(aws, monkeypatch, tmp_path):
    """Talk to moto only, from an empty home."""
    for name, value in aws.env.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "ess"))
    yield
    require_authorization(aws, after=1_000_000)


@pytest.fixture
def cluster(aws):
    client = client_of(aws, "redshift")
    client.create_cluster(
        ClusterIdentifier="shop", NodeType="ra3.xlplus", MasterUsername="admin", NumberOfNodes=2,
        MasterUserPassword="Passw0rd1", DBName="dev", ClusterType="multi-node", Port=5439,
    )  # fmt: skip
    yield client
    client.delete_cluster(ClusterIdentifier="shop", SkipFinalClusterSnapshot=True)


@pytest.fixture
def secret(aws):
    client = client_of(aws, "secretsmanager")
    made = []

    def make(name, value):
        text = value if isinstance(value, str) else json.dumps(value)
        made.append(client.create_secret(Name=name, SecretString=text)["ARN"])
        return made[-1]

    yield make
    for arn in made:
        client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def parse(url):
    return parse_url(url, lambda _: "").address


def test_a_cluster_is_found(cluster):
    found = find_cluster("shop", HERE)
    assert found == Endpoint(found.host, 5439, "dev", "available")
    assert found.host.endswith("us-east-1.redshift.amazonaws.com")
    cluster.pause_cluster(ClusterIdentifier="shop")
    assert find_cluster("shop", HERE).status == "paused"


def test_an_unknown_cluster_is_named(cluster):
    with pytest.raises(ConfigError, match="cluster 'nope' does not exist in region us-east-1"):
        find_cluster("nope", HERE)
    with pytest.raises(ConfigError, match="'nope' does not exist"):
        cluster_credentials("nope", "etl", "dev", HERE)


def test_a_password_by_iam(cluster):
    user, password = cluster_credentials("shop", "etl", "dev", HERE)
    assert user == "IAM:etl"
    assert len(password.reveal()) >= 16


@pytest.mark.parametrize(
    ("action", "ask"),
    [
        ("redshift:DescribeClusters", lambda: find_cluster("shop", HERE)),
        ("redshift:GetClusterCredentials", lambda: cluster_credentials("shop", "a", "dev", HERE)),
        ("secretsmanager:GetSecretValue", lambda: read_secret("x", HERE)),
    ],
)
def test_the_missing_action_is_named(action, ask, aws, cluster, monkeypatch):
    iam = client_of(aws, "iam")
    iam.create_user(UserName="poor")
    key = iam.create_access_key(UserName="poor")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    try:
        require_authorization(aws)
        with pytest.raises(AccessError, match=f"{action} is not allowed"):
            ask()
    finally:
        require_authorization(aws, after=1_000_000)
        iam.delete_access_key(UserName="poor", AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName="poor")


def test_unknown_keys_are_refused(aws, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    require_authorization(aws)
    with pytest.raises(AccessError, match="credentials were refused") as caught:
        find_cluster("shop", HERE)
    assert CANARY not in f"{caught.value}{caught.value.__dict__}"


def test_no_keys_no_region_no_profile_and_nobody_there(monkeypatch):
    with pytest.raises(AccessError, match="profile"):
        find_cluster("shop", Asker("us-east-1", "nobody"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(TransientError, match="cannot be reached"):
        find_cluster("shop", replace(HERE, patience=1.0))
    assert time.monotonic() - began < 10
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="no AWS region") as caught:
        find_cluster("shop", Asker())
    assert "region=" in caught.value.hint
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(AccessError, match="no AWS credentials"):
        find_cluster("shop", HERE)


def test_a_secret_of_awss_own_form(secret):
    value = {
        "engine": "redshift", "username": "etl", "password": CANARY, "host": "h.example",
        "port": 5440, "dbname": "dev", "dbClusterIdentifier": "shop",
    }  # fmt: skip
    arn = secret("prod/etl", value)
    for name in ("prod/etl", arn):
        found = read_secret(name, HERE)
        assert (found.user, found.password.reveal()) == ("etl", CANARY)
        assert (found.host, found.port, found.database) == ("h.example", 5440, "dev")
        assert (found.cluster, CANARY in repr(found)) == ("shop", False)


def test_the_region_of_an_arn_is_asked(secret, monkeypatch):
    arn = secret("regional", {"username": "a", "password": "b"})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert read_secret(arn, Asker()).user == "a"


@pytest.mark.parametrize("value", [f"{CANARY}", "[1]", {"password": CANARY}, '"x"',
                                   {"username": "a", "password": CANARY, "port": "x"}])  # fmt: skip
def test_another_form_is_refused_unseen(value, secret):
    secret("odd", value)
    with pytest.raises(ConfigError, match="not in the form") as caught:
        read_secret("odd", HERE)
    assert CANARY not in f"{caught.value}{caught.value.__dict__}"


def test_a_secret_that_is_not_there():
    with pytest.raises(ConfigError, match="secret 'nope' does not exist"):
        read_secret("nope", HERE)


@contextmanager
def serverless(monkeypatch, method, answer, wanted=None, error=""):
    """Let the next request to Redshift Serverless be answered: moto knows none of them."""
    client = botocore.session.Session().create_client("redshift-serverless")
    monkeypatch.setattr(control_plane, "_client", lambda service, asker: client)
    with Stubber(client) as stub:
        if error:
            stub.add_client_error(method, error, "said", 400)
        else:
            stub.add_response(method, answer, wanted)
        yield
        stub.assert_no_pending_responses()


def test_a_workgroup_is_found(monkeypatch):
    answer = {"workgroup": {"endpoint": {"address": "w.example", "port": 5439},
                            "status": "AVAILABLE"}}  # fmt: skip
    with serverless(monkeypatch, "get_workgroup", answer, {"workgroupName": "web"}):
        assert find_workgroup("web", HERE) == Endpoint("w.example", 5439, "", "available")
    with serverless(monkeypatch, "get_workgroup", {"workgroup": {"status": "CREATING"}}):
        assert find_workgroup("web", HERE) == Endpoint("", 0, "", "creating")


def test_a_password_by_iam_for_a_workgroup(monkeypatch):
    wanted = {"workgroupName": "web", "dbName": "dev", "durationSeconds": 900}
    with serverless(monkeypatch, "get_credentials", {"dbUser": "IAM:me", "dbPassword": CANARY},
                    wanted):  # fmt: skip
        login = resolve(parse("redshift://h.example/dev?workgroup=web"))
    assert (login.credentials.user, login.credentials.password.reveal()) == ("IAM:me", CANARY)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("ResourceNotFoundException", ConfigError, "workgroup 'web' does not exist"),
        ("AccessDeniedException", AccessError, "redshift-serverless:GetWorkgroup is not allowed"),
        ("InternalServerException", TransientError, "InternalServerException"),
        ("ThrottlingException", TransientError, "ThrottlingException"),
        ("ValidationException", ConfigError, "ValidationException: said"),
    ],
)
def test_refusals_of_serverless(code, kind, words, monkeypatch):
    with (
        serverless(monkeypatch, "get_workgroup", {}, error=code),
        pytest.raises(kind, match=words),
    ):
        find_workgroup("web", HERE)


def source(url, ask=None):
    found = resolve(parse(url), ask).credentials
    return found.source, found.user, found.password.reveal()


def test_credentials_are_searched_in_order(cluster, secret, monkeypatch):
    secret("prod", {"username": "stored", "password": "from-secret"})
    monkeypatch.setenv(VARIABLE, "from-env")
    everything = "cluster=shop&iam=true&secret=prod&region=us-east-1"
    url = f"redshift://etl:from-url@h.example/dev?{everything}"
    assert source(url) == ("the URL", "etl", "from-url")
    url = f"redshift://etl@h.example/dev?{everything}"
    assert source(url) == ("secret prod", "stored", "from-secret")
    url = "redshift://etl@h.example/dev?cluster=shop&iam=true&region=us-east-1"
    assert source(url)[:2] == ("IAM, cluster shop", "IAM:etl")
    asked = []
    ask = lambda text: asked.append(text) or "typed"  # noqa: E731
    assert source("redshift://etl@h.example/dev", ask) == (VARIABLE, "etl", "from-env")
    monkeypatch.delenv(VARIABLE)
    assert asked == []
    assert source("redshift://etl@h.example/dev", ask) == ("the prompt", "etl", "typed")
    assert asked == ["Password of etl at h.example"]


@pytest.mark.parametrize(("ask", "prompt"), [(None, "no terminal"), (lambda _: "", "nothing was")])
def test_where_there_is_no_password_every_place_is_listed(ask, prompt):
    with pytest.raises(AccessError) as caught:
        resolve(parse("redshift://etl@h.example/dev"), ask)
    lines = caught.value.message.splitlines()
    assert lines[0] == "no password for etl@h.example:5439/dev; searched, in order:"
    for line, words in zip(lines[1:], ["URL", "secret=", "IAM", VARIABLE, prompt], strict=True):
        assert words in line


def test_a_host_is_looked_up_when_the_url_has_none(cluster):
    address = resolve(parse("redshift://etl:x@/dev?cluster=shop")).address
    assert (address.host.partition(".")[0], address.port) == ("shop", 5439)


def test_a_secret_fills_in_what_the_url_leaves_open(secret):
    secret("all", {"username": "etl", "password": "p", "host": "h.example", "port": 5440,
                   "dbname": "dev"})  # fmt: skip
    address = resolve(parse("redshift://?secret=all")).address
    assert (address.host, address.port, address.database) == ("h.example", 5440, "dev")
    address = resolve(parse("redshift://g.example:1/other?secret=all")).address
    assert (address.host, address.port, address.database) == ("g.example", 1, "other")


@pytest.mark.parametrize(
    ("url", "value", "message"),
    [
        ("redshift://?secret=bare", {"host": "h.example"}, "no database is known"),
        ("redshift://dev?secret=bare", {"dbname": "x"}, ""),
        ("redshift:///dev?secret=bare", {}, "no host is known for bare"),
    ],
)
def test_an_address_must_come_out_whole(url, value, message, secret):
    secret("bare", {"username": "etl", "password": "p", **value})
    if not message:
        assert resolve(parse(url)).address.host == "dev"
        return
    with pytest.raises(ConfigError, match=message):
        resolve(parse(url))


def test_a_user_is_needed_unless_aws_says_who(monkeypatch):
    monkeypatch.setenv(VARIABLE, "x")
    with pytest.raises(ConfigError, match="no user is known"):
        resolve(parse("redshift://h.example/dev"))
