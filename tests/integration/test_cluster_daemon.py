"""The local cluster from outside: real daemons, real kills, real strangers at the door."""

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ess_dask.cluster import launch, local, tls
from ess_dask.cluster.options import LocalOptions
from ess_dask.cluster.state import read_state, write_state
from ess_dask.errors import ConfigError, EssError, TransientError
from ess_dask.testing.clusters import private_cluster, session_processes, wait_until

SECRET = "canary-" + "5f3c" * 8

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One daemon with two workers for the tests that only look, started with keys around."""
    with private_cluster(tmp_path_factory.mktemp("shared")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            patch.setenv("ESS_WAREHOUSE", f"redshift://me:{SECRET}@host/db")
            state = local.start(LocalOptions(workers=2, threads=1))
        yield state


@pytest.fixture
def own(tmp_path):
    """A folder for the daemons a test starts and ends itself."""
    with private_cluster(tmp_path) as folder:
        yield folder


def listening_ports(state):
    """Return every TCP port on which a process of the cluster listens, with its address."""
    sockets = set()
    for process in session_processes(state.pid):
        for link in Path(f"/proc/{process}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith("socket:"):
                sockets.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                address, port = fields[1].split(":")
                found.append((address, int(port, 16)))
    return found


# What a ready one is like.


def test_it_says_what_it_is(shared):
    assert (shared.workers, shared.threads) == (2, 1)
    assert shared.address.startswith("tls://127.0.0.1:")
    assert shared.memory_limit > 1 << 20
    assert local.attach() == shared == local.start() == read_state(shared.path)


def test_it_computes_on_both_workers(shared):
    with local.connect(shared) as client:
        assert client.submit(sum, [1, 2, 3]).result(timeout=30) == 6
        assert len(set(client.run(os.getpid).values())) == 2


def test_a_client_is_not_made_the_default_of_the_process(shared):
    from distributed import get_client

    with local.connect(shared), pytest.raises(ValueError, match="No global client"):
        get_client()


def test_everything_in_its_folder_is_private(shared):
    folders = [shared.path, *(p for p in shared.path.rglob("*") if p.is_dir())]
    files = [p for p in shared.path.rglob("*") if p.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {"lock", "log", "state.json", "ca.pem"} <= {path.name for path in files}


def test_workers_write_files_with_the_users_permissions(shared):
    before = os.umask(0o022)
    os.umask(before)
    with local.connect(shared) as client:
        assert set(client.run(current_umask).values()) == {before}


def current_umask():
    import os

    found = os.umask(0)
    os.umask(found)
    return found


def test_it_listens_on_loopback_only(shared):
    found = listening_ports(shared)
    # The scheduler, two nannies, two workers; no page, no metrics.
    assert len(found) == 5
    assert {address for address, _ in found} == {"0100007F"}


def test_no_key_of_the_shell_that_started_it_is_in_it(shared):
    processes = session_processes(shared.pid)
    assert len(processes) >= 3
    for process in processes:
        assert SECRET.encode() not in Path(f"/proc/{process}/environ").read_bytes()
        assert SECRET.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
    for path in shared.path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_memory_is_told_per_worker(shared):
    found = local.worker_memory(shared)
    assert [worker.name for worker in found] == ["0", "1"]
    assert {worker.pid for worker in found} <= set(session_processes(shared.pid))
    assert all(0 < worker.used < worker.limit == shared.memory_limit for worker in found)


def test_status_connects_to_nothing_and_adds_up(shared):
    found = local.status()
    assert (found.state, found.pid, found.workers, found.threads) == ("running", shared.pid, 2, 1)
    assert found.memory > 50 << 20
    assert 0 <= found.uptime < 600


# Strangers at the door.


def test_http_gives_nothing_on_any_port(shared):
    for _, port in listening_ports(shared):
        for path in ("/", "/status", "/health", "/info/main/workers.html", "/metrics", "/json/"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            with pytest.raises((http.client.HTTPException, OSError)):
                connection.request("GET", path)
                connection.getresponse()
            connection.close()


def test_plain_tcp_is_refused_on_every_port(shared):
    for _, port in listening_ports(shared):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
            stranger.sendall(b"\0" * 64)
            # Nothing, or a TLS alert, and the line is dead.
            assert last_words(stranger)[:1] in (b"", b"\x15")


def last_words(stranger):
    said = b""
    try:
        while part := stranger.recv(1024):
            said += part
    except ConnectionError:
        pass
    return said


def talk(port, context):
    """Say hello through TLS; return what comes back before the other side hangs up."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain) as stranger,
    ):
        return stranger.recv(1024)


def test_tls_without_a_certificate_is_refused_on_every_port(shared):
    context = ssl.create_default_context(cafile=str(shared.path / "tls" / "ca.pem"))
    context.check_hostname = False
    for _, port in listening_ports(shared):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            talk(port, context)


def test_a_certificate_of_another_authority_is_refused_on_every_port(shared, tmp_path):
    tls.ensure_certificates(tmp_path / "tls")
    context = ssl.create_default_context(cafile=str(shared.path / "tls" / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(tmp_path / "tls" / "client.pem")
    for _, port in listening_ports(shared):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            talk(port, context)


def test_the_servers_names_are_right_for_a_strict_client(shared):
    context = ssl.create_default_context(cafile=str(shared.path / "tls" / "ca.pem"))
    context.load_cert_chain(shared.path / "tls" / "client.pem")
    port = int(shared.address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as peer,
    ):
        assert peer.version() == "TLSv1.3"
        assert peer.recv(16)


def test_our_own_client_with_foreign_certificates_gets_one_clear_error(shared, tmp_path):
    tls.ensure_certificates(tmp_path / "tls")
    stranger = replace(shared, folder=str(tmp_path))
    with pytest.raises(TransientError, match="does not answer") as caught:
        local.connect(stranger, timeout=2)
    assert "ess udbd restart" in caught.value.hint


# Its life.


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
    assert len(listening_ports(state)) == 3


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
