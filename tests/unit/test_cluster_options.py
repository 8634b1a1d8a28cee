"""Options, environment and choice of the local cluster."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.cluster.choice import choose, chosen
from ess_dask.cluster.environment import daemon_environment
from ess_dask.cluster.options import LocalOptions, options_from
from ess_dask.errors import ConfigError


def test_nothing_set_gives_one_worker_and_an_hour():
    assert options_from({}) == LocalOptions(workers=1, threads=0, idle_timeout=3600, memory_limit=0)


def test_empty_variables_are_unset_ones():
    names = ("ESS_WORKERS", "ESS_THREADS", "ESS_IDLE_TIMEOUT", "ESS_MEMORY_LIMIT")
    assert options_from(dict.fromkeys(names, "")) == LocalOptions()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5 m", 90),
        ("30 minutes", 1800),
        ("2h", 7200),
        ("1 day", 86400),
        ("never", 0),
        ("None", 0),
        ("0", 0),
    ],
)
def test_idle_timeout(text, seconds):
    assert options_from({"ESS_IDLE_TIMEOUT": text}).idle_timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("2GiB", 2 << 30), ("2 GB", 2 * 10**9), ("512M", 512 * 10**6), ("1kib", 1024)],
)
def test_memory_limit(text, size):
    assert options_from({"ESS_MEMORY_LIMIT": text}).memory_limit == size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ESS_WORKERS", "0"),
        ("ESS_WORKERS", "-1"),
        ("ESS_WORKERS", "two"),
        ("ESS_WORKERS", "4097"),
        ("ESS_WORKERS", "²"),
        ("ESS_THREADS", "1.5"),
        ("ESS_IDLE_TIMEOUT", "soon"),
        ("ESS_IDLE_TIMEOUT", "-5"),
        ("ESS_IDLE_TIMEOUT", "5 fortnights"),
        ("ESS_MEMORY_LIMIT", "a lot"),
        ("ESS_MEMORY_LIMIT", "-1GB"),
    ],
)
def test_a_bad_value_names_its_variable_and_says_what_to_write(name, value):
    with pytest.raises(ConfigError, match=name) as caught:
        options_from({name: value})
    assert value in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


@given(st.integers(1, 4096), st.integers(0, 4096), st.integers(0, 10**7))
def test_whole_numbers_come_back(workers, threads, seconds):
    found = options_from(
        {
            "ESS_WORKERS": str(workers),
            "ESS_THREADS": str(threads),
            "ESS_IDLE_TIMEOUT": f"{seconds}s",
        }
    )
    assert (found.workers, found.threads, found.idle_timeout) == (workers, threads, seconds)


@given(st.text(max_size=12).filter(str.strip))
def test_any_text_is_a_duration_or_a_config_error(text):
    try:
        assert options_from({"ESS_IDLE_TIMEOUT": text}).idle_timeout >= 0
    except ConfigError as error:
        assert "ESS_IDLE_TIMEOUT" in error.message


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,24}", fullmatch=True), st.text(max_size=8)))
def test_the_daemon_gets_only_what_is_listed(environ):
    kept = daemon_environment(environ)
    assert kept.items() <= environ.items()
    assert not any(
        "KEY" in name or "TOKEN" in name or "SECRET" in name
        for name in kept
        if not name.startswith("LC_")
    )


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
