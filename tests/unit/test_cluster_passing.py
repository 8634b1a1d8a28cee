"""What the workers are told of the user's way to S3."""

import os

import pytest

from ess_dask.cluster.passing import PASSED, passed_values
from ess_dask.credentials import keys_of_files


@pytest.fixture(autouse=True)
def aws(monkeypatch, tmp_path):
    for name in PASSED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "keys").write_text(
        "[dev]\naws_access_key_id = AKIADEV\naws_secret_access_key = s\naws_session_token = t\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def test_workers_here_find_the_profile_themselves(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "dev")
    found = passed_values(None)
    assert found["AWS_PROFILE"] == "dev" and "AWS_SHARED_CREDENTIALS_FILE" in found


def test_workers_elsewhere_get_its_keys(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "dev")
    assert passed_values(keys_of_files()) == {
        "AWS_ACCESS_KEY_ID": "AKIADEV",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_a_profile_that_gives_no_keys_is_the_trouble_of_those_who_need_them(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "gone")
    assert passed_values(keys_of_files()) == {"AWS_DEFAULT_REGION": "eu-west-1"}


def test_keys_of_the_environment_come_first(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")
    assert passed_values(keys_of_files())["AWS_SECRET_ACCESS_KEY"] == "own"


def test_keys_of_the_usual_files_go_to_other_machines(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys_of_files() == {}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAUSUAL\naws_secret_access_key = usual\n"
    )
    assert passed_values(keys_of_files()) == {
        "AWS_ACCESS_KEY_ID": "AKIAUSUAL",
        "AWS_SECRET_ACCESS_KEY": "usual",
    }
