"""Redshift URLs: what they may say, what is refused, and that no password is ever shown."""

import copy
import dataclasses
import pickle
import re
from pathlib import Path

import pytest

from ess_dask.catalog.model import WarehouseCluster
from ess_dask.errors import ConfigError, UsageError
from ess_dask.secret import Secret
from ess_dask.settings import load_settings
from ess_dask.warehouse.connect import place_of
from ess_dask.warehouse.redshift.options import OPTIONS
from ess_dask.warehouse.redshift.registry import cluster_of, deregister, find, register
from ess_dask.warehouse.redshift.url import (
    Address,
    LoadOptions,
    RedshiftURL,
    parse_url,
    registered_url,
    shown,
    url_of,
)

ROOT = Path(__file__).resolve().parents[2]
ROLE = "arn:aws:iam::123456789012:role/loader"
CANARY = "Canary-5f3c"
HOST = "examplecluster.abc123xyz789.us-west-2.redshift.amazonaws.com"


def nobody(label):
    return ""


def parse(url):
    return parse_url(url, nobody)


@pytest.mark.parametrize("scheme", ["redshift", "redshift+redshift_connector", "REDSHIFT"])
def test_both_schemes_say_the_same(scheme):
    url = parse(f"{scheme}://etl@db.example:5440/dev")
    assert url.address == Address(host="db.example", port=5440, database="dev", user="etl")
    assert url.options == LoadOptions()


def test_the_port_of_redshift_is_the_default():
    assert parse("redshift://etl@db.example/dev").address.port == 5439


def test_identifier_and_region_stand_in_the_host_of_a_cluster():
    address = parse(f"redshift://etl@{HOST}/dev?iam=true").address
    assert (address.cluster, address.region, address.iam) == ("examplecluster", "us-west-2", True)
    given = parse(f"redshift://etl@{HOST}/dev?region=eu-west-1&cluster=other").address
    assert (given.cluster, given.region) == ("other", "eu-west-1")


def test_escapes_stand_for_any_letter():
    address = parse(
        "redshift://a%40b:p%2Fw%3A%40%E2%82%AC@db.example/d%20%2Fb?stage=s3://bkt/a%26b"
    )
    assert address.address.user == "a@b"
    assert address.address.password == Secret("p/w:@€")
    assert address.address.database == "d /b"
    assert address.options.stage == "s3://bkt/a&b"


@pytest.mark.parametrize("password", ["a:b", "a@b", "::@@"])
def test_a_password_may_hold_what_is_clear_from_its_end(password):
    address = parse(f"redshift://etl:{password}@db.example/dev").address
    assert (address.password, address.host) == (Secret(password), "db.example")


def test_ipv6_hosts_stand_in_brackets():
    url = parse("redshift://etl@[::1]:5439/dev")
    assert (url.address.host, url.address.port) == ("::1", 5439)
    assert str(url) == "redshift://etl@[::1]:5439/dev"
    assert str(url.address) == "etl@[::1]:5439/dev"


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("ssl=false", "ssl", False),
        ("sslmode=verify-ca", "sslmode", "verify-ca"),
        ("timeout=1m30s", "timeout", 90.0),
        ("timeout=2", "timeout", 2.0),
        ("cluster=c-1&iam=true", "iam", True),
        ("cluster=c-1", "cluster", "c-1"),
        ("workgroup=w", "iam", True),
        ("workgroup=w&iam=false", "iam", False),
        ("secret=arn:aws:secretsmanager:eu-west-1:1:secret:x-AbC", "secret",
         "arn:aws:secretsmanager:eu-west-1:1:secret:x-AbC"),
        ("region=ap-southeast-2", "region", "ap-southeast-2"),
        ("region=us-gov-west-1", "region", "us-gov-west-1"),
        ("profile=me", "profile", "me"),
        ("stage=s3://bucket/a/b/", "stage", "s3://bucket/a/b"),
        ("stage_region=eu-west-1", "stage_region", "eu-west-1"),
        (f"iam_role={ROLE}", "iam_role", ROLE),
        (f"iam_role={ROLE},{ROLE}2", "iam_role", f"{ROLE},{ROLE}2"),
        ("iam_role=default", "iam_role", "default"),
        ("keys=true", "keys", True),
        ("schema=etl", "schema", "etl"),
        ("lock_wait=0", "lock_wait", 0.0),
        ("format=csv", "format", "csv"),
        ("slices=4", "slices", 4),
        ("text_digest=true", "text_digest", True),
        ("direct=true", "direct", True),
    ],
)  # fmt: skip
def test_an_option_sets_its_field_and_is_written_back(query, field, value):
    url = parse(f"redshift://etl@db.example/dev?{query}")
    holder = url.options if hasattr(url.options, field) else url.address
    assert getattr(holder, field) == value
    assert parse(str(url)) == url


