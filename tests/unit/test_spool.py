"""What a killed command spooled goes with the next one; what another one uses stays."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from ess_dask.spool import spool_folder

HOLD = """
import sys
from ess_dask.spool import spool_folder
with spool_folder("stream") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def folder_of_age(path, seconds):
    path.mkdir()
    (path / "0.spool").write_text("rows")
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_folders_of_commands_that_are_gone_are_removed(temporary):
    left = [folder_of_age(temporary / f"ess-{kind}-x", 7200) for kind in ("stream", "query")]
    young = folder_of_age(temporary / "ess-exec-new", 60)
    others = folder_of_age(temporary / "ess-pg-x", 7200)
    link = temporary / "ess-stream-link"
    link.symlink_to(others)
    with spool_folder("query") as folder:
        assert os.path.isdir(folder) and not any(path.exists() for path in left)
    assert not os.path.exists(folder)
    assert young.exists() and link.is_symlink() and (others / "0.spool").exists()


def test_the_folder_of_a_command_that_lives_stays_however_old_it_is():
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        folder = other.stdout.readline().strip()
        os.utime(folder, (0, 0))
        with spool_folder("stream"):
            assert os.path.isdir(folder)
        other.send_signal(signal.SIGKILL)
        other.wait(20)
        os.utime(folder, (0, 0))
        with spool_folder("stream"):
            assert not os.path.exists(folder)
