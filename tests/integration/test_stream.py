"""``ess stream`` and ``ess exec`` from outside: whole outputs, file order, nothing left running."""

import ctypes
import gzip
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

DAYS = 12


@pytest.fixture
def logs(user):
    """Give a user with a category ``logs`` of daily files; each has its day's number of lines."""
    lake = user.folder / "lake"
    lake.mkdir()
    for day in range(1, DAYS + 1):
        text = "".join(f"{day},{n}\n" for n in range(day * 10))
        (lake / f"log_201409{day:02}.csv.gz").write_bytes(gzip.compress(text.encode()))
    user.ess("select", "local")
    user.ess("category", "add", "logs", f"{lake}/log_*.gz", "--columnspec", "I:day I:n")
    return user


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.01)


def test_outputs_come_in_file_order_whatever_the_threads(logs):
    slow_first = "if test %file = log_20140901.csv; then sleep 0.4; fi; wc -l"
    expected = "".join(f"{day * 10}\n" for day in range(1, DAYS + 1))
    for threads in (1, 2, 5):
        done = logs.ess("stream", "logs", "*", "*", slow_first, "--threads", threads)
        assert done.stdout == expected
        assert done.stderr == ""


def test_without_a_command_the_plain_bytes_come_out(logs):
    done = logs.ess("stream", "logs", "2014-09-02", "2014-09-03")
    assert done.stdout.splitlines()[0] == "2,0"
    assert len(done.stdout.splitlines()) == 50


def test_bounds_limit_and_exclude(logs):
    assert logs.ess("stream", "logs", "2014-09-11", "*", "wc -l").stdout == "110\n120\n"
    assert logs.ess("stream", "logs", "*", "*", "wc -l", "--limit", "2").stdout == "10\n20\n"
    done = logs.ess("stream", "logs", "*", "2014-09-03", "wc -l", "--exclude", "*0902*")
    assert done.stdout == "10\n30\n"
    assert "after" in logs.ess("stream", "logs", "2014-09-03", "2014-09-01", code=2).stderr
    empty = logs.ess("stream", "logs", "2015-01-01", "*", "wc -l")
    assert (empty.stdout, "no file" in empty.stderr) == ("", True)
    assert "nosuch" in logs.ess("stream", "nosuch", "*", "*", code=2).stderr


def test_bulk_is_one_run_over_all_files(logs):
    total = sum(day * 10 for day in range(1, DAYS + 1))
    assert logs.ess("stream", "logs", "*", "*", "wc -l", "--bulk").stdout == f"{total}\n"


def test_debug_shows_each_pipeline_before_its_output(logs):
    lines = logs.ess("stream", "logs", "*", "2014-09-02", "wc -l", "--debug").stdout.splitlines()
    assert [line.rpartition("| ")[2] for line in lines] == ["wc -l", "10", "wc -l", "20"]
    assert "log_20140901.csv.gz" in lines[0]


@pytest.mark.quick
def test_a_failing_file_is_named_its_output_left_out_and_the_others_go_on(logs):
    command = "head -1; if test %file = log_20140903.csv; then echo why >&2; exit 7; fi"
    done = logs.ess("stream", "logs", "*", "2014-09-05", command, code=3)
    assert done.stdout == "1,0\n2,0\n4,0\n5,0\n"
    assert done.stderr.count("log_20140903.csv.gz") == 1
    assert "why" in done.stderr
    assert "exit" in done.stderr
    stopped = logs.ess("stream", "logs", "*", "*", command, "--quitonerror", code=3)
    assert stopped.stdout == "1,0\n2,0\n"


def test_what_a_command_that_goes_well_says_on_stderr_is_told_in_file_order(logs):
    command = "if test %file = log_20140901.csv; then sleep 0.2; fi; wc -l; echo of %FILE >&2"
    done = logs.ess("stream", "logs", "*", "2014-09-03", command)
    assert done.stdout == "10\n20\n30\n"
    assert done.stderr == "".join(f"of log_2014090{day}.csv.gz\n" for day in (1, 2, 3))
    many = logs.ess("stream", "logs", "*", "2014-09-01", "cat >/dev/null; seq 9000 >&2").stderr
    assert len(many) < 9000
    assert many.startswith("...") and many.endswith("\n9000\n")
    assert logs.ess("exec", "echo hello >&2; echo out").stderr == "hello\n"


@pytest.mark.parametrize(
    ("command", "word"),
    [("nosuchcommand", "nosuchcommand"), ("kill -9 $$", "SIGKILL"), ("false | cat", "exit 1")],
)
def test_ways_to_fail(logs, command, word):
    done = logs.ess("stream", "logs", "*", "2014-09-01", command, code=3)
    assert done.stdout == ""
    assert word in done.stderr


