"""Whatever is asked, said or answered: a canary never comes through."""

import json
import string
import time
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ess_dask.errors import ConfigError
from ess_dask.redact import redact
from ess_dask.secret import Secret
from ess_dask.warehouse.redshift.translate import translate
from ess_dask.warehouse.redshift.url import parse_url, shown

LETTERS = string.ascii_letters + string.digits
CANARY = st.text(LETTERS + "/+=_-.!$%", min_size=4, max_size=40).map(lambda t: f"Cnry9{t}")
KEY = st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16)
AWS_SECRET = st.text(LETTERS + "/+", min_size=37, max_size=37).map(lambda t: f"aB3{t}")
TOKEN = st.text(LETTERS + "/+=", min_size=60, max_size=300).map(lambda t: f"FwoGZXIvYXdz{t}")
AROUND = st.sampled_from(["", " ", "\n", "ERROR: syntax error at or near ", "x' ", "(", "é", '"'])

QUOTED = [
    "copy t from 's3://b/k' credentials '{}'",
    "COPY t FROM 's3://b/k' WITH CREDENTIALS AS 'aws_access_key_id={};aws_secret_access_key={}'",
    "copy t from 's3://b/k' CREDENTIALS\n  '{}'",
    "access_key_id '{}' secret_access_key '{}' session_token '{}'",
    "ACCESS_KEY_ID AS '{}' SECRET_ACCESS_KEY AS '{}'",
    "create user ada password '{}'",
    "alter user ada PASSWORD '{}' valid until 'infinity'",
    "master_symmetric_key '{}'",
    "connect(host='h', password='{}', ssl=True)",
    "{{'password': '{}', 'port': 1}}",
]
BARE = [
    "password={} host=h",
    "redshift://etl:{}@h/d",
    "redshift+redshift_connector://etl:{}@h.example:5439/d?stage=s3://b",
    "aws_access_key_id={};aws_secret_access_key={};token={}",
    "SessionToken={}&x=1",
    "password: {}",
    "https://h/?X-Amz-Security-Token={}&y",
]


def fill(form, secret):
    return form.format(*[secret] * form.count("{}"))


@given(st.sampled_from(QUOTED), st.text(LETTERS + " \t\"'/+=%;:&@", min_size=3), AROUND)
def test_literals_are_taken_out_whatever_they_hold(form, text, around):
    secret = f"Cnry9{text}Cnry9"
    said = redact(around + fill(form, secret.replace("'", "''")) + around)
    assert "Cnry9" not in said


@given(st.sampled_from(BARE + QUOTED), CANARY, AROUND, st.integers(0, 60))
@example("create user ada password '{}'", "Cnry9xxxxx", "", 26)
def test_a_text_that_was_cut_off_keeps_its_secret(form, secret, around, end):
    text = around + fill(form, secret)
    cut = text[: len(text) - end]
    assert secret not in redact(text)
    # So much of a secret that was begun is no secret: its first letters.
    assert secret[:-1] not in redact(cut)


@given(st.one_of(KEY.map(lambda k: f"AKIA{k}"), KEY.map(lambda k: f"ASIA{k}"), AWS_SECRET, TOKEN))
def test_keys_of_aws_are_known_by_their_shape(secret):
    for form in ("{}", "User: {} is not allowed", "got {}, wanted more", "('{}',)", "[{}]"):
        assert secret not in redact(form.format(secret))


@given(st.text(min_size=1), st.text(), st.text())
def test_a_secret_that_is_known_is_taken_out_anywhere(secret, before, behind):
    said = redact(before + secret + behind, Secret(secret))
    assert secret not in said or secret in "***"


@given(st.sampled_from(QUOTED + BARE), CANARY, AROUND)
def test_redacting_again_changes_nothing(form, secret, around):
    once = redact(around + fill(form, secret))
    assert redact(once) == once


def test_what_is_no_secret_stays():
    for text in (
        "relation \"tokens\" does not exist",
        "cannot connect to etl@examplecluster.abc.us-west-2.redshift.amazonaws.com:5439/dev",
        "copy \"public\".\"sales\" from 's3://bucket/stage/0123456789abcdef/manifest' iam_role "
        "'arn:aws:iam::123456789012:role/my-redshift-role' manifest format parquet",
        "S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid 0A1B2C3D4E5F6071",
        "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "load 20261126T171100-0a1b2c3d of s3://Bucket/Path/With/Forty/Letters/In/It/abc123.csv.gz",
        "password authentication failed for user \"etl\"",
    ):  # fmt: skip
        assert redact(text) == text


def test_secrets_of_the_environment_are_known(monkeypatch):
    monkeypatch.setenv("ESS_REDSHIFT_PASSWORD", "correct horse")
    assert redact("near correct horse battery") == "near *** battery"
    monkeypatch.setenv("ESS_REDSHIFT_PASSWORD", "a")
    assert redact("a table") == "a table"


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(TEXT, TEXT, TEXT)
def test_what_is_escaped_comes_back(user, password, database):
    parts = [quote(each, safe="") for each in (user, password, database)]
    text = "redshift://{}:{}@db.example/{}".format(*parts)
    url = parse_url(text, lambda _: "")
    assert (url.address.user, url.address.database) == (user, database)
    assert url.address.password.reveal() == password
    again = parse_url(str(url), lambda _: "")
    assert (again.address.user, again.address.database) == (user, database)
    assert again.address.password is None


@given(
    st.text(LETTERS + ":/@?#%[]&=. ", max_size=20), st.text(LETTERS + ":/@?#%[]&=. ", max_size=9)
)
@settings(max_examples=300)
def test_no_part_of_an_unescaped_password_is_shown(before, behind):
    text = f"redshift://etl:{before}QZQZQ{behind}@db.example/dev?ssl=true"
    try:
        url = parse_url(text, lambda _: "")
    except ConfigError as error:
        forms = [str(error), repr(error), json.dumps(error.__dict__)]
    else:
        # A password that could be read as one: the rest is what it was meant to be.
        assert (url.address.user, url.address.host) == ("etl", "db.example")
        forms = [str(url), repr(url), str(url.address)]
    assert [form for form in (*forms, shown(text)) if "QZQZQ" in form] == []


@settings(deadline=None)  # the first example imports the driver
@given(
    st.sampled_from(["42601", "XX000", "28000", "57014", "40001", "57P01", "42501", "99999"]),
    st.sampled_from(QUOTED + BARE),
    CANARY,
)
def test_an_error_of_the_server_holds_no_secret(code, form, secret):
    import redshift_connector

    fields = {"C": code, "M": fill(form, secret), "D": f"near {fill(form, secret)}"}
    error = translate(redshift_connector.ProgrammingError(fields), "copy of t")
    assert secret not in f"{error}{error!r}{error.__dict__}"


@pytest.mark.parametrize("piece", ["a://", "a://b:", "a://b:c", "password '", "aA1/"])
def test_what_a_stranger_writes_is_read_in_linear_time(piece):
    began = time.process_time()
    redact(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 5
