"""Who works beside whom: the number of this machine and of this thread, for ``%`` words."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from ess_dask.cluster.nodes import natural, shown
from ess_dask.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of a job by name, in order, and how many pipelines run on each at a time (0: one
    for each of its threads)."""

    names: tuple[str, ...]
    threads: int

    def words(self, name: str, threads: int, others: Sequence[str] = ()) -> dict[str, str]:
        """Return the ``%`` words of the worker ``name`` with so many threads.

        One that joined after the job began counts behind the others: ``others`` are all there are
        now.
        """
        names = self.names
        if name not in names:
            late = sorted({*others, name} - {*names}, key=natural)
            names = (*names, *late)
        return {
            "num_nodes": str(len(names)),
            "node_id": str(names.index(name)),
            "num_threads": str(self.threads or threads),
        }


@dataclass(frozen=True, slots=True)
class Member:
    """The worker that this thread belongs to: name, machine, number of threads, ``%`` words."""

    name: str
    host: str
    threads: int
    words: dict[str, str]


_MEMBER: ContextVar[Member | None] = ContextVar("ess_dask_member", default=None)
_THREAD: ContextVar[str] = ContextVar("ess_dask_thread", default="")


@contextmanager
def belonging(member: Member) -> Iterator[None]:
    """Say which worker this thread belongs to while the block runs."""
    token = _MEMBER.set(member)
    try:
        yield
    finally:
        _MEMBER.reset(token)


def node_words() -> dict[str, str]:
    """Return the ``%`` words of the far worker that this is; none for the caller's own machine."""
    member = _MEMBER.get()
    return {} if member is None else {**member.words, "thread_id": thread_id()}


def worker_threads(threads: int) -> tuple[int, int]:
    """Return how many pipelines run on this far worker, and its threads; 0 is one for each."""
    member = _MEMBER.get()
    own = 1 if member is None else member.threads
    return threads or own, own


def worker_name() -> str:
    """Return what accounts call the worker that this is: a name, or machine and process."""
    member = _MEMBER.get()
    return f"{socket.gethostname()}:{os.getpid()}" if member is None else member.name


def whereabouts() -> str:
    """Return `` [worker w1 (10.0.0.7)]`` behind what went wrong on a far worker, else ''."""
    member = _MEMBER.get()
    return "" if member is None else f" [{shown(member.name, member.host)}]"


def thread_id() -> str:
    """Return this thread's number among the parallel pipelines, from 0."""
    if _THREAD.get():
        return _THREAD.get()
    number = threading.current_thread().name.rpartition("_")[2]
    return number if number.isdigit() else "0"


class Numbers:
    """Hands out thread numbers: each at most once at a time for an owner, the smallest first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: dict[str, set[int]] = {}

    @contextmanager
    def taken(self, owner: str, limit: int) -> Iterator[None]:
        """Wait for one of ``limit`` numbers; it is this thread's while the block runs."""
        number = self._take(owner, limit)
        token = _THREAD.set(str(number))
        try:
            yield
        finally:
            _THREAD.reset(token)
            self._give_back(owner, number)

    def _take(self, owner: str, limit: int) -> int:
        with self._changed:
            while len(self._taken.get(owner, ())) >= limit:
                self._changed.wait()
            taken = self._taken.setdefault(owner, set())
            number = next(number for number in range(limit) if number not in taken)
            taken.add(number)
            return number

    def _give_back(self, owner: str, number: int) -> None:
        with self._changed:
            self._taken[owner].discard(number)
            if not self._taken[owner]:
                del self._taken[owner]
            self._changed.notify_all()


numbers = Numbers()
"""The numbers of this process."""
