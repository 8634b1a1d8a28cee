"""``ess run`` with workers, daemon or client killed at each stage: the same rows, once."""

import os
import signal
import time

import pytest

from ess_dask.testing.clusters import session_processes

MEMORY = "memory: {table: wood.sales, key: userID}"
DROP_FREE = "  - sql: select * from records where price > 0"
SLOW = "  - shell: 'sleep 0.1; cat'\n" + DROP_FREE


def kill_worker(shop, until):
    """SIGKILL one worker process of the shop's own daemon."""
    os.kill(until(shop.workers)[0], signal.SIGKILL)


def parts(shop):
    return list((shop.state / "runs").glob("*/stage/part-*"))


def segments(shop):
    return list((shop.state / "tables").glob("*/segments/*/*.arrow"))


def loaded(shop):
    return (shop.folder / "shop.duckdb.wal").exists() or (shop.folder / "shop.duckdb").exists()


def partitions(shop):
    """Whether a version of the memory table is being made or is made."""
    return list((shop.state / "tables").glob("*/*.lock"))


STAGES = {
    "starting": lambda shop: list((shop.state / "runs").glob("*/lock")),
    "staging": parts,
    "most is staged": lambda shop: len(segments(shop)) > 12,
    "loading": loaded,
    "publishing": partitions,
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["staging", "most is staged", "publishing"])
def test_a_worker_killed_makes_no_difference(shop, until, end_processes, stage):
    shop.write(clean=SLOW, memory=MEMORY)
    child = shop.start()
    end_processes.append(child)
    until(lambda: STAGES[stage](shop) or child.poll() is not None)
    kill_worker(shop, until)
    _, err = child.communicate(timeout=100)
    assert child.returncode == 0, err
    shop.check_complete(memory=True)
    assert shop.stages() == []


POISON = """
import os, signal, time

def poison(frame):
    if (frame["purchaseDate"].dt.day == 5).any():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)  # its neighbours are in the middle of their work whenever it dies
    return frame
"""


@pytest.mark.slow
def test_a_file_that_kills_every_worker_fails_alone(shop, until):
    (shop.folder / "steps.py").write_text(POISON)
    shop.write(clean="  - python: steps:poison\n" + DROP_FREE, memory=MEMORY)
    report = shop.run(code=1)
    assert [each["uri"][-15:] for each in report["failed"]] == ["20140905.csv.gz"]
    assert "worker died" in report["failed"][0]["error"]
    assert report["files"] == 15
    assert shop.rows("select count(distinct _ess_file) from sales") == [(15,)]
    # The cluster goes on to serve: the mended step loads the one file that is missing.
    (shop.folder / "steps.py").write_text(POISON.replace("== 5", "== 99"))
    assert shop.run()["files"] == 1
    shop.check_complete(memory=True)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["staging", "publishing"])
def test_the_daemon_killed_is_told_and_the_rerun_completes(shop, until, end_processes, stage):
    shop.write(clean=SLOW, memory=MEMORY)
    child = shop.start()
    end_processes.append(child)
    until(lambda: STAGES[stage](shop) or child.poll() is not None)
    daemon = shop.daemon()
    os.kill(daemon, signal.SIGKILL)
    started = time.monotonic()
    _, err = child.communicate(timeout=60)
    assert time.monotonic() - started < 14  # a reconnection alone would take 15
    assert b"Traceback" not in err
    # Killed when the very last partition was there already, the run has nothing to complain of.
    assert child.returncode == 1 or stage == "publishing", err
    assert child.returncode == 0 or b"cluster" in err
    until(lambda: not session_processes(daemon))
    assert shop.run()["exit_code"] == 0
    shop.check_complete(memory=True)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_client_killed_and_run_again_gives_every_row_once(
    shop, until, kill_group, end_processes, stage
):
    shop.write(clean=SLOW, memory=MEMORY)
    child = shop.start()
    end_processes.append(child)
    until(lambda: STAGES[stage](shop) or child.poll() is not None)
    kill_group(child)
    assert shop.run()["exit_code"] == 0
    shop.check_complete(memory=True)
    assert shop.stages() == []
    assert shop.run()["state"] == "nothing new"


