"""Disks that are full or cannot be written: told with the path, nothing half, a rerun completes."""

import os
import subprocess
from pathlib import Path

import pytest

MEMORY = "memory: {table: wood.sales, key: userID}"


@pytest.fixture
def small_disk(tmp_path):
    """Give a file system of its own with 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "ess-test", folder],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here (not root)")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder, leave):
    """Write a file that leaves so many bytes free."""
    free = os.statvfs(folder)
    (folder / "filler").write_bytes(b"\0" * (free.f_bavail * free.f_frsize - leave))


@pytest.mark.parametrize("leave", [pytest.param(0, marks=pytest.mark.slow), 300_000])
def test_a_full_disk_under_the_warehouse(shop, small_disk, leave):
    shop.write(warehouse=f"duckdb:///{small_disk}/shop.duckdb")
    fill(small_disk, leave)
    said = shop.fail(code=1)
    assert str(small_disk / "shop.duckdb") in said
    assert "make room" in said
    shop.check_nothing_left()
    (small_disk / "filler").unlink()
    assert shop.run()["files"] == 16
    (shop.folder / "shop.duckdb").symlink_to(small_disk / "shop.duckdb")
    shop.check_complete()


@pytest.mark.parametrize(
    "memory", ["", pytest.param(MEMORY, marks=pytest.mark.slow)], ids=["threads", "cluster"]
)
@pytest.mark.parametrize("leave", [pytest.param(0, marks=pytest.mark.slow), 16_384])
def test_a_full_disk_under_the_runs(shop, small_disk, memory, leave):
    shop.write(memory=memory)
    fill(small_disk, leave)
    env = {"ESS_RUNS_FOLDER": str(small_disk / "runs"), "ESS_BATCH_BYTES": "8KiB"}
    said = shop.fail(code=1, env=env)
    assert str(small_disk) in said
    assert "room" in said or "free space" in said
    assert not (shop.folder / "shop.duckdb").exists()
    (small_disk / "filler").unlink()
    assert shop.run(env=env)["files"] == 16
    shop.check_complete(memory=bool(memory))


@pytest.mark.slow
def test_a_full_disk_under_the_cluster(shop, small_disk):
    shop.user.env["ESS_CACHE_DIR"] = str(small_disk / "ess")
    shop.state = small_disk / "ess"
    shop.write(memory=MEMORY)
    shop.user.ess("udbd", "start")
    fill(small_disk, 40_000)
    try:
        said = shop.fail(code=1)
        assert str(small_disk) in said
        assert not (shop.folder / "shop.duckdb").exists()
        (small_disk / "filler").unlink()
        assert shop.run()["files"] == 16
        shop.check_complete(memory=True)
    finally:
        shop.user.ess("udbd", "stop")


@pytest.mark.slow
def test_a_file_size_limit_under_everything(shop):
    """``ulimit -f``: as a full disk, and where a test may not mount."""
    shop.write()
    child = subprocess.run(
        ["bash", "-c", "ulimit -f 100; exec ess run shop.yaml"],
        cwd=shop.folder, env=shop.user.env, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert child.returncode == 1, child.stderr
    assert "shop.duckdb" in child.stderr
    assert "Traceback" not in child.stderr
    shop.check_nothing_left()
    assert shop.run()["files"] == 16
    shop.check_complete()


@pytest.fixture
def read_only(small_disk):
    """Give a folder that not even root can write in."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    return small_disk


@pytest.mark.parametrize("command", [["run", "shop.yaml"], ["select", "local"], ["udbd", "start"]])
def test_a_home_that_cannot_be_written(shop, read_only, command):
    shop.write()
    place = {"HOME": str(read_only), "ESS_CACHE_DIR": str(read_only / ".ess")}
    done = shop.user.ess(*command, code=2, env=place)
    assert str(read_only / ".ess") in done.stderr
    assert "ESS_CACHE_DIR" in done.stderr
    assert not (shop.folder / "shop.duckdb").exists()


def test_a_state_folder_that_became_read_only(shop, small_disk):
    shop.user.ess("select", "local", env={"ESS_CACHE_DIR": str(small_disk / "ess")})
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    shop.write()
    done = shop.user.ess("run", "shop.yaml", code=1, env={"ESS_CACHE_DIR": str(small_disk / "ess")})
    assert str(small_disk / "ess") in done.stderr
    assert not Path(shop.folder / "shop.duckdb").exists()


def test_a_full_disk_under_the_state(shop, small_disk):
    """The journal cannot be written: the run ends before it does anything; the state is whole."""
    state = {"ESS_CACHE_DIR": str(small_disk / "ess"), "ESS_RUNS_FOLDER": str(shop.user.home / "r")}
    shop.write()
    assert shop.run("--to", "2014-09-01", env=state)["files"] == 1
    fill(small_disk, 0)
    said = shop.fail(code=1, env=state)
    assert str(small_disk / "ess") in said
    assert "free space" in said
    assert shop.rows("select count(*) from _ess_ledger") == [(1,)]
    (small_disk / "filler").unlink()
    assert shop.run(env=state)["files"] == 15
    shop.check_complete()