def test_every_field_has_its_option():
    fields = {each.field for each in OPTIONS.values() if each.loading}
    assert fields == {each.name for each in dataclasses.fields(LoadOptions)}
    fields = {each.field for each in OPTIONS.values() if not each.loading}
    own = {"host", "port", "database", "user", "password"}
    assert fields == {each.name for each in dataclasses.fields(Address)} - own


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("stagge=s3://b/x", "unknown option 'stagge'"),
        ("ssl=maybe", "option 'ssl' .* 'maybe' is not a truth value"),
        ("sslmode=disable", "option 'sslmode' .* not one of verify-full, verify-ca"),
        ("timeout=0", "option 'timeout' "),
        ("timeout=soon", "option 'timeout' .* not a duration"),
        ("lock_wait=-1", "option 'lock_wait' "),
        ("region=Europe", "option 'region' "),
        ("stage=/tmp/x", "option 'stage' .* no place in S3"),
        ("stage=s3://B_ad", "option 'stage' "),
        ("stage=s3://bkt/a%5Cb", "option 'stage' .* backslash"),
        ("stage=s3://bkt/a%0Ab", "option 'stage' .* line end"),
        ("iam_role=loader", "option 'iam_role' .* no role"),
        (f"iam_role={ROLE}'%20x", "option 'iam_role' "),
        ("format=orc", "option 'format' "),
        ("slices=0", "option 'slices' "),
        ("slices=01", "option 'slices' "),
        ("slices=100000", "option 'slices' "),
        ("schema=", "option 'schema' .* nothing"),
        ("direct", "option 'direct' .* no value"),
        ("ssl=true&ssl=false", "option 'ssl' stands twice"),
        ("cluster=c&workgroup=w", "'cluster' and 'workgroup' .* exclude"),
        (f"keys=true&iam_role={ROLE}", "'keys' and 'iam_role' .* exclude"),
        ("iam=true&cluster=c&ssl=false", "'iam' .* needs TLS"),
        ("workgroup=w&ssl=false", "'iam' .* needs TLS"),
        ("iam=true", "'iam' .* needs a cluster or a workgroup"),
        ("schema=%ff", "no UTF-8"),
    ],
)
def test_a_bad_option_is_named(query, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(f"redshift://etl:{CANARY}@db.example/dev?{query}")
    assert CANARY not in f"{caught.value}{caught.value!r}{caught.value.__dict__}"


@pytest.mark.parametrize(
    "url",
    [
        "postgres://etl@h/d",
        "redshift:/h/d",
        "redshift://",
        "redshift:///dev",
        "redshift://etl@/dev",
        "redshift://etl@db.example",
        "redshift://etl@db.example/",
        "redshift://etl@db.example/a/b",
        "redshift://etl@db.example:0/dev",
        "redshift://etl@db.example:65536/dev",
        "redshift://etl@db.example:x/dev",
        "redshift://etl@::1/dev",
        "redshift://etl@[::1/dev",
        "redshift://etl@ho%20st.example/dev",
        "redshift://etl@a..b/dev",
        "redshift://etl@-a/dev",
        f"redshift://etl@{'a-' * 5000}!/dev",
        "redshift://etl@höst/dev",
        f"redshift://etl:{CANARY}@db.example:{CANARY}/dev",
        f"redshift://etl:pa/{CANARY}@db.example/dev",
        f"redshift://etl:12/{CANARY}@db.example/dev",
        f"redshift://etl:12?{CANARY}@db.example/dev",
        f"redshift://etl:12#{CANARY}@db.example/dev",
        f"redshift://etl:{CANARY}%ff@db.example/dev",
        f"redshift://etl:{CANARY}%00@db.example/dev",
    ],
)
def test_what_cannot_be_read_is_refused_without_showing_it(url):
    with pytest.raises(ConfigError) as caught:
        parse(url)
    assert caught.value.hint
    assert CANARY not in f"{caught.value}{caught.value!r}{caught.value.__dict__}"
    assert CANARY not in shown(url)


@pytest.mark.parametrize(
    "query", ["cluster=c-1", "workgroup=w", "secret=s", "cluster=c-1&iam=true"]
)
def test_aws_may_know_the_host(query):
    url = parse(f"redshift://etl@/dev?{query}")
    assert (url.address.host, url.address.port) == ("", 0)
    assert parse(str(url)) == url


def test_a_secret_may_know_everything():
    url = parse("redshift://?secret=prod/etl&stage=s3://bkt")
    assert (url.address.database, url.address.named) == ("", "prod/etl")
    assert parse(str(url)) == url


def test_no_form_of_an_address_shows_its_password():
    text = f"redshift://etl:{CANARY}@db.example/dev?stage=s3://bkt"
    url = parse(text)
    forms = [str(url), repr(url), str(url.address), f"{dataclasses.asdict(url)}", shown(url)]
    assert [form for form in forms if CANARY in form] == []
    assert shown(text) == "redshift://etl:***@db.example:5439/dev?stage=s3://bkt"
    assert shown("redshift://etl@db.example/dev") == "redshift://etl@db.example:5439/dev"
    assert url.address.password.reveal() == CANARY


def test_a_secret_stays_in_its_process():
    secret = Secret(CANARY)
    assert copy.deepcopy(secret) is secret
    assert copy.copy(secret) == Secret(CANARY) != Secret("x")
    assert len({secret, Secret(CANARY)}) == 1
    assert secret != CANARY
    assert f"{secret} {secret!r}" == "*** ***"
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(RedshiftURL(Address(password=secret)))


KNOWN = {"prod": f"redshift://etl@{HOST}:5439/dev?stage=s3://bkt/x&sslmode=verify-ca"}


def lookup(label):
    return KNOWN.get(label, "")


def test_a_label_stands_for_its_cluster():
    assert parse_url("redshift://prod", lookup) == parse(KNOWN["prod"])
    assert parse_url("redshift://prod/", lookup) == parse(KNOWN["prod"])


def test_what_the_url_gives_goes_before_what_was_registered():
    url = parse_url(f"redshift://me:{CANARY}@prod/other?stage=s3://mine&direct=true", lookup)
    address = url.address
    assert (address.user, address.host, address.database) == ("me", HOST, "other")
    assert address.password == Secret(CANARY)
    assert address.sslmode == "verify-ca"
    assert url.options == LoadOptions(stage="s3://mine", direct=True)


@pytest.mark.parametrize("url", ["redshift://prod:5439/dev", "redshift://prod.example/dev"])
def test_a_port_or_a_dot_makes_it_a_host(url):
    assert parse_url(url, lookup).address.host.startswith("prod")


def test_an_unknown_label_is_a_host_and_needs_a_database():
    assert parse_url("redshift://localhost/dev", lookup).address.host == "localhost"
    with pytest.raises(ConfigError, match="no database") as caught:
        parse_url("redshift://pord", lookup)
    assert "ess redshift list" in caught.value.hint


def test_registered_clusters_are_found_in_the_catalogue(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "cache"))
    assert registered_url("prod") == ""
    assert not (tmp_path / "cache" / "catalog.db").exists()
    cluster = cluster_of("prod", parse(KNOWN["prod"]))
    assert cluster.options == (
        "sslmode=verify-ca&cluster=examplecluster&region=us-west-2&stage=s3://bkt/x"
    )
    register(cluster)
    assert parse_url("redshift://prod") == parse(KNOWN["prod"])
    with pytest.raises(ConfigError, match="no database"):
        parse_url("redshift://other")


