"""As whom AWS is asked about a cluster: what was given, what is kept of it, AWS's own chain."""

import os

import click
import pytest
from botocore.session import Session
from click.testing import CliRunner

from ess_dask.cli.cluster_ec2 import access_options
from ess_dask.cluster.ec2 import aws, find, state
from ess_dask.cluster.ec2.find import find_cluster, here
from ess_dask.errors import AccessError, ConfigError

KEY, SECRET = "AKIAFROMTHEFILE00000", "wJalrXUtnFEMI-of-the-file"
TYPED = ("AKIATYPED00000000000", "typed-wJalrXUtnFEMI")
CSV = "User Name,Access Key Id,Secret Access Key\nada,{},{}\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("ESS_", "AWS_")):
            monkeypatch.delenv(name)
    # Set, so that whatever a command makes of them is undone.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    # Nobody answers there.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".aws").mkdir()
    profiles = "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = x\n"
    profiles += "[ops]\naws_access_key_id = AKIAOPS\naws_secret_access_key = y\n"
    (tmp_path / ".aws" / "credentials").write_text(profiles)
    (tmp_path / "keys.csv").write_text(CSV.format(KEY, SECRET))
    aws.client.cache_clear()
    aws._session.cache_clear()
    yield tmp_path
    aws.client.cache_clear()
    aws._session.cache_clear()


@pytest.fixture
def machines(monkeypatch):
    """Give the instances that EC2 has, and the references with which it was asked."""
    found, asked = [], []

    class Ec2:
        def describe_instances(self, Filters):
            return {"Reservations": [{"ReservationId": "r-1", "Instances": found}]}

    def client(_service, _region, reference):
        asked.append(reference)
        return Ec2()

    monkeypatch.setattr(find, "client", client)
    tags = [{"Key": "ess:owner", "Value": "ada"}, {"Key": "ess:role", "Value": "scheduler"}]
    found.append(
        {"InstanceId": "i-1", "State": {"Name": "running"}, "InstanceType": "m7i.xlarge",
         "LaunchTime": None, "Tags": tags}
    )  # fmt: skip
    return found, asked


@click.command()
@access_options
def look():
    """Do what every verb does first, and say with whose key."""
    place = here()
    find_cluster(place)
    click.echo(aws.access_key(place.credentials))


def typed(*words):
    return CliRunner().invoke(look, words, catch_exceptions=False).output.strip()


def test_what_was_given_counts_before_what_is_kept_and_that_before_the_chain(machines, monkeypatch):
    assert typed() == "AKIADEFAULT"
    # Nothing is kept of a cluster of which nothing is here.
    assert typed("--credentials", "keys.csv") == KEY and typed() == "AKIADEFAULT"
    state.remember("ess-ada", "eu-west-1", "ada")
    assert typed("--credentials", "keys.csv") == KEY
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "z")
    assert typed() == KEY
    assert typed("--aws_profile", "ops") == "AKIAOPS" and typed() == "AKIAOPS"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "AKIAENVIRONMENT"
    assert machines[1][-1] == "profile:ops"


def test_the_path_is_kept_whole_and_the_keys_are_not(machines, home, monkeypatch):
    state.remember("ess-ada", "eu-west-1", "ada")
    typed("--credentials", "keys.csv")
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert typed() == KEY
    assert here().credentials == f"file:{home / 'keys.csv'}"
    typed("--aws_access_key", TYPED[0], "--aws_secret_access_key", TYPED[1])
    assert here().credentials == "env"
    kept = [path for path in (home / ".ess").rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if path.suffix == ".part"]
    for path in kept:
        content = path.read_text(errors="replace")
        assert not [each for each in (KEY, SECRET, *TYPED) if each in content], path


def test_keys_that_were_typed_are_asked_for_again(machines, monkeypatch):
    state.remember("ess-ada", "eu-west-1", "ada")
    assert typed("--aws_access_key", TYPED[0], "--aws_secret_access_key", TYPED[1]) == TYPED[0]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(AccessError, match="cluster ess-ada: the keys were given on the") as told:
        here()
    for way in ("AWS_ACCESS_KEY_ID", "--credentials FILE.csv", "--aws_profile NAME"):
        assert way in told.value.hint
    monkeypatch.setenv("AWS_PROFILE", "ops")
    assert aws.access_key(here().credentials) == "AKIAOPS"
    monkeypatch.delenv("AWS_PROFILE")
    assert typed("--aws_profile", "default") == "AKIADEFAULT" and typed() == "AKIADEFAULT"


@pytest.mark.parametrize("content", [None, "something else\n"])
def test_a_file_that_is_gone_or_another_one_now_is_named(machines, home, content):
    state.remember("ess-ada", "eu-west-1", "ada")
    typed("--credentials", "keys.csv")
    (home / "keys.csv").unlink()
    if content:
        (home / "keys.csv").write_text(content)
    with pytest.raises(ConfigError) as told:
        here()
    assert "cluster ess-ada: " in told.value.message
    assert str(home / "keys.csv") in told.value.message
    assert "ess cluster status --credentials FILE.csv" in told.value.hint
    # The way out that is told.
    (home / "new.csv").write_text(CSV.format("AKIANEW", "new"))
    assert typed("--credentials", "new.csv") == "AKIANEW" and typed() == "AKIANEW"


def test_what_finds_no_machine_is_not_kept(machines):
    machines[0].clear()
    state.remember("ess-ada", "eu-west-1", "ada")
    typed("--credentials", "keys.csv")
    assert here().credentials == ""


def test_nor_is_what_finds_another_cluster_of_this_name_in_another_region(machines, monkeypatch):
    state.remember("ess-ada", "eu-west-1", "ada")
    monkeypatch.setenv("ESS_REGION", "us-east-1")
    typed("--credentials", "keys.csv")
    assert state.remembered_credentials("ess-ada") == ""


def test_a_session_of_any_kind_asks_as_it_was_told(home, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "z")
    wanted = {"": "AKIAENVIRONMENT", "profile:ops": "AKIAOPS", f"file:{home / 'keys.csv'}": KEY}
    for reference, key in wanted.items():
        session = Session()
        aws.use_credentials(session, reference)
        assert session.get_credentials().access_key == key


def test_a_profile_that_is_not_there_is_told_also_where_no_region_is_known(monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(AccessError, match="nobody"):
        typed("--aws_profile", "nobody")
