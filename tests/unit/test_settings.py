"""Settings: precedence, origins, profiles, and errors that name the place."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from ess_dask import settings as s
from ess_dask._settings_sources import find_profile, unknown_variables
from ess_dask.documents.yaml import load
from ess_dask.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]

VALUES = {
    "cluster": ("local", "local", "local", "local"),
    "workers": ("2", "3", "4", "5"),
    "threads": ("2", "3", "4", "5"),
    "memory_limit": ("1GiB", "2GiB", "3GiB", "4GiB"),
    "idle_timeout": ("1m", "2m", "3m", "4m"),
    "cluster_name": ("a", "b", "c", "d"),
    "region": ("us-east-1", "us-east-2", "us-west-1", "us-west-2"),
    "instance_type": ("m7i.large", "m7i.xlarge", "m7i.2xlarge", "m7i.4xlarge"),
    "image": ("a", "b", "c", "d"),
    "ami": ("ami-1", "ami-2", "ami-3", "ami-4"),
    "disk": ("10GiB", "20GiB", "30GiB", "40GiB"),
    "subnet": ("subnet-1", "subnet-2", "subnet-3", "subnet-4"),
    "private": ("true", "false", "true", "false"),
    "instance_profile": ("a", "b", "c", "d"),
    "my_address": ("a", "b", "c", "d"),
    "batch_bytes": ("1MiB", "2MiB", "3MiB", "4MiB"),
    "window": ("2", "3", "4", "5"),
    "chunk_bytes": ("1MiB", "2MiB", "3MiB", "4MiB"),
    "max_record_bytes": ("1KiB", "2KiB", "3KiB", "4KiB"),
    "step_timeout": ("1s", "2s", "3s", "4s"),
    "partitions": ("2", "3", "4", "5"),
    "progress": ("true", "false", "true", "false"),
    "query_timeout": ("1s", "2s", "3s", "4s"),
    "shared_folders": ("/a", "/b", "/c", "/d"),
    "shared_tables": ("/a", "/b", "/c", "/d"),
    "warehouse": ("duckdb:///a", "duckdb:///b", "duckdb:///c", "duckdb:///d"),
    "runs_folder": ("a", "b", "c", "d"),
    "log_format": ("json", "console", "json", "console"),
    "log_level": ("debug", "info", "warning", "error"),
    "metrics_file": ("a.prom", "b.prom", "c.prom", "d.prom"),
    "openlineage": ("a.ndjson", "b.ndjson", "c.ndjson", "d.ndjson"),
    "notify": ("mail-a", "mail-b", "mail-c", "mail-d"),
    "notify_on": ("always", "failure", "always", "failure"),
}
"""Written values of each setting for: profile, pipeline, environment, flag."""


@pytest.fixture(autouse=True)
def clean_place(tmp_path, monkeypatch):
    for name in [*map(s.env_name, s.NAMES), "ESS_PROFILE", "XDG_CONFIG_HOME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def write_profile(tmp_path, text, name="mine"):
    path = tmp_path / "configs" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def pipeline_settings(text):
    return load(f"settings:\n  {text}\n".encode(), "p.yaml")["settings"]


def shown(resolved, name):
    return s.written(name, getattr(resolved.settings, name))


def test_values_cover_every_setting():
    assert set(VALUES) == set(s.NAMES)


@pytest.mark.slow
def test_every_setting_is_read_by_some_room():
    read = {
        node.attr
        for path in (REPOSITORY / "ess_dask").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and is_settings(node.value)
    }
    assert not set(s.NAMES) - read


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ("kafka://host/topic", "events cannot be sent by kafka"),
        ("https://user:canary-word@host/", "no URL of a host without user and password"),
        ("http://", "no URL of a host"),
    ],
)
def test_events_go_to_a_file_or_a_host_without_a_password(receiver, said, monkeypatch):
    monkeypatch.setenv("ESS_OPENLINEAGE", receiver)
    with pytest.raises(ConfigError, match=said) as caught:
        s.load_settings()
    assert "canary" not in str(caught.value)


def is_settings(node):
    called = node.func if isinstance(node, ast.Call) else node
    name = getattr(called, "attr", getattr(called, "id", ""))
    return name in {"settings", "load_settings"}


@pytest.mark.parametrize("name", s.NAMES)
def test_precedence_and_origin(name, tmp_path, monkeypatch):
    profile, pipeline, environment, flag = VALUES[name]
    default = s.resolve_settings()
    assert default.origin(name) == "default"
    write_profile(tmp_path, f"# a comment\n{name}: {profile}\n")
    got = s.resolve_settings(profile="mine")
    assert (shown(got, name), got.origin(name)) == (
        same(name, profile),
        "profile mine (configs/mine.yaml:2)",
    )
    given = pipeline_settings(f"{name}: {pipeline}")
    got = s.resolve_settings(pipeline=given, profile="mine")
    assert (shown(got, name), got.origin(name)) == (same(name, pipeline), "pipeline p.yaml:2")
    monkeypatch.setenv(s.env_name(name), environment)
    got = s.resolve_settings(pipeline=given, profile="mine")
    assert got.origin(name) == f"environment {s.env_name(name)}"
    assert shown(got, name) == same(name, environment)
    got = s.resolve_settings({name: flag}, given, "mine")
    assert (shown(got, name), got.origin(name)) == (
        same(name, flag),
        f"flag --{name.replace('_', '-')}",
    )


def same(name, text):
    """The canonical spelling of a written value."""
    return f'"{text}"' if name == "warehouse" else text


@pytest.mark.parametrize("name", s.NAMES)
def test_every_setting_is_described(name):
    assert s.description(name)[-1] in ".:"
    assert s.env_name(name) == f"ESS_{name.upper()}"
    kind = type(getattr(s.Settings(), name))
    assert bool(s.unit(name)) or kind not in (int, float)


@pytest.mark.parametrize("name", s.NAMES)
def test_default_reads_back(name):
    default = getattr(s.Settings(), name)
    document = load(f"{name}: {s.written(name, default)}\n".encode(), "p")
    assert getattr(s.load_settings(pipeline=document), name) == default


def test_settings_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        s.Settings().workers = 3


def test_flags_that_were_not_given_do_not_count():
    assert s.resolve_settings({"workers": None}).origin("workers") == "default"


def test_flags_take_python_values():
    got = s.load_settings({"workers": 4, "step_timeout": 1.5, "batch_bytes": 2048})
    assert (got.workers, got.step_timeout, got.batch_bytes) == (4, 1.5, 2048)


def test_what_was_set_on_the_command_line_goes_before_the_environment(monkeypatch):
    from ess_dask.documents.yaml import Place, Scalar

    monkeypatch.setenv("ESS_WORKERS", "7")
    typed = Scalar("3", Place("--set settings.workers"))
    got = s.resolve_settings(pipeline={"workers": typed})
    assert (got.settings.workers, got.origin("workers")) == (3, "--set settings.workers")


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("ESS_WORKERS", "")
    assert s.load_settings().workers == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("workers", "many", "'many' is not a whole number"),
        ("workers", "0", "must be at least 1"),
        ("workers", "010", "'010' is not a whole number"),
        ("batch_bytes", "big", "'big' is not a size"),
        ("step_timeout", "12:30:45", "is not a duration"),
        ("cluster", "locl", "'locl' is not one of local"),
        ("partitions", "99999999", "must be at most 65536"),
        ("chunk_bytes", "1GiB", "must be at most 536870912"),
        ("warehouse", "shop.duckdb", "not a warehouse URL"),
        ("warehouse", "redshift://[u", "cannot be read"),
    ],
)
def test_a_bad_value_names_its_origin(name, text, words, tmp_path, monkeypatch):
    monkeypatch.setenv(s.env_name(name), text)
    with pytest.raises(ConfigError, match=rf"^environment {s.env_name(name)}: {name}: ") as caught:
        s.load_settings()
    assert words in caught.value.message
    monkeypatch.delenv(s.env_name(name))
    write_profile(tmp_path, f"\n{name}:  '{text}'\n")
    column = len(name) + 4
    with pytest.raises(ConfigError, match=rf"^configs/mine\.yaml:2:{column}: {name}: "):
        s.load_settings(profile="mine")


def test_a_password_in_a_url_is_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv("ESS_WAREHOUSE", "redshift://user:canary@host/db")
    with pytest.raises(ConfigError, match="must not hold a password") as caught:
        s.load_settings()
    assert "canary" not in str(caught.value)


def test_unknown_key_of_a_profile(tmp_path):
    write_profile(tmp_path, "workers: 2\nbatch_byte: 1\n")
    with pytest.raises(
        ConfigError, match=r"^configs/mine\.yaml:2:1: unknown setting 'batch_byte'"
    ) as e:
        s.load_settings(profile="mine")
    assert e.value.hint == "did you mean 'batch_bytes'?"


def test_unknown_flag_and_pipeline_setting():
    with pytest.raises(ConfigError, match="unknown setting 'worker'"):
        s.load_settings({"worker": 1})
    with pytest.raises(ConfigError, match=r"unknown setting 'worker'"):
        s.load_settings(pipeline={"worker": 1})


@pytest.mark.parametrize("text", ["workers: [1]\n", "workers: {a: 1}\n"])
def test_a_list_in_a_profile_is_refused(text, tmp_path):
    write_profile(tmp_path, text)
    with pytest.raises(ConfigError, match=r"^configs/mine\.yaml:1:10: workers: must be one value"):
        s.load_settings(profile="mine")


def test_profiles_fill_in_variables(tmp_path, monkeypatch):
    write_profile(tmp_path, "runs_folder: ${PLACE}/runs\n")
    with pytest.raises(
        ConfigError, match=r"^configs/mine\.yaml:1:14: the variable PLACE is not set"
    ):
        s.load_settings(profile="mine")
    monkeypatch.setenv("PLACE", "/x")
    assert s.load_settings(profile="mine").runs_folder == "/x/runs"


def test_a_missing_profile_lists_the_places_in_order(tmp_path):
    with pytest.raises(ConfigError) as caught:
        s.load_settings(profile="lcal")
    lines = [line.strip() for line in caught.value.message.splitlines()]
    assert lines[0] == "no profile 'lcal'; searched, in order:"
    assert lines[1:3] == ["configs/lcal.yaml", str(tmp_path / "home/.config/ess/lcal.yaml")]
    assert lines[3].endswith("ess_dask/profiles/lcal.yaml")
    assert caught.value.hint == "did you mean 'local'?"


def test_profiles_are_searched_in_order(tmp_path, monkeypatch):
    assert find_profile("local").parent.name == "profiles"
    user = tmp_path / "home/.config/ess/local.yaml"
    user.parent.mkdir(parents=True)
    user.write_text("workers: 2\n")
    assert find_profile("local") == user
    other = tmp_path / "xdg/ess/local.yaml"
    other.parent.mkdir(parents=True)
    other.write_text("workers: 3\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert find_profile("local") == other
    write_profile(tmp_path, "workers: 4\n", "local")
    assert s.load_settings(profile="local").workers == 4


def test_the_profile_can_come_from_the_environment(tmp_path, monkeypatch):
    write_profile(tmp_path, "workers: 4\n")
    write_profile(tmp_path, "workers: 5\n", "other")
    monkeypatch.setenv("ESS_PROFILE", "mine")
    assert s.load_settings().workers == 4
    assert s.load_settings(profile="other").workers == 5


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "a b", "/etc/passwd"])
def test_a_profile_is_a_name_not_a_path(name):
    with pytest.raises(ConfigError, match="is not a profile name"):
        find_profile(name)


def test_unknown_variables_are_found_with_a_hint():
    environment = {"ESS_WORKRES": "1", "ESS_WORKERS": "1", "ESS_CACHE_DIR": "x", "OTHER": "y"}
    assert unknown_variables(environment) == [("ESS_WORKRES", "did you mean 'ESS_WORKERS'?")]


def test_shipped_profiles_are_the_ones_in_configs():
    shipped = REPOSITORY / "ess_dask" / "profiles"
    for path in shipped.glob("*.yaml"):
        assert (REPOSITORY / "configs" / path.name).read_bytes() == path.read_bytes()


def test_the_example_profile_shows_every_setting_with_its_default(tmp_path):
    text = (REPOSITORY / "configs" / "example.yaml").read_text()
    assert load(text.encode(), "example.yaml") == {}
    settings = re.findall(r"^# ([a-z_]+): (\S+)", text, re.MULTILINE)
    default = s.Settings()
    assert settings == [(name, s.written(name, getattr(default, name))) for name in s.NAMES]