def test_without_a_label_the_current_cluster_is_meant_or_the_only_one(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="no Redshift cluster is chosen"):
        find()
    for label in ("a", "b", "c"):
        register(cluster_of(label, parse("redshift://etl@db.example/dev")))
    assert (find().label, find("a").label) == ("c", "a")
    with pytest.raises(UsageError, match="unknown cluster 'd'") as caught:
        find("d")
    assert "a, b, c" in caught.value.hint
    assert deregister() == "c"
    with pytest.raises(UsageError, match="is chosen") as caught:
        find()
    assert "a, b" in caught.value.hint
    assert deregister("a") == "a"
    assert (find().label, find("b").label) == ("b", "b")
    with pytest.raises(UsageError, match="unknown cluster 'a'"):
        deregister("a")


def test_a_registered_cluster_has_no_password():
    with pytest.raises(ConfigError, match="keeps no password") as caught:
        cluster_of("prod", parse(f"redshift://etl:{CANARY}@db.example/dev"))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("label", ["", "a.b", "A", "a b", "-a", "a/b", "a" * 64])
def test_a_label_must_fit_into_a_url(label):
    with pytest.raises(UsageError, match="no label"):
        register(WarehouseCluster(label, "c", "h.example", 5439, "dev", "etl"))


def test_odd_names_survive_the_registration():
    cluster = WarehouseCluster("p", "", "::1", 1, "d/é ?", "u:@#", "", "schema=a%26b")
    address = parse(url_of(cluster)).address
    assert (address.host, address.port) == ("::1", 1)
    assert (address.database, address.user) == ("d/é ?", "u:@#")
    assert parse(url_of(cluster)).options.schema == "a&b"