def test_the_name_of_a_failing_file_cannot_steer_the_terminal(logs):
    (logs.folder / "lake" / "log_20140930\x1b]0;x\x07.gz").write_bytes(gzip.compress(b"1,2\n"))
    done = logs.ess("stream", "logs", "2014-09-30", "*", "exit 3", code=3)
    assert "log_20140930\\x1b]0;x\\x07.gz: the command" in done.stderr
    said = logs.ess("cat", "\x1b[2Jnone", code=3).stderr
    assert "\\x1b[2Jnone" in said
    assert "\x1b" not in done.stderr + said


def test_a_broken_file_fails_alone(logs):
    path = logs.folder / "lake" / "log_20140902.csv.gz"
    path.write_bytes(path.read_bytes()[:-6])
    done = logs.ess("stream", "logs", "*", "2014-09-03", "wc -l", code=3)
    assert done.stdout == "10\n30\n"
    assert "log_20140902" in done.stderr


def test_a_command_that_stops_reading_is_no_failure(logs):
    assert logs.ess("stream", "logs", "*", "2014-09-03", "head -1").stdout == "1,0\n2,0\n3,0\n"


def test_every_word_is_replaced(logs):
    command = "cat >/dev/null; echo %path %file %FILE %cols %num_nodes %node_id %num_threads"
    done = logs.ess("stream", "logs", "*", "2014-09-01", command, "--thread", "3")
    lake = logs.folder / "lake"
    assert done.stdout == (f"{lake} log_20140901.csv log_20140901.csv.gz I:day I:n 1 0 3\n")


NAMES = [
    "a b_20140901",
    "$(touch hacked)_20140902",
    "ä'\"ö_20140903",
    "-rf_20140904",
    "x\ny_20140905",
]


@pytest.mark.quick
def test_any_file_name_is_safe(user):
    lake = user.folder / "lake"
    lake.mkdir()
    for name in NAMES:
        (lake / name).write_text(f"{len(name)}\n")
    user.ess("select", "local")
    user.ess("category", "add", "odd", f"{lake}/*", "--noprobe")
    done = user.ess("stream", "odd", "*", "*", "cat; printf '%s\\n' %FILE \"%FILE\" '%FILE'")
    assert done.stdout == "".join(f"{len(name)}\n" + f"{name}\n" * 3 for name in NAMES)
    assert not list(user.folder.rglob("hacked"))


def test_large_and_binary_output_is_intact(user):
    lake = user.folder / "lake"
    lake.mkdir()
    data = os.urandom(3 << 20)
    for day in (1, 2):
        (lake / f"blob_2014090{day}").write_bytes(bytes([day]) + data)
    user.ess("select", "local")
    user.ess("category", "add", "blobs", f"{lake}/blob_*", "--noprobe")
    child = user.start("stream", "blobs", "*", "*", "cat; cat /dev/null")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert out == b"\1" + data + b"\2" + data


def test_outputs_can_go_to_another_datastore(logs):
    (logs.folder / "out").mkdir()
    logs.ess("select", str(logs.folder / "out"), "--label", "outbox")
    logs.ess("select", "local")
    place = "outbox:conv/%file.txt"
    done = logs.ess("stream", "logs", "*", "2014-09-03", "wc -l", "--s3out", place)
    assert done.stdout == ""
    made = sorted((logs.folder / "out" / "conv").iterdir())
    assert [path.name for path in made] == [f"log_2014090{day}.csv.txt" for day in (1, 2, 3)]
    assert [path.read_text() for path in made] == ["10\n", "20\n", "30\n"]
    assert "nosuch" in logs.ess("stream", "logs", "*", "*", "--s3out", "nosuch:x", code=2).stderr


def test_two_outputs_for_one_place_are_refused_before_anything_is_written(logs):
    out = logs.folder / "out"
    out.mkdir()
    logs.ess("select", str(out), "--label", "outbox")
    logs.ess("select", "local")
    old = logs.folder / "lake" / "log_old"
    old.mkdir()
    (old / "log_20140903.csv.gz").write_bytes(b"")
    command = ("stream", "logs", "2014-09-02", "*", "wc -l", "--s3out")
    for place in ("outbox:all.txt", "outbox:x/%file.txt"):
        said = logs.ess(*command, place, code=2).stderr
        assert f"log_20140903.csv.gz would both be written to {out}/" in said
    assert "which is read" in logs.ess(*command, "outbox:%path/%FILE", code=2).stderr
    assert list(out.iterdir()) == []
    done = logs.ess(*command, "outbox:.%path/%FILE", "--limit", "4")
    assert (done.stdout, len([path for path in out.rglob("*") if path.is_file()])) == ("", 4)


