"""Shell steps: bytes through a command, every way a command can fail, and nothing left behind."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from ess_dask.clean.child import Child
from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import cancel_all, running
from ess_dask.clean.shell import ShellStep, run_command
from ess_dask.errors import CleanError, ConfigError, InterruptedRunError, ReadError

pytestmark = pytest.mark.slow

CONTEXT = StepContext(uri="/lake/browse_20140901.gz", timeout=60)
MEGABYTE = 1 << 20


def pipe(command, source=(b"b\na\n",), context=CONTEXT):
    return b"".join(ShellStep(command).pipe(source, context))


def failure(command, source=(b"b\na\n",), context=CONTEXT):
    with pytest.raises(CleanError) as caught:
        pipe(command, source, context)
    return caught.value


def pid_in(path, seconds=20.0):
    """The process id that a command writes into a file, as soon as it stands there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = path.read_text() if path.exists() else ""
        if text.endswith("\n"):
            return int(text)
        time.sleep(0.01)
    raise AssertionError(f"{path} was not written")


def is_gone(pid, seconds=20.0):
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cat", b"b\na\n"),
        ("sort | head -n 1", b"a\n"),
        ("wc -l | tr -d ' '", b"2\n"),
        ("cat >/dev/null", b""),
        ("true", b""),
        ("tr a-z A-Z # a comment", b"B\nA\n"),
        ("while read -r line; do\n  echo \"<$line>\"\ndone", b"<b>\n<a>\n"),
        ("cat <(echo first) -", b"first\nb\na\n"),
        ("(sleep 0 & wait); cat", b"b\na\n"),
        ("cat; exit 0", b"b\na\n"),
        ("yes | head -n 1", b"y\n"),
        ("echo \"$ESS_SUB_file\"; cat >/dev/null", b"a b;$(reboot)'\n"),
    ],
)  # fmt: skip
def test_bytes_go_through_a_command(command, expected):
    context = StepContext(env={"ESS_SUB_file": "a b;$(reboot)'"}, timeout=60)
    assert pipe(command, context=context) == expected


def test_binary_data_comes_back_as_it_was():
    blocks = [os.urandom(MEGABYTE) for _ in range(8)] + [b"", b"\x00\xff\r\n"]
    assert pipe("cat", blocks) == b"".join(blocks)


def test_no_source_means_an_empty_input():
    assert b"".join(run_command("cat; echo done", None, CONTEXT)) == b"done\n"


def test_output_comes_in_blocks_while_the_file_is_still_read():
    read = []

    def source():
        for number in range(64):
            read.append(number)
            yield bytes(MEGABYTE)

    blocks = ShellStep("cat").pipe(source(), CONTEXT)
    first = next(blocks)
    assert 0 < len(first) <= MEGABYTE
    assert len(read) < 16
    assert len(first) + sum(map(len, blocks)) == 64 * MEGABYTE


def test_it_runs_in_the_folder_it_is_told(tmp_path):
    (tmp_path / "names.txt").write_text("x\n")
    assert pipe("cat names.txt", context=StepContext(str(tmp_path))) == b"x\n"


def test_a_folder_that_is_missing_is_named(tmp_path):
    error = failure("cat", context=StepContext(str(tmp_path / "gone"), uri="/lake/a.gz"))
    assert str(tmp_path / "gone") in error.message
    assert "/lake/a.gz" in error.message