def test_every_option_is_documented():
    page = (ROOT / "docs" / "how-to" / "redshift-connect.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)=` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(name, option.about) for name, option in OPTIONS.items()]


def test_the_profile_names_the_registered_warehouse(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REDSHIFT_STAGE", "s3://my-bucket/ess")
    monkeypatch.setenv("REDSHIFT_ROLE", ROLE)
    warehouse = load_settings(profile="redshift").warehouse
    url = parse_url(warehouse, lambda label: KNOWN["prod"] if label == "warehouse" else "")
    assert url.address.host == HOST
    assert (url.options.stage, url.options.iam_role) == ("s3://my-bucket/ess", ROLE)
    monkeypatch.delenv("REDSHIFT_STAGE")
    with pytest.raises(ConfigError, match="REDSHIFT_STAGE is not set"):
        load_settings(profile="redshift")


def test_a_place_is_one_however_it_is_written():
    host = "shop.abc.eu-west-1.redshift.amazonaws.com"
    same = (
        f"redshift://etl@{host}/dev", f"redshift+redshift_connector://etl:pw@{host.upper()}:5439/dev",
        f"redshift://etl@{host}/dev?stage=s3://bucket/x&schema=public&timeout=5s",
    )  # fmt: skip
    assert {place_of(url) for url in same} == {f"redshift://etl@{host}:5439/dev?schema=public"}


def test_places_are_told_apart_by_what_names_them():
    """Else one cluster's runs are taken for another's: their lock, their last success."""
    urls = (
        "redshift://etl@/dev?cluster=a", "redshift://etl@/dev?cluster=b", "redshift://?secret=a",
        "redshift://?secret=b", "redshift:///dev?workgroup=a", "redshift:///dev?workgroup=b",
        "redshift:///dev?workgroup=b&region=us-east-1", "redshift://h.x/a", "redshift://h.x/b",
        "redshift://h.x/b?schema=raw",
    )  # fmt: skip
    assert len({place_of(url) for url in urls}) == len(urls)
