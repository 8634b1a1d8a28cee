"""A ready local cluster from outside: what it shows of itself, and to strangers at the door."""

import http.client
import os
import socket
import ssl
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ess_dask.cluster import local, tls
from ess_dask.cluster.options import LocalOptions
from ess_dask.cluster.state import read_state
from ess_dask.errors import TransientError
from ess_dask.testing.clusters import listening_ports, private_cluster, session_processes

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
    found = listening_ports(shared.pid)
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
    for _, port in listening_ports(shared.pid):
        for path in ("/", "/status", "/health", "/info/main/workers.html", "/metrics", "/json/"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            with pytest.raises((http.client.HTTPException, OSError)):
                connection.request("GET", path)
                connection.getresponse()
            connection.close()


def test_plain_tcp_is_refused_on_every_port(shared):
    for _, port in listening_ports(shared.pid):
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
    for _, port in listening_ports(shared.pid):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            talk(port, context)


def test_a_certificate_of_another_authority_is_refused_on_every_port(shared, tmp_path):
    tls.ensure_certificates(tmp_path / "tls")
    context = ssl.create_default_context(cafile=str(shared.path / "tls" / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(tmp_path / "tls" / "client.pem")
    for _, port in listening_ports(shared.pid):
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
