"""The guard between a task of Airflow and its run: who ends what, when, and what is passed on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

GUARD = Path(__file__).resolve().parents[2] / "ess_dask" / "airflow" / "guard.py"

CATCHES = "import signal, sys, time; n = []\n"
CATCHES += "signal.signal(signal.SIGINT, lambda *a: (n.append(1), print(len(n), flush=True)))\n"
CATCHES += "print('ready', flush=True)\n"


def start(code, drain=30.0, abort=30.0):
    """Start a Python program under guard, as a task does."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", GUARD, str(drain), str(abort), sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("pass", 0),
        ("import sys; sys.exit(75)", 75),
        ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
    ],
)
def test_the_exit_code_is_handed_on(code, exit_code):
    guard = start(code)
    assert guard.wait(timeout=30) == exit_code
    close(guard)


def close(guard):
    for stream in (guard.stdin, guard.stdout, guard.stderr):
        stream.close()


def test_output_is_passed_on_whole():
    # Not read by communicate(): that closes stdin, which asks for the end.
    guard = start("import os; os.write(2, b'y' * 9_000); os.write(1, b'x' * 300_000)")
    assert (len(guard.stdout.read()), len(guard.stderr.read())) == (300_000, 9_000)
    assert guard.wait(timeout=30) == 0
    close(guard)


def test_what_asks_for_the_end_drains_first():
    guard = start(CATCHES + "\nwhile not n: time.sleep(0.01)\nsys.exit(130)")
    assert guard.stdout.readline() == b"ready\n"
    guard.stdin.close()
    assert guard.stdout.read() == b"1\n"
    assert guard.wait(timeout=30) == 130
    close(guard)


def test_then_it_aborts_and_then_it_kills_with_all_children():
    child = "import subprocess; c = subprocess.Popen(['sleep', '300']); print(c.pid, flush=True)\n"
    guard = start(child + CATCHES + "\nwhile True: time.sleep(0.01)", drain=0.3, abort=0.3)
    pid = int(guard.stdout.readline())
    assert guard.stdout.readline() == b"ready\n"
    guard.stdin.close()
    assert guard.wait(timeout=30) == 128 + signal.SIGKILL
    assert guard.stdout.read() == b"1\n2\n"
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the child lives"
        time.sleep(0.01)
    close(guard)


def test_sigterm_asks_for_the_end_too():
    guard = start(CATCHES + "\nwhile not n: time.sleep(0.01)\nsys.exit(130)")
    assert guard.stdout.readline() == b"ready\n"
    guard.send_signal(signal.SIGTERM)
    assert guard.wait(timeout=30) == 130
    close(guard)


def test_a_reader_who_is_gone_does_not_disturb_the_run(tmp_path):
    code = "import sys, time; print('ready', flush=True)\n"
    code += "for n in range(9): print('x' * 70_000, flush=True); time.sleep(0.02)\n"
    code += f"open({str(tmp_path / 'whole')!r}, 'w').close()"
    guard = start(code)
    assert guard.stdout.readline() == b"ready\n"
    guard.stdout.close()
    guard.stderr.close()
    assert guard.wait(timeout=30) == 0
    guard.stdin.close()
    assert (tmp_path / "whole").exists()


def test_what_cannot_be_started_is_told():
    guard = subprocess.run(
        [sys.executable, GUARD, "1", "1", os.devnull], capture_output=True, timeout=30
    )
    assert guard.returncode == 127
    assert b"cannot start /dev/null" in guard.stderr
