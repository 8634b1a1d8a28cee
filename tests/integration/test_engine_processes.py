"""Processes beside the threads of this one: real processes, killed, cancelled and left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from ess_dask.engine import processes
from ess_dask.engine.processes import Processes, ProcessExecutor
from ess_dask.engine.window import run_ordered
from ess_dask.errors import DataError, InterruptedRunError
from ess_dask.testing.clusters import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def crew(monkeypatch):
    """Three processes that are ready: what they are sent may name functions of this file."""
    monkeypatch.syspath_prepend(str(ROOT))
    made = Processes("gc:collect")
    made.grow(3)
    assert wait_until(lambda: all(process.is_ready for process in made._all))
    yield made
    started = list(made._all)
    made.end()
    assert wait_until(lambda: not any(_is_there(process.pid) for process in started))


@pytest.fixture
def executor(crew):
    made = ProcessExecutor(4, crew)
    yield made
    made.close()


def _is_there(pid):
    """Whether there is a process, be it one that nobody has waited for."""
    return Path(f"/proc/{pid}").exists()


def _runs(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _where(number, seconds=0.05):
    time.sleep(seconds)
    return number, os.getpid()


def _fail(number):
    if number == 3:
        raise DataError(f"file {number} is broken", hint="mend it")
    return number


def _die_elsewhere(number, home):
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _unreadable(number, home):
    """Something that cannot be sent back."""
    return number if os.getpid() == home else threading.Lock()


def test_results_come_in_order_from_processes_and_from_here(executor, crew):
    found = list(run_ordered(range(40), _where, executor))
    assert [number for number, _ in found] == list(range(40))
    assert {pid for _, pid in found} == {os.getpid(), *(each.pid for each in crew._all)}


def test_only_what_is_missing_is_started(crew):
    before = list(crew._all)
    crew.grow(2)
    assert crew._all == before
    crew.grow(4)
    assert crew._all[:3] == before
    assert len(crew._all) == 4


def test_none_is_started_after_the_end(crew):
    crew.end()
    crew.grow(2)
    assert not crew._all


def test_the_next_executor_has_the_same_processes(crew):
    for _ in range(2):
        executor = ProcessExecutor(4, crew)
        pids = {pid for _, pid in run_ordered(range(40), _where, executor)}
        assert len(pids) == 4
        executor.close()


def test_until_they_are_ready_the_threads_do_the_work(crew, monkeypatch):
    monkeypatch.setattr(processes.Process, "is_ready", False)
    executor = ProcessExecutor(4, crew)
    assert {pid for _, pid in run_ordered(range(8), _where, executor)} == {os.getpid()}
    executor.close()


def test_an_error_is_that_of_the_work(executor):
    with pytest.raises(DataError, match="file 3 is broken") as found:
        list(run_ordered(range(40), _fail, executor))
    assert found.value.hint == "mend it"


@pytest.mark.parametrize("work", [_die_elsewhere, _unreadable])
def test_what_a_process_does_not_give_is_done_here(executor, crew, work):
    found = list(run_ordered(range(20), partial(work, home=os.getpid()), executor))
    assert found == list(range(20))
    assert wait_until(lambda: not any(_is_there(process.pid) for process in crew._all))


def test_work_that_cannot_be_sent_is_done_here(executor):
    assert list(run_ordered(range(9), lambda number: number + 1, executor)) == list(range(1, 10))


def test_cancelling_ends_them_at_once(executor, crew):
    slow = partial(_where, seconds=600)
    handles = [executor.submit(each) for each in executor.partitions(range(3), slow)]
    assert wait_until(lambda: sum(_sleeps(process.pid) for process in crew._all) == 3)
    executor.cancel()
    for handle in handles:
        with pytest.raises(InterruptedRunError):
            handle.result(60)


def _sleeps(pid):
    """Whether a process is past its waiting for work: it has slept in another call since."""
    return "nanosleep" in Path(f"/proc/{pid}/wchan").read_text()


_ORPHANS = """
import os, signal
from ess_dask.engine.processes import Processes
made = Processes("ess_dask.query.sql.files:make_ready")
made.grow(2)
print(*(each.pid for each in made._all), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_they_end_with_the_process_that_started_them():
    done = subprocess.run([sys.executable, "-c", _ORPHANS], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    assert wait_until(lambda: not any(map(_runs, pids)))


_BUSY_ORPHAN = """
import os, signal, sys, threading, time
from ess_dask.engine.processes import Processes
made = Processes("gc:collect")
made.grow(1)
(process,) = made._all
packed = b"cbuiltins\\nexec\\n."
def work():
    process.work_on(packed, f"import time; open({sys.argv[1]!r}, 'w'); time.sleep(600)")
threading.Thread(target=work, daemon=True).start()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_one_that_works_ends_with_the_process_that_started_it(tmp_path):
    command = [sys.executable, "-c", _BUSY_ORPHAN, tmp_path / "begun"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert wait_until(lambda: not _runs(int(done.stdout)), timeout=20)


_ELSEWHERE = """
import sys
sys.path[1:1] = [sys.argv[1]]
from ess_dask.engine.processes import Processes
made = Processes("found_by_path:begin")
made.grow(1)
(process,) = made._all
print(process.work_on(b"c_operator\\nneg\\n.", 7))
"""


def test_they_import_what_this_process_would(tmp_path):
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile/sitecustomize.py").write_text("raise SystemExit")
    (tmp_path / "given").mkdir()
    (tmp_path / "given/found_by_path.py").write_text("def begin(): pass")
    done = subprocess.run(
        [sys.executable, "-E", "-c", _ELSEWHERE, tmp_path / "given"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "hostile")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("-7\n", "")


def test_threads_may_ask_at_the_same_time_whether_one_is_ready(crew):
    (process, *_) = crew._all
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda _: process.is_ready, range(20_000)))


@pytest.mark.parametrize("program", ["/nowhere/python", None])
def test_where_none_can_be_started_the_threads_do_the_work(monkeypatch, program):
    monkeypatch.setattr(processes.sys, "executable", program)
    crew = Processes("gc:collect")
    crew.grow(3)
    executor = ProcessExecutor(4, crew)
    assert [number for number, _ in run_ordered(range(5), _where, executor)] == list(range(5))
    executor.close()
    crew.end()
