"""Fixtures that every kind of test may use: an isolated user, the CLI, the shared real files."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from ess_dask.testing.clusters import end_cluster
from tests.warm import WarmStart

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
WOODWORKING = SHARED / "essentia" / "data" / "woodworking" / "diy_woodworking"


# The environments of Airflow have no hypothesis.
with suppress(ImportError):
    from hypothesis import settings

    # A shared machine may stop for longer than any example takes.
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")

WHOLE_PROCESSES = ("integration", "chaos")


def pytest_collection_modifyitems(items):
    """Tests that start whole processes are slow, but for a chosen few: `make check` is quick."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in WHOLE_PROCESSES and not item.get_closest_marker("quick"):
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    """Say how many tests this machine cannot run, and why: without namespaces, those of EC2."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and "EC2 stand-in" in report.longrepr[2]
    )
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} tests skipped: {reason}")


class User:
    """A person with an empty home, in an empty folder, who types commands."""

    def __init__(self, home: Path, warm) -> None:
        self._warm = warm
        self.home = home
        self.folder = home / "work"
        self.folder.mkdir(parents=True)
        self.env = {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "ESS_CACHE_DIR": str(home / ".ess"),
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
        }

    def start(self, *args, program=("-m", "ess_dask.cli"), **more):
        """Start ``ess`` and return the process; ``program`` is what Python runs instead of it."""
        return subprocess.Popen(
            [sys.executable, *program, *map(str, args)],
            cwd=self.folder,
            env=self.env | more.pop("env", {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    def ess(self, *args, code=0, env=None, timeout=100):
        """Run ``ess``; return the finished process (text) after checking its exit code."""
        words, env = list(map(str, args)), self.env | (env or {})
        status, out, err = self._warm.run(words, self.folder, env, timeout)
        done = subprocess.CompletedProcess(args, status, out.decode(), err.decode())
        if code is not None:
            assert done.returncode == code, f"ess {args}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def program(self, name, *words, data=b""):
        """Run a program that uses databases; return exit code, output and error output."""
        module = f"ess_dask.udb.programs.{name}"
        return self._warm.run(list(words), self.folder, self.env, 100, module, data)

    def python(self, code, timeout=100):
        """Run a program as this user; return the finished process (text)."""
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=True,
            timeout=timeout,
        )

    def stop_daemon(self):
        """End the user's local cluster, whatever happened in the test."""
        end_cluster(self.home / ".ess" / "daemon")


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Give the way to run ``ess`` with its imports done; what they take is taken when asked for."""
    with WarmStart(tmp_path_factory.mktemp("warm")) as start:
        yield start


@pytest.fixture(scope="session")
def warm_programs(tmp_path_factory):
    """Give what gives a folder of programs that start warm, in the locale of the shared cases."""
    folder = tmp_path_factory.mktemp("programs")
    with WarmStart(tmp_path_factory.mktemp("warm"), "C") as start:

        def written():
            start.programs(folder)
            return folder

        yield written


@pytest.fixture
def user(tmp_path, warm):
    """Give a user of our own; the cluster that he may have started is ended afterwards."""
    someone = User(tmp_path / "home", warm)
    yield someone
    someone.stop_daemon()


@pytest.fixture(scope="session")
def woodworking():
    """Give the folder of the 30 + 30 real files."""
    if not WOODWORKING.is_dir():
        pytest.skip("the real woodworking files are not on this machine")
    return WOODWORKING


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory):
    """Give (folder, account) of a synthetic lake of 16 days; read it, do not change it."""
    from ess_dask.testing.lake import LakeShape, make_lake

    folder = tmp_path_factory.mktemp("lake")
    return folder, make_lake(folder, LakeShape(days=16, purchases_per_day=300, browses_per_day=100))


@pytest.fixture
def end_processes():
    """Give a list; the processes in it are killed by their own pid at the end of the test."""
    processes = []
    yield processes
    for process in processes:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


@pytest.fixture(scope="module")
def redshift(tmp_path_factory):
    """Give the Redshift to load: the stand-in, or a cluster (see ``tests/redshift.py``)."""
    from tests.redshift import redshift_server

    with redshift_server(tmp_path_factory.mktemp("rs")) as server:
        yield server


@pytest.fixture
def warehouse_client(redshift):
    """Give a test its connections, tables and staged files of that Redshift."""
    from tests.redshift import Client

    client = Client(redshift)
    yield client
    client.close()


@pytest.fixture(scope="session")
def ec2_permitted():
    """Skip what needs a stand-in for EC2 where this machine does not permit its namespaces."""
    from ess_dask.testing.ec2 import unavailable

    if reason := unavailable():
        pytest.skip(f"no EC2 stand-in on this machine: {reason}")


@pytest.fixture(scope="session")
def ec2_standin(ec2_permitted, tmp_path_factory):
    """Give the one stand-in for EC2 of this session (see ``tests/ec2.py``)."""
    from ess_dask.testing.ec2 import standin

    with standin(tmp_path_factory.mktemp("ec2")) as running:
        yield running


@pytest.fixture
def ec2(ec2_standin):
    """Give a stand-in for EC2 that is as if just started; what the test leaves in it is ended."""
    yield ec2_standin
    ec2_standin.reset()