def test_credentials_stay_with_us(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("ESS_WAREHOUSE", "redshift://user:canary@host/db")
    monkeypatch.setenv("LC_TIME", "C")
    printed = pipe("env", context=StepContext(env={"MINE": "yes"}))
    assert b"canary" not in printed
    assert b"MINE=yes" in printed
    assert b"LC_TIME=C" in printed
    assert b"PATH=" in printed


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("no-such-program", "exit 127"),
        ("cat; exit 3", "exit 3"),
        ("false | cat", "exit 1"),
        ("exit 3 | cat", "exit 3"),
        ("cat | (exit 4) | cat", "exit 4"),
        ("kill -KILL $BASHPID", "killed by SIGKILL"),
        ("kill -KILL $$", "killed by SIGKILL"),
        ("kill -SEGV $BASHPID", "killed by SIGSEGV"),
        ("bash -c 'kill -TERM $$' | cat", "killed by SIGTERM"),
        ("if", "exit 2"),
        ("echo 'open", "exit"),
    ],
)
def test_a_command_that_fails_is_an_error_that_names_the_file(command, what):
    error = failure(command)
    assert what in error.message
    assert "/lake/browse_20140901.gz" in error.message
    assert error.exit_code == 3
    assert error.hint


def test_the_end_of_stderr_is_told():
    error = failure("for i in $(seq 10000); do echo line $i >&2; done; echo why >&2; exit 1")
    assert error.message.endswith("line 10000\nwhy")
    assert len(error.message) < 2000
    assert "not found" in failure("no-such-program").message


def test_grep_that_finds_nothing_is_explained():
    assert "|| true" in failure("grep nothing").hint


def test_what_was_printed_before_a_failure_is_followed_by_the_error():
    blocks = ShellStep("cat; exit 9").pipe([b"half"], CONTEXT)
    assert next(blocks) == b"half"
    with pytest.raises(CleanError, match="exit 9"):
        list(blocks)


def test_much_on_stderr_blocks_nothing_and_is_not_kept():
    before = psutil.Process().memory_info().rss
    assert pipe("head -c 200000000 /dev/zero >&2; cat") == b"b\na\n"
    assert psutil.Process().memory_info().rss - before < 64 * MEGABYTE


