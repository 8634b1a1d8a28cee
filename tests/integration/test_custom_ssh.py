"""Hosts that are reached by ssh become a cluster: the real client against real servers."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from ess_dask.cluster import machines
from ess_dask.cluster.custom import hosts as hosts_module
from ess_dask.cluster.custom.record import HostsState, hosts_folder, read_record, write_record
from ess_dask.cluster.custom.reservation import read_reservation
from ess_dask.errors import AccessError, ConfigError, EssError, TransientError
from ess_dask.testing.clusters import wait_until
from ess_dask.testing.far_cluster import bare_python
from tests.ssh_hosts import USER, end_below, free_port, processes_below, ssh_hosts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2 and /proc")


class Person:
    """Somebody with a reservation and a key, who types commands."""

    def __init__(self, folder, hosts, **changes):
        self.folder = folder
        self.hosts = hosts
        (folder / "conf").mkdir()
        self.key = folder / "conf" / "own.pem"
        self.key.write_bytes(hosts.key.read_bytes())
        self.key.chmod(0o600)
        self.reservation = {
            "id": "shed",
            "pem": "own",
            "ip_list": hosts.addresses,
            "user": USER,
            "port": hosts.port,
            "scheduler_port": free_port("127.0.0.2"),
            **changes,
        }
        self.save()
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ESS_CACHE_DIR": str(folder / "ess"),
            "ESS_WORK_DIR": str(folder / "conf"),
            "ESS_CLUSTER": "custom",
        }

    def save(self, **changes):
        self.reservation |= changes
        (self.folder / "conf" / "reservation.json").write_text(json.dumps(self.reservation))

    def ess(self, *words, code=0, **env):
        done = subprocess.run(
            [sys.executable, "-m", "ess_dask.cli", *words],
            capture_output=True,
            text=True,
            timeout=150,
            env=self.env | env,
            cwd=self.folder,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def status(self):
        return json.loads(self.ess("cluster", "status", "--json").stdout)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with ssh_hosts(tmp_path_factory.mktemp("hosts")) as found:
        yield found


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return bare_python(tmp_path_factory.mktemp("bare"))


@pytest.fixture
def person(tmp_path, hosts, python, monkeypatch):
    someone = Person(tmp_path, hosts, python=python)
    for name in ("HOME", "ESS_CACHE_DIR", "ESS_WORK_DIR", "ESS_CLUSTER"):
        monkeypatch.setenv(name, someone.env[name])
    yield someone
    hosts.end()
    end_below(tmp_path)


def test_its_whole_life(person, hosts):
    said = []
    assert machines.attach() is None
    endpoint = machines.ensure_started(said.append)
    assert endpoint.address == f"tls://127.0.0.2:{person.reservation['scheduler_port']}"
    assert "started the custom cluster 'shed'" in said[-1]
    with machines.connect(endpoint) as client:
        joined = client.scheduler_info(n_workers=-1)["workers"]
        assert {each["name"]: each["host"] for each in joined.values()} == {
            "127.0.0.2": "127.0.0.2",
            "127.0.0.3": "127.0.0.3",
        }
        from ess_dask.cluster.sent import package_here

        assert client.submit(package_here).result(timeout=30)["digest"]

    # Another process attaches, and nothing secret is in a command line or open to others.
    found = person.status()
    assert [(each["id"], each["role"], each["state"]) for each in found] == [
        ("scheduler", "scheduler", "running"),
        ("127.0.0.2", "worker", "running"),
        ("127.0.0.3", "worker", "running"),
    ]
    assert person.ess("cluster", "iplist").stdout.split() == ["127.0.0.2", "127.0.0.3"]
    assert not any("BEGIN" in words for words in hosts.processes().values())
    for host in hosts.hosts:
        for path in (host.home / ".ess-dask").rglob("*.pem"):
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.name != "client.pem"

    # A worker leaves, and what it holds moves to the other; it may join again.
    with machines.connect_only(endpoint) as client:
        held = client.scatter([[number] for number in range(20)], broadcast=False)
        assert min(len(keys) for keys in client.has_what().values()) > 0
        assert "removed 127.0.0.3" in person.ess("cluster", "remove", "127.0.0.3").stderr
        assert client.gather(held) == [[number] for number in range(20)]
    assert workers(endpoint) == {"127.0.0.2"}
    assert not any("dask_worker" in w and "127.0.0.3" in w for w in hosts.processes().values())
    last = person.ess("cluster", "remove", "127.0.0.2", code=2)
    assert "no worker of the custom cluster would be left" in last.stderr
    assert "'127.0.0.9' is no host of" in person.ess("cluster", "add", "127.0.0.9", code=2).stderr
    joined = person.ess("cluster", "add", "127.0.0.2", "127.0.0.3").stderr
    assert "the worker on 127.0.0.2 is running already" in joined
    assert "started 127.0.0.3" in joined

    # A worker's process that is killed comes back. So does a scheduler, at the same address, and
    # the workers find it.
    for words in (("dask_worker", "--name 127.0.0.3"), ("dask_scheduler",)):
        killed = only(hosts, *words)
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda pid=killed: pid not in hosts.processes(), 10)
    assert wait_until(lambda: workers(endpoint) == {"127.0.0.2", "127.0.0.3"}, 90)

    # Hosts that were asked for later are another cluster.
    person.save(ip_list=["127.0.0.2"])
    with pytest.raises(ConfigError, match="has changed since the cluster 'shed' was started"):
        machines.attach()
    assert "ended 3 processes" in person.ess("cluster", "reset").stderr
    assert wait_until(lambda: not hosts.processes(), 20)
    assert not any((host.home / ".ess-dask" / "shed").exists() for host in hosts.hosts)
    assert "nothing of a custom cluster" in person.ess("cluster", "reset").stderr
    assert {each["state"] for each in person.status()} == {"stopped"}


def only(hosts, *words):
    """Return the process whose command line has all the words, and is no supervisor's."""
    found = [pid for pid, line in hosts.processes().items() if all(word in line for word in words)]
    assert len(found) == 1, hosts.processes()
    return found[0]


