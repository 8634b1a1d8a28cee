"""Options, environment and choice of the local cluster."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.cluster.choice import choose, chosen
from ess_dask.cluster.environment import ALLOWED, daemon_environment
from ess_dask.cluster.options import LocalOptions, options_from_settings
from ess_dask.cluster.verbs import verb
from ess_dask.errors import ConfigError, UsageError


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """No setting from outside: an empty home and folder, no ``ESS_*`` variable."""
    for name in list(os.environ):
        if name.startswith("ESS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_nothing_set_gives_one_worker_and_an_hour(settings):
    assert options_from_settings() == LocalOptions()
    assert LocalOptions() == LocalOptions(workers=1, threads=0, idle_timeout=3600, memory_limit=0)


def test_the_environment_sets_them(settings):
    settings.setenv("ESS_WORKERS", "2")
    settings.setenv("ESS_THREADS", "3")
    settings.setenv("ESS_IDLE_TIMEOUT", "90s")
    settings.setenv("ESS_MEMORY_LIMIT", "2GiB")
    assert options_from_settings() == LocalOptions(2, 3, 90.0, 2 << 30)


def test_a_profile_sets_them(settings, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "big.yaml").write_text("workers: 4\nidle_timeout: 2h\n")
    settings.setenv("ESS_PROFILE", "big")
    assert options_from_settings() == LocalOptions(workers=4, idle_timeout=7200)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ESS_WORKERS", "0"),
        ("ESS_WORKERS", "two"),
        ("ESS_THREADS", "-1"),
        ("ESS_IDLE_TIMEOUT", "soon"),
        ("ESS_MEMORY_LIMIT", "a lot"),
    ],
)
def test_a_bad_value_names_its_variable(settings, name, value):
    settings.setenv(name, value)
    with pytest.raises(ConfigError, match=name) as caught:
        options_from_settings()
    assert caught.value.exit_code == 2


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_]{1,24}", fullmatch=True)
        | st.sampled_from(sorted(ALLOWED - {"PYTHONPATH"})),
        st.text(max_size=8),
    )
)
def test_the_daemon_gets_only_what_is_listed(environ):
    kept = daemon_environment(environ)
    assert kept.items() <= environ.items()
    assert all(name in ALLOWED or name.startswith("LC_") for name in kept)


def test_relative_folders_of_python_still_mean_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = daemon_environment({"PYTHONPATH": os.pathsep.join((".", "lib", "/opt/lib"))})
    assert found["PYTHONPATH"].split(os.pathsep) == [
        str(tmp_path),
        str(tmp_path / "lib"),
        "/opt/lib",
    ]


def test_no_credential_and_no_address_with_a_password_reaches_the_daemon():
    secret = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "x",
        "AWS_PROFILE": "x",
        "ESS_WAREHOUSE": "redshift://me:x@host/db",
        "HTTPS_PROXY": "http://me:x@proxy",
        "SSH_AUTH_SOCK": "x",
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": "x",
        "LD_PRELOAD": "x",
    }
    assert daemon_environment({**secret, "PATH": "/bin", "LC_ALL": "C", "TZ": "UTC"}) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
    }


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "ess"))
    (tmp_path / "ess").mkdir()
    return tmp_path / "ess"


def test_local_is_chosen_when_nothing_was(cache):
    assert chosen() == "local"


def test_a_choice_is_remembered(cache):
    choose("local")
    assert chosen() == "local"
    assert json.loads((cache / "cluster.json").read_text()) == {"kind": "local"}
    assert os.listdir(cache) == ["cluster.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"kind": "moon"}', '{"kind": 3}'])
def test_a_broken_choice_is_a_config_error_that_names_the_file(cache, text):
    (cache / "cluster.json").write_text(text)
    with pytest.raises(ConfigError, match=r"cluster\.json:1:1"):
        chosen()


def test_a_verb_that_a_kind_lacks_does_not_apply_to_it(cache):
    with pytest.raises(UsageError, match="'juggle' does not apply to a custom cluster"):
        verb("juggle", "custom")
