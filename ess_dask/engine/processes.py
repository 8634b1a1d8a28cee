"""Threads of this process, and processes of this machine beside it.

Python runs one thread of a process at a time. To read a file it is needed for a fifth of the time,
so two threads wait for one another, and more than five gain nothing. A process takes 0.4 s to
start: until it is ready the threads do its share.
"""

from __future__ import annotations

import pickle
import select
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from ess_dask.engine.executor import ThreadExecutor
from ess_dask.errors import InterruptedRunError

SHARE_BYTES = 32 << 20
"""Stored bytes for each process: about as much as one reads in the time it takes to start."""

SENT_BYTES = 64 << 20
"""Work that is larger when it is pickled is not sent to other processes."""


class LostProcessError(Exception):
    """A process ended, or what it said cannot be understood; its batch is done elsewhere."""


class Process:
    """A process that does what it is sent. It ends with this one, and with the object."""

    def __init__(self, first: str) -> None:
        """Start it; it calls ``first`` (``module:function``) before it is ready. Raises ``OSError``
        where that is not possible."""
        own, theirs = socket.socketpair()
        with theirs, ExitStack() as unless_started:
            unless_started.callback(own.close)
            self._process = subprocess.Popen(
                [*_command(), str(theirs.fileno()), first],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Ctrl-C is for this process, which ends the others.
                process_group=0,
            )
            unless_started.pop_all()
        self._pipe = own.makefile("rwb")
        self._descriptor = own.fileno()
        self._known: bytes | None = None
        self.pid = self._process.pid
        self.end = weakref.finalize(self, _end, self._process, own)

    @property
    def is_ready(self) -> bool:
        """Whether it has said so, or ended."""
        if self._known is not None:
            return True
        # One for each call: two threads cannot ask the same one.
        answers = select.poll()
        answers.register(self._descriptor, select.POLLIN)
        return bool(answers.poll(0))

    def work_on(self, packed: bytes, batch: Any) -> Any:
        """Let it do pickled work on a batch; return or raise what that returned or raised.

        Raises ``LostProcessError`` when it ended.
        """
        try:
            if self._known is None:
                pickle.load(self._pipe)  # noqa: S301 (our own process)
            new = None if packed is self._known else packed
            pickle.dump((new, batch), self._pipe, pickle.HIGHEST_PROTOCOL)
            self._pipe.flush()
            self._known = packed
            done, value = pickle.load(self._pipe)  # noqa: S301
        except Exception as error:
            self.end()
            raise LostProcessError from error
        if done:
            return value
        raise value


def _command() -> list[str]:
    """Return what starts Python as this one was started, with modules from where this one takes
    them, but for the working directory."""
    flags = {
        "-E": sys.flags.ignore_environment,
        "-s": sys.flags.no_user_site,
        "-B": sys.flags.dont_write_bytecode,
    }
    given = [flag for flag, is_given in flags.items() if is_given]
    path = [entry for entry in sys.path if isinstance(entry, str) and entry]
    start = f"import sys; sys.path[:] = {path!a}; from ess_dask.engine.process import main; main()"
    # An embedded Python may not know where its program is.
    return [sys.executable or "", *given, "-P", "-c", start]


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    process.kill()
    # The kernel takes 20 to 40 ms to take its memory apart, for which nobody has to wait; at the
    # end of this process, when no thread begins any more, not even its parent.
    with suppress(RuntimeError):
        threading.Thread(target=process.wait, name="ess-ended", daemon=True).start()
    # Whoever waits for an answer has one now: none.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Processes:
    """Some processes, for as many executors as there will be. Each calls ``first``
    (``module:function``) before it is ready."""

    def __init__(self, first: str) -> None:
        self._first = first
        self._free: list[Process] = []
        self._all: list[Process] = []
        self._ended = False
        self._lock = threading.Lock()

    def grow(self, count: int) -> None:
        """Start as many as are missing to so many; fewer where the machine does not let them, none
        after the end."""
        with self._lock, suppress(OSError):
            while len(self._all) < count and not self._ended:
                process = Process(self._first)
                self._all.append(process)
                self._free.append(process)

    def add(self, process: Process) -> None:
        """Take a process back that is not needed."""
        with self._lock:
            self._free.append(process)

    def ready(self) -> Process | None:
        """Return one that is ready and free; None when there is none."""
        with self._lock:
            for place, process in enumerate(self._free):
                if process.is_ready:
                    return self._free.pop(place)
        return None

    def end(self) -> None:
        """End them all, whatever they do."""
        with self._lock:
            ended, self._all, self._free, self._ended = self._all, [], [], True
        # An answer that is kept keeps none of their sockets.
        for process in ended:
            process.end()


class ProcessExecutor(ThreadExecutor):
    """Runs as many partitions at a time as there are threads; those for which a process is ready
    there, the others here. What a process that dies was at is done here."""

    def __init__(self, threads: int, processes: Processes, owner: str = "") -> None:
        super().__init__(threads, owner)
        self._processes = processes
        # Where one of the threads may work: in a process, or (None) here.
        self._places: SimpleQueue[Process | None] = SimpleQueue()
        for _ in range(self.slots):
            self._places.put(None)

    def partitions(
        self, batches: Iterable[Any], work: Callable[[Any], Any]
    ) -> Iterator[Callable[[], Any]]:
        """Yield the call that works on each batch."""
        packed = _packed(work)
        if packed is None:
            return super().partitions(batches, work)
        return (partial(self._run, packed, work, batch) for batch in batches)

    def _run(self, packed: bytes, work: Callable[[Any], Any], batch: Any) -> Any:
        place = self._places.get() or self._processes.ready()
        try:
            if place is not None:
                try:
                    return place.work_on(packed, batch)
                except LostProcessError:
                    place = None
            if self._cancelled:
                raise InterruptedRunError("the work was cancelled")
            return work(batch)
        finally:
            self._places.put(place)

    def cancel(self) -> None:
        """End the processes, kill the children of the running work, forget what has not begun."""
        self._cancelled = True
        self._processes.end()
        super().cancel()

    def close(self) -> None:
        """End the threads, as ``ThreadExecutor``; the processes belong to their owner."""
        super().close()
        while not self._places.empty():
            if (process := self._places.get()) is not None:
                self._processes.add(process)


def _packed(work: Callable[[Any], Any]) -> bytes | None:
    """Return work as what is sent to a process; None when it cannot be sent."""
    try:
        packed = pickle.dumps(work, pickle.HIGHEST_PROTOCOL)
    except Exception:
        return None
    return packed if len(packed) <= SENT_BYTES else None