def workers(endpoint):
    try:
        with machines.connect_only(endpoint, timeout=5) as client:
            found = client.scheduler_info(n_workers=-1)["workers"].values()
            return {worker["name"] for worker in found}
    except TransientError:
        return set()


def test_the_scheduler_may_run_here_and_a_starter_that_is_killed_leaves_word(
    person, hosts, monkeypatch
):
    monkeypatch.setenv("ESS_WORKERS", "2")
    monkeypatch.setenv("ESS_THREADS", "1")
    person.save(scheduler="here", ip_list=["127.0.0.3"], scheduler_port=free_port())
    start = "from ess_dask.cluster import machines; machines.ensure_started(print)"
    first = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE)
    assert wait_until(lambda: processes_below(person.folder), 60)
    first.kill()
    first.communicate()
    endpoint = machines.ensure_started(print)
    assert endpoint.address == f"tls://127.0.0.1:{person.reservation['scheduler_port']}"
    # As many processes on a host as are set.
    assert workers(endpoint) == {"127.0.0.3-0", "127.0.0.3-1"}
    assert [each["state"] for each in person.status()] == ["running"] * 3
    person.ess("cluster", "reset")
    assert wait_until(lambda: not processes_below(person.folder) | hosts.processes(), 20)


def test_verbs_that_buy_or_switch_machines_do_not_apply(person):
    for words in (["create"], ["start"], ["stop"], ["terminate", "-y"]):
        done = person.ess("cluster", *words, code=2)
        assert "does not apply to a custom cluster" in done.stderr
    assert "does not run" in person.ess("cluster", "add", "127.0.0.2", code=2).stderr


def refused(person, kind, *texts):
    """Start, and check the error; nothing may run on any host afterwards."""
    with pytest.raises(kind) as caught:
        machines.ensure_started(print)
    for text in texts:
        assert text in caught.value.message
    assert caught.value.hint
    assert not person.hosts.processes()


def test_a_host_that_does_not_answer_is_named(person):
    person.save(ip_list=["127.0.0.2", "127.0.0.77"])
    refused(person, TransientError, "127.0.0.77 cannot be reached by ssh", "refused")
    assert [each["state"] for each in person.status()] == ["stopped", "unreachable"]


def test_what_runs_on_a_host_that_is_gone_is_not_forgotten(person):
    reservation = replace(read_reservation(), hosts=("127.0.0.77",))
    folder = hosts_folder("shed")
    write_record(folder, HostsState("tls://127.0.0.77:1", 0.0, True, reservation))
    done = person.ess("cluster", "reset", code=1)
    assert "127.0.0.77 cannot be reached by ssh" in done.stderr
    assert read_record(folder) is not None


def test_all_hosts_that_fail_are_named(person):
    person.save(ip_list=["127.0.0.77", "127.0.0.78"])
    refused(person, TransientError, "2 of 2 hosts failed", "127.0.0.77", "127.0.0.78")


def made_key(folder):
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other"]
    subprocess.run(words, cwd=folder, check=True)
    return folder / "other"


