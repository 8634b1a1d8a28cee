"""A run killed before and after each write of its journal, and at each other effect it has: the
same command run again gives the same rows as an undisturbed run, and the journal tells what was.

In other modes than append it is killed at the effects of the load only, by ``make stress`` at all.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROGRAM = Path(__file__).with_name("crashes.py")
WRITES = ("planned", "begin", "staged", "load", "loaded", "finish")


@pytest.fixture
def folder():
    """Give a folder in memory where there is such a place: a killed process leaves the same there,
    and hundreds of runs do not wait for a disk."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield made


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_killed_at_any_effect_and_run_again(folder, mode):
    effects = "all" if mode == "append" or os.environ.get("ESS_STRESS") else "load"
    env = {"PATH": os.environ["PATH"], "HOME": folder, "TZ": "UTC"}
    done = subprocess.run(
        [sys.executable, PROGRAM, mode, effects],
        cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert len(found["effects"]) >= 30
    for write in WRITES:
        assert found["effects"].count(f"before journal: {write}") == 1
        assert found["effects"].count(f"after journal: {write}") == 1
    committed = found["effects"].index("in load: commit")
    assert len(found["killed"]) == len(found["effects"]) or (effects == "load" and found["killed"])
    for each in found["killed"]:
        assert each["ended"] == -signal.SIGKILL, each
        assert each["code"] == 0, each
        assert each["outcome"] == found["expected"], each["effect"]
        check_journal(each, committed=each["number"] >= committed)
    early = "was killed (it was running); nothing of it was loaded" in done.stderr
    assert early is (effects == "all")
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
