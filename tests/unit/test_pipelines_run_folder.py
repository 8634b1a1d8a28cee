"""A run's folder: what was staged goes with the run, what is to be kept stays."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from ess_dask.errors import EssError
from ess_dask.pipelines.run_folder import run_folder

STAGING = """
import sys
from pathlib import Path
from ess_dask.pipelines.run_folder import run_folder
folder = Path(sys.argv[1])
with run_folder(folder):
    (folder / "stage").mkdir()
    (folder / "stage" / "part").write_text("rows")
    (folder / "rejects" / "bad").write_text("row")
    print("ready", flush=True)
    sys.stdin.read()
"""


def start(folder):
    child = subprocess.Popen(
        [sys.executable, "-c", STAGING, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"ready\n"
    return child


def end(child, how=None):
    if how is not None:
        os.kill(child.pid, how)
    child.communicate(timeout=20)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_is_private_and_its_stage_goes_at_the_end(tmp_path):
    folder = tmp_path / "runs" / "a"
    with run_folder(folder):
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "stage").mkdir()
        (folder / "report.json").write_text("{}")
    assert names(folder) == ["rejects", "report.json"]


def test_the_stage_goes_when_the_run_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), run_folder(tmp_path / "a"):
        (tmp_path / "a" / "stage").mkdir()
        raise ZeroDivisionError
    assert names(tmp_path / "a") == ["rejects"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_write_that_finds_no_room_names_the_folder(tmp_path, number):
    with pytest.raises(EssError, match=os.strerror(number).lower()) as raised:  # noqa: SIM117
        with run_folder(tmp_path / "a"):
            raise OSError(number, "Error writing bytes to file")
    assert f"while working in {tmp_path / 'a'}" in str(raised.value)
    assert raised.value.exit_code == 1


def test_a_killed_runs_stage_is_swept_by_the_next_and_its_rejects_stay(tmp_path):
    end(start(tmp_path / "dead"), signal.SIGKILL)
    assert (tmp_path / "dead" / "stage" / "part").exists()
    with run_folder(tmp_path / "next"):
        assert not (tmp_path / "dead" / "stage").exists()
    assert (tmp_path / "dead" / "rejects" / "bad").exists()


def test_a_living_runs_stage_stays(tmp_path):
    child = start(tmp_path / "living")
    with run_folder(tmp_path / "next"):
        assert (tmp_path / "living" / "stage" / "part").exists()
    end(child)
    assert names(tmp_path / "living") == ["rejects"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EssError, match=str(tmp_path)), run_folder(tmp_path / "file" / "a"):
        pass
