"""What the workers are told of the user's way to S3."""

import pytest

from ess_dask.catalog.credentials import named_in_environment
from ess_dask.cluster.passing import PASSED, passed_values


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
    assert passed_values(named_in_environment()) == {
        "AWS_ACCESS_KEY_ID": "AKIADEV",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_a_profile_that_gives_no_keys_is_the_trouble_of_those_who_need_them(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "gone")
    assert passed_values(named_in_environment()) == {"AWS_DEFAULT_REGION": "eu-west-1"}


def test_keys_of_the_environment_come_first(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")
    assert passed_values(named_in_environment())["AWS_SECRET_ACCESS_KEY"] == "own"
