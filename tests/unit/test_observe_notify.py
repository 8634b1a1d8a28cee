"""The command that is told of a run: what it gets, and that it can do no harm."""

import json
import logging
import time

import pytest

from ess_dask.observe.model import Beginning, Ending, Hook
from ess_dask.observe.notify import hooks_of, notify

BEGINNING = Beginning("20261127T003904-3216707d", "shop", 0.0)
TOLD = "cat > told.json; printenv ESS_RUN_ID ESS_PIPELINE ESS_STATE ESS_EXIT_CODE > told.env"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-the-environment")
    return tmp_path


def ending(code, state="failed files", **report):
    return Ending(1.0, code, state, {"pipeline": "shop", **report})


def test_it_gets_the_report_and_the_facts(here):
    said = "password=hunter2 $(touch injected) é"
    notify(Hook(TOLD), BEGINNING, ending(3, error=said, failed=[{"uri": "a", "error": said}]))
    report = json.loads((here / "told.json").read_text())
    assert report["pipeline"] == "shop"
    assert report["failed"][0]["error"] == "password=*** $(touch injected) é"
    facts = (here / "told.env").read_text().splitlines()
    assert facts == ["20261127T003904-3216707d", "shop", "failed files", "3"]
    assert not (here / "injected").exists()


@pytest.mark.parametrize(
    ("on", "code", "is_told"),
    [
        ("failure", 0, False), ("failure", 75, False), ("failure", 1, True), ("failure", 130, True),
        ("always", 0, True), ("always", 75, True),
    ],
)  # fmt: skip
def test_it_is_told_when_it_asked_for_it(here, on, code, is_told):
    notify(Hook("touch told", on), BEGINNING, ending(code))
    assert (here / "told").exists() == is_told


def test_keys_of_the_environment_stay_with_us(here):
    notify(Hook("env > seen"), BEGINNING, ending(1))
    assert "canary-of-the-environment" not in (here / "seen").read_text()


@pytest.mark.parametrize(
    "command",
    ["exit 7", "no-such-program", "kill -9 $$", "exec <&-; exit 7"],
)
def test_one_that_fails_is_a_warning(command, caplog):
    with caplog.at_level(logging.WARNING):
        notify(Hook(command), BEGINNING, ending(1))
    (said,) = caplog.messages
    assert "notify: " in said
    assert said.endswith("the run itself is failed files")


@pytest.mark.parametrize("command", ["sleep 60", "exec >&- 2>&- <&-; sleep 60", "sleep 60 & wait"])
def test_one_that_hangs_is_ended_in_time(command, caplog):
    began = time.monotonic()
    notify(Hook(command, timeout=0.2), BEGINNING, ending(1))
    assert time.monotonic() - began < 10
    assert "notify: " in caplog.text


def test_the_pipelines_own_command_and_the_general_one_are_both_told():
    own = Hook("mail team", "always", 5.0)
    assert hooks_of(None, "", "failure") == ()
    assert hooks_of(own, "", "failure") == (own,)
    assert hooks_of(own, "page", "always") == (own, Hook("page", "always"))
    assert hooks_of(own, "mail team", "failure") == (own,)
