"""Hosts that are reached by ssh become a cluster: the real client against real servers."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ess_dask.cluster import machines
from ess_dask.testing.clusters import wait_until
from ess_dask.testing.far_cluster import bare_python
from tests.ssh_hosts import USER, free_port, ssh_hosts

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
    for name in ("ESS_CACHE_DIR", "ESS_WORK_DIR", "ESS_CLUSTER"):
        monkeypatch.setenv(name, someone.env[name])
    yield someone
    hosts.end()


def host_of(dask_worker):
    return dask_worker.address.split("//")[1].split(":")[0]


def test_its_whole_life(person, hosts):
    said = []
    assert machines.attach() is None
    endpoint = machines.ensure_started(said.append)
    assert endpoint.address == f"tls://127.0.0.2:{person.reservation['scheduler_port']}"
    assert "started the custom cluster 'shed'" in said[-1]
    with machines.connect(endpoint) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        assert {each["name"]: each["host"] for each in workers.values()} == {
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

    # A worker's process that is killed comes back.
    nanny = next(
        pid
        for pid, words in hosts.processes().items()
        if "dask_worker" in words and "--name 127.0.0.3" in words
    )
    os.kill(nanny, signal.SIGKILL)
    assert wait_until(lambda: nanny not in hosts.processes(), 10)
    assert wait_until(
        lambda: {"127.0.0.3"} <= {e["id"] for e in person.status() if e["state"] == "running"}, 40
    )

    # So does a scheduler, at the same address, and the workers find it.
    scheduler = next(pid for pid, words in hosts.processes().items() if "dask_scheduler" in words)
    os.kill(scheduler, signal.SIGKILL)
    assert wait_until(lambda: len([e for e in person.status() if e["state"] == "running"]) == 3, 60)

    done = person.ess("cluster", "reset")
    assert "ended 3 processes" in done.stderr
    assert wait_until(lambda: not hosts.processes(), 20)
    assert not any((host.home / ".ess-dask" / "shed").exists() for host in hosts.hosts)
    assert "nothing of a custom cluster" in person.ess("cluster", "reset").stderr
    assert {each["state"] for each in person.status()} == {"stopped"}
