"""The life of the local cluster, from outside: real starts, races, kills and ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from ess_dask.cluster import launch, local, tls
from ess_dask.cluster.options import LocalOptions
from ess_dask.cluster.state import read_state, write_state
from ess_dask.errors import ConfigError, EssError
from ess_dask.testing.clusters import (
    listening_ports,
    private_cluster,
    session_processes,
    wait_until,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def own(tmp_path):
    """A folder for the daemons a test starts and ends itself."""
    with private_cluster(tmp_path) as folder:
        yield folder


def test_nothing_runs_nothing_is_stopped(own):
    assert local.attach() is None
    assert local.stop() is None
    assert local.status() == local.LocalStatus("stopped")
    assert local.log_tail(5) == ""
    assert not own.exists()


def test_it_starts_by_itself_once_and_stops_without_a_trace(own):
    said = []
    state = local.ensure_started(said.append)
    assert len(said) == 1
    assert "started the local cluster" in said[0]
    assert local.ensure_started(said.append) == state
    assert len(said) == 1
    assert local.stop() == state
    assert local.attach() is None
    assert wait_until(lambda: not session_processes(state.pid))
    assert not (own / "state.json").exists()
    assert local.stop() is None


def start_in_process():
    code = "from ess_dask.cluster import local; print(local.start().pid)"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_starts_at_the_same_moment_give_one_daemon(own):
    starters = [start_in_process() for _ in range(3)]
    answers = [starter.communicate(timeout=60) for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0, 0], answers
    assert len({answer for answer, _ in answers}) == 1
    assert local.stop().pid == int(answers[0][0])


@pytest.mark.slow
def test_a_killed_starter_does_not_take_it_along(own):
    starter = start_in_process()
    assert wait_until((own / "lock").exists, 30)
    starter.kill()
    starter.communicate()
    # It is coming up: who asks now waits for it and gets it.
    assert wait_until(lambda: local.attach() or not session_processes_of_lock(own), 30)
    assert local.start().pid


def session_processes_of_lock(folder):
    text = (folder / "lock").read_text().strip()
    return session_processes(int(text)) if text else [0]


def test_kill_9_of_the_daemon_takes_its_workers_and_a_new_one_can_start(own):
    first = local.start()
    (own / "scratch" / "left-over").write_text("spilled rows")
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not session_processes(first.pid))
    # Its state file is still there and says that it runs.
    assert read_state(own).pid == first.pid
    assert local.attach() is None
    second = local.start()
    assert second.pid != first.pid
    assert not (own / "scratch" / "left-over").exists()
    with local.connect(second) as client:
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3


@pytest.mark.slow
def test_kill_9_reaches_a_worker_that_is_deep_in_a_computation(own):
    state = local.start()
    with local.connect(state) as client:
        future = client.submit(spin)
        assert wait_until(lambda: any(client.processing().values()))
        os.kill(state.pid, signal.SIGKILL)
        assert wait_until(lambda: not session_processes(state.pid))
        del future


def spin():
    # One long regular expression holds the interpreter: no thread of Python's can run beside it.
    import re

    re.match("(a*)*b", "a" * 40)


@pytest.mark.slow
def test_stop_does_not_wait_for_a_worker_that_is_deep_in_a_computation(own):
    state = local.start()
    with local.connect(state) as client:
        future = client.submit(spin)
        assert wait_until(lambda: any(client.processing().values()))
        assert local.stop(timeout=20) == state
        assert wait_until(lambda: not session_processes(state.pid))
        del future


@pytest.mark.slow
def test_a_stopped_daemon_that_does_not_obey_is_killed(own):
    state = local.start()
    os.kill(state.pid, signal.SIGSTOP)
    assert local.stop(timeout=0.3) == state
    assert wait_until(lambda: not session_processes(state.pid))


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_the_task_completes(own, tmp_path):
    state = local.start()
    with local.connect(state) as client:
        future = client.submit(die_once, str(tmp_path / "died"))
        assert future.result(timeout=60) == "done"
    found = local.worker_memory(state)
    assert len(found) == 1
    assert str(found[0].pid) != (tmp_path / "died").read_text()


def die_once(path):
    import os
    import signal

    if not os.path.exists(path):
        with open(path, "x") as file:
            file.write(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@pytest.mark.slow
def test_it_ends_when_nobody_uses_it(own):
    state = local.start(LocalOptions(idle_timeout=0.5))
    assert wait_until(lambda: not session_processes(state.pid), 20)
    assert local.attach() is None


@pytest.mark.slow
def test_clients_and_the_data_they_leave_behind_keep_it(own):
    state = local.start(LocalOptions(idle_timeout=1.0))

    def ends(timeout):
        return wait_until(lambda: not session_processes(state.pid), timeout)

    with local.connect(state) as client:
        assert not ends(2.5)
        client.publish_dataset(kept=client.submit(sum, [1, 2]))
    assert not ends(2.5)
    with local.connect(state) as client:
        assert client.get_dataset("kept").result(timeout=10) == 3
        client.unpublish_dataset("kept")
    assert ends(20)


@pytest.mark.slow
def test_sizes_are_those_asked_for(own):
    state = local.start(LocalOptions(workers=1, threads=3, memory_limit=1 << 30))
    assert (state.workers, state.threads, state.memory_limit) == (1, 3, 1 << 30)


@pytest.mark.slow
def test_the_users_dask_configuration_does_not_open_it(own, tmp_path, monkeypatch):
    (tmp_path / ".config" / "dask").mkdir(parents=True)
    (tmp_path / ".config" / "dask" / "open.yaml").write_text(
        json.dumps(
            {
                "distributed": {
                    "comm": {"require-encryption": False},
                    "scheduler": {"http": {"routes": ["distributed.http.health"]}},
                    "worker": {"preload": ["no_such_module"]},
                }
            }
        )
    )
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__HTTP__ROUTES", "['distributed.http.health']")
    state = local.start()
    assert len(listening_ports(state.pid)) == 3


@pytest.mark.slow
def test_another_release_is_refused_naming_both_but_can_be_stopped(own):
    state = local.start()
    write_state(replace(state, version="0.0.1"))
    for call in (local.attach, local.start, lambda: local.ensure_started(print)):
        with pytest.raises(ConfigError, match=r"ess-dask 0\.0\.1 .* this is ess-dask"):
            call()
    assert local.status().state == "running"
    assert local.stop().pid == state.pid


@pytest.mark.slow
def test_expired_certificates_are_remade_at_the_next_start(own, monkeypatch):
    import datetime

    with monkeypatch.context() as patch:
        patch.setattr(tls, "VALID", datetime.timedelta(days=1))
        own.mkdir(parents=True)
        tls.ensure_certificates(own / "tls")
    before = (own / "tls" / "ca.pem").read_bytes()
    state = local.start()
    assert (own / "tls" / "ca.pem").read_bytes() != before
    with local.connect(state) as client:
        assert client.submit(sum, [2, 2]).result(timeout=30) == 4


def test_a_failing_start_says_the_daemons_own_reason(own):
    own.mkdir(parents=True, mode=0o700)
    (own / "tls").write_text("not a folder")
    with pytest.raises(EssError, match=r"could not start: \w+Error") as caught:
        local.start()
    assert str(own / "log") in caught.value.hint
    assert local.attach() is None


@pytest.mark.slow
def test_a_start_that_takes_too_long_is_told(own, monkeypatch):
    monkeypatch.setattr(launch, "START_TIMEOUT", 0.01)
    with pytest.raises(EssError, match="not ready after"):
        local.start()
    # It was only slow: the next one waits for it.
    monkeypatch.undo()
    assert local.start().pid


@pytest.mark.slow
def test_a_long_log_is_put_aside(own, monkeypatch):
    own.mkdir(parents=True, mode=0o700)
    (own / "log").write_text("old\n" * 100)
    monkeypatch.setattr(launch, "LOG_LIMIT", 100)
    local.start()
    assert (own / "log.1").read_text() == "old\n" * 100
    assert "old" not in local.log_tail(1000)
    assert len(local.log_tail(3).splitlines()) == 3


@pytest.mark.slow
def test_it_can_be_started_from_a_thread_that_ends(own):
    # The kernel's parent-death signal means threads: the daemon must not hang on this one.
    thread = threading.Thread(target=local.start)
    thread.start()
    thread.join()
    state = local.attach()
    assert not wait_until(lambda: not session_processes(state.pid), 0.5)