def test_the_output_of_one_run_over_all_files_goes_to_the_other_datastore(logs):
    (logs.folder / "out").mkdir()
    logs.ess("select", str(logs.folder / "out"), "--label", "outbox")
    logs.ess("select", "local")
    command = ("stream", "logs", "*", "2014-09-03", "wc -l", "--bulk", "--s3out")
    assert logs.ess(*command, "outbox:count.txt").stdout == ""
    assert (logs.folder / "out" / "count.txt").read_text() == "60\n"
    assert "named after a file" in logs.ess(*command, "outbox:%file", code=2).stderr


def test_members_of_archives(user):
    with zipfile.ZipFile(user.folder / "all_20140901.zip", "w") as archive:
        archive.writestr("good/a.csv", "1\n2\n")
        archive.writestr("bad/b.csv", "3\n")
    user.ess("select", "local")
    user.ess("category", "add", "zips", f"{user.folder}/*.zip", "--noprobe")
    assert user.ess("stream", "zips", "*", "*").stdout == "1\n2\n3\n"
    assert user.ess("stream", "zips", "*", "*", "--archive", "good/*").stdout == "1\n2\n"


def test_ctrl_c_once_finishes_what_runs_and_begins_nothing_new(logs):
    child = logs.start(
        "stream",
        "logs",
        "*",
        "*",
        "touch begun; sleep 1; wc -l",
        "--threads",
        "1",
        start_new_session=True,
    )
    wait_for(lambda: (logs.folder / "begun").exists())
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"once more aborts" in err
    assert out.startswith(b"10\n")
    assert len(out.splitlines()) < DAYS


def test_ctrl_c_twice_leaves_nothing_running(logs, end_processes):
    child = logs.start(
        "stream",
        "logs",
        "*",
        "*",
        "touch begun; sleep 300 & sleep 300; wait",
        start_new_session=True,
    )
    end_processes.append(child)
    wait_for(lambda: (logs.folder / "begun").exists())
    os.kill(child.pid, signal.SIGINT)
    wait_for(lambda: b"once more" in child.stderr.readline())
    os.kill(child.pid, signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode == 130
    # Killed, they go as soon as the machine finds time for it.
    wait_for(lambda: sleepers(logs) == [])


def test_ctrl_c_is_noticed_whichever_thread_is_told_of_it(logs, end_processes):
    child = logs.start("stream", "logs", "*", "*", "touch begun; sleep 300")
    end_processes.append(child)
    wait_for(lambda: (logs.folder / "begun").exists())
    other = max(int(task) for task in os.listdir(f"/proc/{child.pid}/task"))
    assert other != child.pid
    for words in (b"once more", b"aborted"):
        assert ctypes.CDLL(None).tgkill(child.pid, other, signal.SIGINT) == 0
        wait_for(lambda words=words: words in child.stderr.readline())
    child.communicate(timeout=30)
    assert child.returncode == 130


def sleepers(user):
    """Return the processes that still work in the user's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd").startswith(str(user.folder)):
                    found.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    return found


def test_killed_it_takes_its_children_along(logs):
    # What it spooled is left behind by SIGKILL: in this folder, not in the machine's.
    env = {"TMPDIR": str(logs.folder)}
    command = "touch begun; sleep 300"
    child = logs.start("stream", "logs", "*", "*", command, start_new_session=True, env=env)
    wait_for(lambda: (logs.folder / "begun").exists())
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=10)
    wait_for(lambda: sleepers(logs) == [])


def test_a_reader_that_has_seen_enough_is_no_error(logs):
    binary = f"{Path(sys.executable)} -m ess_dask.cli stream logs '*' '*' cat"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {binary} | head -1"],
        cwd=logs.folder,
        env=logs.env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b"1,0\n"
    assert done.stderr == b""


def test_exec_runs_the_command_once_here(user):
    assert user.ess("exec", "echo %num_nodes %node_id").stdout == "1 0\n"
    assert user.ess("exec", "echo hello", "--debug").stdout == "echo hello\nhello\n"
    # A person looks at it: what came before the failure says where it was.
    failed = user.ess("exec", "echo part; exit 4", code=3)
    assert failed.stdout == "part\n"
    assert "exit 4" in failed.stderr


def test_the_command_sees_the_users_environment(logs):
    done = logs.ess(
        "stream", "logs", "*", "2014-09-01", "cat >/dev/null; echo $MINE", env={"MINE": "yes"}
    )
    assert done.stdout == "yes\n"