def test_a_key_that_is_not_accepted(person):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other"], cwd=person.folder
    )
    person.key.write_bytes((person.folder / "other").read_bytes())
    refused(person, AccessError, "127.0.0.2 refuses the key", "127.0.0.3")


def test_a_key_that_others_may_read(person):
    person.key.chmod(0o640)
    refused(person, AccessError, str(person.key), "mode 0640")


def test_a_host_that_is_another_one_now(person):
    machine = f"[127.0.0.2]:{person.hosts.port}"
    other = (person.folder / "other.pub", person.folder / "ess" / "custom" / "shed" / "known_hosts")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other"], cwd=person.folder
    )
    other[1].parent.mkdir(parents=True)
    other[1].write_text(f"{machine} {other[0].read_text()}")
    person.save(ip_list=["127.0.0.2"])
    refused(person, AccessError, "127.0.0.2 is not the machine that it was")


def test_a_host_without_python(person):
    person.save(python="/no/such/python --fast", ip_list=["127.0.0.3"])
    refused(person, ConfigError, "127.0.0.3: /no/such/python --fast does not run there")


def test_a_host_with_another_python(person):
    # What another release would say: the test machine has only one.
    program = person.hosts.hosts[0].home / "old python"
    program.write_text(
        "#!/bin/sh\n"
        f'exec {sys.executable} -c "import sys; sys.version_info = (3, 6, 9); exec(sys.argv[1])" '
        '"$2"\n'
    )
    program.chmod(0o700)
    person.save(python="'~/old python'", ip_list=["127.0.0.2"])
    refused(person, ConfigError, "127.0.0.2 has Python 3.6", "this is Python 3.")


def test_a_host_with_other_releases(person, tmp_path):
    folder = tmp_path / "bare"
    python = bare_python(folder)
    next((folder / "lib").glob("python*/site-packages/polars-*.dist-info")).unlink()
    person.save(python=python, ip_list=["127.0.0.2"])
    refused(person, ConfigError, "127.0.0.2 has other software", "polars is missing, here ")


def test_a_host_where_nothing_can_be_installed(person):
    home = person.hosts.hosts[0].home
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text("[global]\nno-index = true\n")
    person.save(python=sys.executable, install=True, ip_list=["127.0.0.2"])
    refused(person, EssError, "127.0.0.2: OSError: -m pip install failed: ")


def test_a_port_that_is_taken(person):
    with socket.create_server(("127.0.0.2", 0)) as taken:
        taken.settimeout(0.1)
        person.save(scheduler_port=taken.getsockname()[1], ip_list=["127.0.0.2"])
        taken.close()
        with socket.socket() as other:
            # Bound and not listening: taken, and nothing answers.
            other.bind(("127.0.0.2", person.reservation["scheduler_port"]))
            refused(person, TransientError, "the scheduler on 127.0.0.2 does not answer", "in use")


def test_a_worker_that_does_not_join_is_named_with_its_last_words(person, tmp_path, monkeypatch):
    python = bare_python(tmp_path / "bare")
    site = next((tmp_path / "bare" / "lib").glob("python*/site-packages"))
    # Not sitecustomize: some systems' Python has one of its own.
    (site / "stop.pth").write_text(
        "import sys; 'distributed.cli.dask_worker' in sys.orig_argv"
        " and sys.exit('OSError: no way to the scheduler')\n"
    )
    monkeypatch.setattr(hosts_module, "START_TIMEOUT", 15.0)
    person.save(python=python)
    text = "the worker on 127.0.0.3 did not join tls://127.0.0.2:"
    refused(person, TransientError, "2 of 2 hosts", text, "OSError: no way to the scheduler")


def test_an_idle_cluster_ends_and_the_next_command_starts_it_again(person, hosts, monkeypatch):
    monkeypatch.setenv("ESS_IDLE_TIMEOUT", "2")
    person.save(ip_list=["127.0.0.2"])
    endpoint = machines.ensure_started(print)
    with machines.connect(endpoint) as client:
        held = client.submit(sum, [1, 2])
        # Somebody who holds something is not idle.
        assert not wait_until(lambda: machines.attach() is None, 5)
        assert held.result(timeout=20) == 3
    assert wait_until(lambda: machines.attach() is None, 30)
    # It ended in order: nothing starts it again.
    assert wait_until(
        lambda: not any("/scheduler" in words for words in hosts.processes().values()), 20
    )
    monkeypatch.delenv("ESS_IDLE_TIMEOUT")
    assert workers(machines.ensure_started(print)) == {"127.0.0.2"}
    person.ess("cluster", "reset")
    assert not hosts.processes()
