"""The window: bounded, in order, drained once and aborted twice."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.catalog.model import FileRef
from ess_dask.clean.running import running
from ess_dask.engine.batches import BATCH_FILES, growing, make_batches
from ess_dask.engine.executor import ThreadExecutor
from ess_dask.engine.interrupt import Interrupt
from ess_dask.engine.window import run_ordered


def files(sizes):
    return [FileRef(f"/lake/f{n}", None, size, "v") for n, size in enumerate(sizes)]


@given(st.lists(st.integers(0, 50)), st.integers(1, 60), st.integers(1, 5))
def test_batches_keep_every_file_in_order_and_within_the_limits(sizes, limit_bytes, limit_files):
    batches = make_batches(files(sizes), limit_bytes, limit_files)
    assert [f for batch in batches for f in batch.files] == files(sizes)
    assert [batch.number for batch in batches] == list(range(len(batches)))
    for batch in batches:
        assert batch.files
        assert len(batch.files) <= limit_files
        assert batch.size <= limit_bytes or len(batch.files) == 1


@given(st.integers(0, 3 * BATCH_FILES), st.integers(1, BATCH_FILES))
def test_growing_batches_begin_with_one_file_and_hold_the_same_files(count, limit_files):
    whole = make_batches(files([1] * count), 1000, limit_files)
    batches = list(growing(whole))
    assert [f for batch in batches for f in batch.files] == files([1] * count)
    assert [batch.number for batch in batches] == list(range(len(batches)))
    assert all(len(batch.files) <= min(2**batch.number, limit_files) for batch in batches)
    assert not batches or len(batches[0].files) == 1
    assert len(batches) <= len(whole) + 9


class SpyExecutor(ThreadExecutor):
    """Counts what is under way at the same time."""

    def __init__(self, threads):
        super().__init__(threads)
        self.under_way = self.most = 0
        self.lock = threading.Lock()

    def submit(self, partition):
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        return super().submit(partition)

    def result(self, handle: Future):
        value = super().result(handle)
        with self.lock:
            self.under_way -= 1
        return value


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_the_window_is_bounded(threads):
    executor = SpyExecutor(threads)
    batches = make_batches(files([1] * 150), 1)

    def work(batch):
        # Earlier batches take longer, so that order is not an accident.
        time.sleep(0.002 if batch.number % 3 == 0 else 0)
        return batch.number

    assert list(run_ordered(batches, work, executor)) == list(range(150))
    assert executor.most <= 2 * threads
    executor.close()


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_the_window_is_as_wide_as_it_is_told(limit):
    executor = SpyExecutor(4)
    batches = make_batches(files([1] * 50), 1)
    results = run_ordered(batches, lambda batch: batch.number, executor, limit=limit)
    assert list(results) == list(range(50))
    assert executor.most == limit
    executor.close()


def test_nothing_to_do():
    executor = ThreadExecutor(2)
    assert list(run_ordered((), lambda batch: batch, executor)) == []
    executor.close()


@pytest.mark.slow
def test_files_are_read_here_without_dask(tmp_path):
    (tmp_path / "a.csv").write_text("n,m\n1,2\n3,4\n")
    script = """
        import sys
        import ess_dask as ess
        numbers = ess.select(".").category("n", "*.csv", columns={"n": "int8"})
        assert numbers.all().clean("select * from records where n > 1").count() == 1
        print(sorted({name.partition(".")[0] for name in sys.modules} & {"dask", "distributed"}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=60,
        env={**os.environ, "HOME": str(tmp_path), "ESS_CACHE_DIR": str(tmp_path / ".ess")},
    )
    assert done.stdout == "[]\n"


def test_drained_it_begins_nothing_new():
    executor = ThreadExecutor(1)
    interrupt = Interrupt(lambda text: None)
    batches = make_batches(files([1] * 50), 1)
    seen = []
    for number in run_ordered(batches, lambda batch: batch.number, executor, interrupt):
        seen.append(number)
        if number == 3:
            interrupt.drain()
    assert seen == list(range(len(seen)))
    assert 4 <= len(seen) <= 4 + 2 * executor.slots
    executor.close()


def test_what_the_work_raises_comes_out():
    executor = ThreadExecutor(2)

    def work(batch):
        if batch.number == 5:
            raise ValueError("five")
        return batch.number

    results = run_ordered(make_batches(files([1] * 20), 1), work, executor)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)
    executor.close()


class Aborted(ThreadExecutor):
    """Is interrupted while it waits for work that has begun."""

    def __init__(self):
        super().__init__(1)
        self.begun = threading.Event()

    def result(self, handle: Future):
        assert self.begun.wait(20)
        raise KeyboardInterrupt


@pytest.mark.parametrize("batches", [1, 3])
def test_an_abort_cancels_what_is_waited_for_too(batches):
    executor = Aborted()
    cancelled = threading.Event()

    def work(batch):
        with running.registered(cancelled.set):
            executor.begun.set()
            assert cancelled.wait(20)

    results = run_ordered(make_batches(files([1] * batches), 1), work, executor)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert cancelled.is_set()
    executor.close()


SCRIPT = textwrap.dedent(
    """
    import sys
    from ess_dask.engine.interrupt import Interrupt
    from ess_dask.errors import InterruptedRunError
    with Interrupt(lambda text: print(text, file=sys.stderr, flush=True)) as interrupt:
        print("ready", flush=True)
        try:
            while True:
                if sys.stdin.readline() == "state\\n":
                    print(interrupt.draining, flush=True)
        except InterruptedRunError as error:
            print("aborted", error.exit_code, flush=True)
    """
)


def test_the_first_ctrl_c_drains_and_the_second_aborts():
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        os.kill(child.pid, signal.SIGINT)
        assert "once more aborts" in child.stderr.readline()
        child.stdin.write("state\n")
        child.stdin.flush()
        assert child.stdout.readline() == "True\n"
        os.kill(child.pid, signal.SIGINT)
        assert child.stdout.readline() == "aborted 130\n"
    finally:
        child.communicate(timeout=10)