def test_a_command_that_stops_reading_is_no_failure():
    def endless():
        while True:
            yield b"x\n" * (MEGABYTE // 2)

    assert pipe("head -n 2", endless()) == b"x\nx\n"
    assert pipe("true", endless()) == b""
    assert pipe("exec <&-; echo ok", [b"x"]) == b"ok\n"


def test_a_source_is_closed_when_nobody_reads_it_any_more():
    closed = []

    def source():
        try:
            while True:
                yield bytes(MEGABYTE)
        finally:
            closed.append(True)

    assert pipe("head -c 1 | wc -c | tr -d ' '", source()) == b"1\n"
    assert closed == [True]


def test_what_reading_raises_is_passed_on_and_the_command_killed(tmp_path):
    def source():
        yield b"x\n"
        raise ReadError("/lake/a.gz ends in the middle")

    with pytest.raises(ReadError, match="in the middle"):
        pipe(f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' & wait", source())
    path = tmp_path / "pid"
    assert not path.exists() or is_gone(pid_in(path))
    assert len(running) == 0


@pytest.mark.parametrize(
    "command",
    [
        "sh -c 'echo $$ > {pid}; exec sleep 1000'",
        "sh -c 'echo $$ > {pid}; exec sleep 1000' | cat",
        "sh -c 'echo $$ > {pid}; exec sleep 1000' & wait",
        "sh -c 'trap \"\" TERM HUP INT; echo $$ > {pid}; while :; do sleep 1; done'",
    ],
)
def test_a_command_that_hangs_is_killed_with_all_it_started(tmp_path, command):
    began = time.monotonic()
    context = StepContext(uri="/lake/a.gz", timeout=1.0)
    error = failure(command.format(pid=tmp_path / "pid"), context=context)
    assert "longer than 1 s" in error.message
    assert "/lake/a.gz" in error.message
    assert time.monotonic() - began < 20
    assert is_gone(pid_in(tmp_path / "pid"))


def test_the_steps_own_timeout_comes_first():
    with pytest.raises(CleanError, match=r"longer than 0\.2 s"):
        list(ShellStep("sleep 1000", timeout=0.2).pipe([], StepContext(timeout=900)))


def test_the_time_the_reader_takes_does_not_count():
    blocks = ShellStep("cat", timeout=1.0).pipe([b"x"] * 3, CONTEXT)
    first = next(blocks)
    time.sleep(1.2)
    assert first + b"".join(blocks) == b"xxx"


def test_background_children_end_with_the_command(tmp_path):
    command = f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' >/dev/null 2>&1 & cat"
    assert pipe(f"{command}; while ! [ -s {tmp_path}/pid ]; do :; done") == b"b\na\n"
    assert is_gone(pid_in(tmp_path / "pid"))


def test_closing_half_way_leaves_no_process(tmp_path):
    command = f"echo $BASHPID > {tmp_path}/pid; cat; exec sleep 1000"
    blocks = ShellStep(command).pipe([b"x"], CONTEXT)
    assert next(blocks) == b"x"
    pid = pid_in(tmp_path / "pid")
    blocks.close()
    assert is_gone(pid)
    assert len(running) == 0
    assert [child for child in psutil.Process().children() if child.name() == "bash"] == []


def test_no_file_descriptor_is_left_open():
    pipe("cat")
    before = psutil.Process().num_fds()
    for command in ("cat", "exit 3", "head -n 1"):
        with pytest.raises(CleanError) if "exit" in command else _nothing():
            pipe(command)
    assert psutil.Process().num_fds() == before


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


def test_cancelling_reaches_a_command_that_is_just_starting(monkeypatch):
    start = Child.__init__

    def start_and_cancel(self, *args, **options):
        start(self, *args, **options)
        assert cancel_all() == 1

    monkeypatch.setattr(Child, "__init__", start_and_cancel)
    with pytest.raises(InterruptedRunError):
        pipe("exec sleep 1000")
    assert len(running) == 0


def test_cancelling_reaches_the_command(tmp_path):
    caught = []

    def work():
        try:
            pipe(f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' | cat")
        except InterruptedRunError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    pid = pid_in(tmp_path / "pid")
    assert cancel_all() == 1
    thread.join(20)
    assert len(caught) == 1
    assert is_gone(pid)
    assert cancel_all() == 0


def test_children_die_with_a_worker_that_is_killed(tmp_path):
    program = (
        "from ess_dask.clean.shell import ShellStep\n"
        "from ess_dask.clean.protocol import StepContext\n"
        f"command = \"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' | cat\"\n"
        "list(ShellStep(command).pipe([b'x'], StepContext()))\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program])
    try:
        pid = pid_in(tmp_path / "pid")
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert is_gone(pid)


def test_a_missing_bash_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "bash" in failure("cat").message


def test_a_command_that_is_too_long_is_an_error():
    assert "cannot be started" in failure(f"echo {'x' * 3_000_000}").message


@pytest.mark.parametrize("command", ["", "  \n", "cat\0"])
def test_an_empty_command_is_refused(command):
    with pytest.raises(ConfigError, match="shell"):
        ShellStep(command)


def test_it_travels_and_has_a_name():
    step = pickle.loads(pickle.dumps(ShellStep("cat |\n  sort", timeout=3)))
    assert step == ShellStep("cat |\n  sort", timeout=3)
    assert step.name == "shell: cat | sort"
    assert len(ShellStep("x" * 500).name) < 80


@pytest.mark.parametrize(
    ("value", "step"),
    [
        ("cat", ShellStep("cat")),
        ({"command": "cat", "timeout": 60}, ShellStep("cat", 60.0)),
    ],
)
def test_from_a_pipeline_file(value, step):
    assert ShellStep.from_pipeline(value, ".") == step


@pytest.mark.parametrize(
    "value",
    [{"command": "cat", "per": "file"}, {"timeout": 3}, 3, {"command": "cat", "timeout": "x"}],
)
def test_a_wrong_pipeline_value_is_refused(value):
    with pytest.raises(ConfigError):
        ShellStep.from_pipeline(value, ".")
