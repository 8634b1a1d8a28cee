"""A run killed before and after each write of its journal, and at each other effect it has: the
same command run again gives the same rows as an undisturbed run, and the journal tells what was."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("crashes.py")
WRITES = ("planned", "begin", "staged", "load", "loaded", "finish")


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_killed_at_any_effect_and_run_again(tmp_path, mode):
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TZ": "UTC"}
    done = subprocess.run(
        [sys.executable, PROGRAM, mode],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert len(found["effects"]) >= 30
    for write in WRITES:
        assert found["effects"].count(f"before journal: {write}") == 1
        assert found["effects"].count(f"after journal: {write}") == 1
    committed = found["effects"].index("in load: commit")
    for number, each in enumerate(found["killed"]):
        assert each["ended"] == -signal.SIGKILL, each
        assert each["code"] == 0, each
        assert each["outcome"] == found["expected"], each["effect"]
        check_journal(each, committed=number >= committed)
    assert "was killed (it was running); nothing of it was loaded" in done.stderr
    assert "was killed (it was loading); its load stands" in done.stderr


def check_journal(each, *, committed):
    """The killed run has the end that the warehouse says, and all of it is told once."""
    assert {state for state, _, _ in each["runs"]} <= {"done", "interrupted"}, each
    known = [run for _, run, _ in each["runs_before"]]
    assert [run for _, run, _ in each["runs"][: len(known)]] == known
    if len(known) < 2:  # killed before it was written down
        assert not committed
        return
    state, _, error = each["runs"][1]
    assert state == ("done" if committed else "interrupted"), each
    assert (error == "") is committed
