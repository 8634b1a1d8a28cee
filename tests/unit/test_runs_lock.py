"""The lock of a pipeline: who holds it is named, who is gone is not waited for."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from ess_dask.errors import EssError, LockedError
from ess_dask.runs import lock as locks
from ess_dask.runs.lock import Claim, LockKey, hold, holder_of, is_gone

KEY = LockKey("shop/é \n", "duckdb:///x sales")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_one_at_a_time_and_the_second_is_told_who():
    with hold(KEY, Claim("one")) as held:
        assert holder_of(KEY) == held.holder
        with pytest.raises(LockedError) as caught, hold(KEY, Claim("two")):
            pass
        assert caught.value.exit_code == 75
        assert f"run one (process {os.getpid()} on {os.uname().nodename}, since" in str(
            caught.value
        )
    assert holder_of(KEY) is None
    with hold(KEY, Claim("two")):
        pass


def test_other_pipelines_and_other_targets_are_free():
    others = LockKey(KEY.pipeline, "other"), LockKey("other", KEY.target)
    with hold(KEY, Claim("one")), hold(others[0], Claim("two")), hold(others[1], Claim("three")):
        pass


def test_who_may_wait_gets_it_when_it_is_free():
    code = (
        "import sys, time; from ess_dask.runs.lock import *\n"
        "with hold(LockKey(sys.argv[1], sys.argv[2]), Claim('first')):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, KEY.pipeline, KEY.target],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        try:
            assert child.stdout.readline() == b"held\n"
            said, begun = [], time.monotonic()
            with pytest.raises(LockedError), hold(KEY, Claim("second", wait=0.3), said.append):
                pass
            assert 0.3 <= time.monotonic() - begun < 10
            assert [text[:34] for text in said] == ["waiting: the pipeline is held: run"]
            child.send_signal(signal.SIGKILL)
            # Killed in the middle: the kernel let go of it, and what it wrote is taken over.
            child.wait(timeout=20)
            said.clear()
            with hold(KEY, Claim("second", wait=10), said.append):
                assert holder_of(KEY).run_id == "second"
        finally:
            child.kill()
    (text,) = said
    assert "run first" in text
    assert "taken over: that process is gone" in text


def write(**values):
    """Write a holder into the lock file as a process of another host would have."""
    KEY.path.parent.mkdir(exist_ok=True)
    now = time.time()
    known = {"run_id": "far", "pid": 7, "host": "elsewhere", "since": now, "beat": now}
    KEY.path.write_text(json.dumps({**known, **values}))


@pytest.mark.parametrize("age", [0, 100, -1e6])
def test_a_process_of_another_host_is_believed_for_a_while(age):
    write(beat=time.time() - age)
    with pytest.raises(LockedError, match="run far"), hold(KEY, Claim("x")):
        pass
    assert holder_of(KEY).run_id == "far"


def test_a_process_of_another_host_whose_heart_stopped_is_taken_over(monkeypatch):
    write(beat=time.time() - locks.STALE_SECONDS - 1)
    said = []
    assert holder_of(KEY) is None
    with hold(KEY, Claim("x"), said.append):
        assert "on elsewhere" in said[0]
    # Its clock is ahead, or ours was set back: then by watching it.
    write(beat=time.time() + 1e6)
    monkeypatch.setattr(locks, "STALE_SECONDS", 0.3)
    with hold(KEY, Claim("x", wait=20)):
        pass


def test_a_lock_that_was_let_go_is_free_on_every_host(monkeypatch):
    with hold(KEY, Claim("one")):
        pass
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="elsewhere"))
    assert holder_of(KEY) is None


def test_a_run_is_gone_by_its_lock_here_and_by_its_heart_elsewhere(tmp_path):
    now, here, folder = time.time(), os.uname().nodename, str(tmp_path)
    assert not is_gone(7, "elsewhere", now, folder)
    assert is_gone(7, "elsewhere", now - locks.STALE_SECONDS - 1, folder)
    assert is_gone(7, here, now, folder)
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not is_gone(7, here, now - locks.STALE_SECONDS - 1, folder)


@pytest.mark.parametrize("text", ["", "{", "[]", " " * 1024, '{"unknown": 1}'])
def test_whatever_stands_in_the_file_the_kernel_knows(text):
    KEY.path.parent.mkdir()
    KEY.path.write_text(text)
    with hold(KEY, Claim("x")):
        KEY.path.write_text(text)
        with pytest.raises(LockedError, match="another process"), hold(KEY, Claim("y")):
            pass


def test_runs_of_a_backfill_are_there_at_a_time_and_nobody_else():
    with ExitStack() as runs:
        with hold(KEY, Claim(backfill="b")) as parent:
            for name in ("one", "two"):
                runs.enter_context(hold(KEY, Claim(name, "b")))
            for claim in (Claim("x"), Claim("x", "other"), Claim(backfill="b")):
                with pytest.raises(LockedError, match="backfill b"), hold(KEY, claim):
                    pass
            parent.beat()
            assert holder_of(KEY).backfill == "b"
        # The backfill is gone and its runs are not: they are not run over, and get no company.
        for claim in (Claim("x"), Claim(backfill="c"), Claim("x", "b")):
            with pytest.raises(LockedError), hold(KEY, claim):
                pass
    with hold(KEY, Claim("x")):
        pass


def test_a_run_does_not_join_what_does_not_hold_the_lock():
    with (
        pytest.raises(LockedError, match="backfill b does not hold it"),
        hold(KEY, Claim("x", "b")),
    ):
        pass
    joining = pytest.raises(LockedError, match="run x")
    with hold(KEY, Claim("x")), joining, hold(KEY, Claim("y", "b")):
        pass


def test_the_heartbeat_is_written_in_place():
    with hold(KEY, Claim("x")) as held:
        size = KEY.path.stat().st_size
        held.beat()
        assert holder_of(KEY).beat > held.holder.beat
        assert KEY.path.stat().st_size == size


def test_a_folder_that_cannot_be_written_is_named(state):
    (state / "locks").write_text("")
    with (
        pytest.raises(EssError, match=r"cannot take the lock .*locks/shop-") as caught,
        hold(KEY, Claim("x")),
    ):
        pass
    assert caught.value.exit_code == 1
