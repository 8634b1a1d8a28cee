"""The daemon's folder: who may use it, locks, and what a state file may say."""

import fcntl
import json
import os
import platform
import stat
import subprocess
import sys
import textwrap
import threading
from dataclasses import asdict, replace

import pytest

from ess_dask._version import __version__
from ess_dask.cluster import state as room
from ess_dask.cluster.state import (
    DaemonState,
    alive,
    check_compatible,
    hold,
    holder,
    private_folder,
    read_state,
    running,
    starting,
    write_state,
)
from ess_dask.errors import AccessError, ConfigError, LockedError


@pytest.fixture
def folder(tmp_path):
    return private_folder(tmp_path / "daemon")


@pytest.fixture
def ready(folder):
    return DaemonState(
        address="tls://127.0.0.1:1",
        pid=os.getpid(),
        workers=1,
        threads=2,
        memory_limit=1 << 30,
        idle_timeout=3600.0,
        started=0.0,
        folder=str(folder),
        version=__version__,
        python=platform.python_version(),
        host=os.uname().nodename,
    )


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_private(folder):
    assert mode(folder) == 0o700


def test_a_readable_folder_is_made_private(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o755)
    assert mode(private_folder(tmp_path / "d")) == 0o700


@pytest.mark.parametrize("bits", [0o777, 0o770, 0o702])
def test_a_folder_others_may_write_is_refused_and_left_alone(tmp_path, bits):
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(bits)
    with pytest.raises(AccessError, match=f"mode {bits:04o}") as caught:
        private_folder(tmp_path / "d")
    assert "chmod 700" in caught.value.hint
    assert mode(tmp_path / "d") == bits


def test_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "d").symlink_to(tmp_path / "real")
    with pytest.raises(AccessError, match="not a folder of your own user"):
        private_folder(tmp_path / "d")


def test_a_file_in_its_place_is_a_config_error(tmp_path):
    (tmp_path / "d").write_text("")
    with pytest.raises(ConfigError, match="cannot use"):
        private_folder(tmp_path / "d")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path):
    (tmp_path / "d").mkdir(mode=0o700)
    os.chown(tmp_path / "d", 65534, 65534)
    with pytest.raises(AccessError, match="not a folder of your own user"):
        private_folder(tmp_path / "d")


def test_no_lock_no_life(folder):
    assert not alive(folder)
    assert not alive(folder / "missing")
    assert running(folder) is None


def test_a_state_without_a_lock_is_stale_whatever_it_says(folder, ready):
    write_state(ready)
    assert read_state(folder) == ready
    assert running(folder) is None


def test_a_held_lock_with_a_state_is_a_running_cluster(folder, ready):
    lock = hold(folder, "lock", 0)
    write_state(ready)
    assert running(folder) == ready
    os.close(lock)
    assert running(folder) is None


def test_looking_does_not_take_the_lock(folder):
    os.close(hold(folder, "lock", 0))
    looks = [os.open(folder / "lock", os.O_RDONLY) for _ in range(2)]
    for look in looks:
        fcntl.flock(look, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert not alive(folder)
    for look in looks:
        os.close(look)


def test_one_that_never_gets_ready_is_named(folder):
    lock = hold(folder, "lock", 0)
    with pytest.raises(LockedError, match=f"process {os.getpid()} holds") as caught:
        running(folder, timeout=0.1)
    assert caught.value.exit_code == 75
    os.close(lock)


def test_a_lock_ends_with_its_process_even_when_killed(folder):
    code = textwrap.dedent(
        """
        import sys, pathlib
        from ess_dask.cluster.state import hold
        assert hold(pathlib.Path(sys.argv[1]), "lock", 0) is not None
        print("held", flush=True)
        sys.stdin.read()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        assert alive(folder)
        assert holder(folder, "lock") == str(other.pid)
        assert hold(folder, "lock", 0.05) is None
        other.kill()
        other.wait()
    assert not alive(folder)


def test_a_second_starter_waits_for_the_first(folder):
    order = []
    entered = threading.Event()
    leave = threading.Event()

    def first():
        with starting(folder):
            entered.set()
            leave.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    with pytest.raises(LockedError, match="has been starting"), starting(folder, timeout=0.05):
        pass
    leave.set()
    with starting(folder):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_the_state_file_is_private_and_written_in_one_step(folder, ready, monkeypatch):
    write_state(ready)
    assert mode(folder / "state.json") == 0o600

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(room.json, "dump", broken)
    with pytest.raises(OSError, match="disk full"):
        write_state(replace(ready, pid=1))
    assert read_state(folder) == ready


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "many"}', "{}", "\xff"])
def test_a_broken_state_is_none(folder, text):
    (folder / "state.json").write_text(text, "latin-1")
    assert read_state(folder) is None


def test_the_state_of_another_release_can_be_read_to_name_it(folder, ready):
    other = {**asdict(ready), "version": "99.0", "colour": "blue"}
    del other["idle_timeout"]
    (folder / "state.json").write_text(json.dumps(other))
    found = read_state(folder)
    assert found.pid == ready.pid
    with pytest.raises(ConfigError, match=rf"ess-dask 99\.0 .* ess-dask {__version__}"):
        check_compatible(found)


def test_another_python_is_refused_naming_both(ready):
    with pytest.raises(ConfigError, match=r"on Python 2\.7\.18") as caught:
        check_compatible(replace(ready, python="2.7.18"))
    assert platform.python_version() in caught.value.message
    assert "ess udbd restart" in caught.value.hint


def test_another_bug_fix_release_of_python_is_the_same(ready):
    minor = platform.python_version().rpartition(".")[0]
    assert check_compatible(replace(ready, python=f"{minor}.99"))


def test_a_cluster_on_another_machine_is_refused_naming_it(ready):
    with pytest.raises(ConfigError, match="runs on far-away") as caught:
        check_compatible(replace(ready, host="far-away"))
    assert "ESS_CACHE_DIR" in caught.value.hint