def test_what_a_killed_run_staged_is_swept_by_the_next(shop, until, kill_group, end_processes):
    shop.write(clean=SLOW)
    child = shop.start()
    end_processes.append(child)
    until(lambda: parts(shop))
    kill_group(child)
    dead = shop.stages()
    assert len(dead) == 1
    shop.write()
    assert shop.run()["files"] == 16
    shop.check_complete()
    shop.check_nothing_left()


@pytest.mark.slow
def test_what_another_run_has_staged_is_left_alone(shop, until, end_processes):
    wait = "  - shell: 'until test -e go; do sleep 0.02; done; cat'\n" + DROP_FREE
    shop.write(clean=wait)
    first = shop.start("--to", "2014-09-03")
    end_processes.append(first)
    until(lambda: (shop.state / "runs").is_dir() and list((shop.state / "runs").glob("*/stage")))
    shop.write()
    # Another pipeline, whose runs lie in the same folder.
    other = ("--set", "name=other", "--set", "load.table=other")
    assert shop.run(*other, "--from", "2014-09-04")["files"] == 13
    assert len(shop.stages()) == 1
    (shop.folder / "go").touch()
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert shop.rows() == shop.rows("select count(*), 3 from sales")
    shop.check_nothing_left()


@pytest.mark.parametrize(
    "memory", ["", pytest.param(MEMORY, marks=pytest.mark.slow)], ids=["threads", "cluster"]
)
def test_ctrl_c_once_loads_what_is_finished(shop, until, end_processes, memory):
    shop.write(clean=SLOW, memory=memory)
    child = shop.start()
    end_processes.append(child)
    until(lambda: parts(shop))
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert b"once more aborts" in err
    ((count, files),) = shop.rows()
    assert 0 < files < 16
    assert shop.rows("select count(*) from _ess_ledger") == [(files,)]
    assert f'"files": {files}'.encode() in out
    if memory:
        assert len(shop.table()) == count
    else:
        shop.check_nothing_left()
    assert shop.run()["files"] == 16 - files
    shop.check_complete(memory=bool(memory))


@pytest.mark.parametrize(
    "memory", ["", pytest.param(MEMORY, marks=pytest.mark.slow)], ids=["threads", "cluster"]
)
def test_ctrl_c_twice_publishes_nothing_and_leaves_nothing(shop, until, end_processes, memory):
    hangs = "  - shell: 'touch begun; sleep 300 & sleep 300; wait'\n" + DROP_FREE
    shop.write(clean=hangs, memory=memory)
    child = shop.start()
    end_processes.append(child)
    until(lambda: (shop.folder / "begun").exists())
    child.send_signal(signal.SIGINT)
    until(lambda: b"once more" in child.stderr.readline())
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert b"Traceback" not in err
    assert b"run the same command again" in err
    assert not (shop.folder / "shop.duckdb").exists()
    until(lambda: not [c for c in shop.processes().values() if b"sleep 300" in c])
    if not memory:
        shop.check_nothing_left(stages=False)
    shop.write(memory=memory)
    assert shop.run()["files"] == 16
    shop.check_complete(memory=bool(memory))
    assert shop.stages() == []
    if memory:
        assert len({path.parent for path in segments(shop)}) == 1


@pytest.mark.slow
def test_aborting_one_run_leaves_another_on_the_same_workers_alone(shop, until, end_processes):
    shop.user.ess("udbd", "start")
    wait = "  - shell: 'touch {0}; until test -e go; do sleep 0.02; done; cat'\n" + DROP_FREE
    started = []
    for name in ("one", "two"):
        table = MEMORY.replace("wood.sales", f"wood.{name}")
        shop.write(clean=wait.format(name), memory=table, warehouse=f"duckdb:///{name}.duckdb")
        child = shop.start("--to", "2014-09-01")
        end_processes.append(child)
        until(lambda name=name: (shop.folder / name).exists())
        started.append(child)
    one, two = started
    one.send_signal(signal.SIGINT)
    until(lambda: b"once more" in one.stderr.readline())
    one.send_signal(signal.SIGINT)
    one.communicate(timeout=30)
    assert one.returncode == 130
    (shop.folder / "go").touch()
    out, err = two.communicate(timeout=60)
    assert two.returncode == 0, err
    assert b'"files": 1' in out
    assert len(shop.table("wood.two")) > 200
