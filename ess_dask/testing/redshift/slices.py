"""The slices of a cluster: each takes one file of a COPY at a time, side by side.

Only reading and converting is done so; the rows go to PostgreSQL in the order of the files, by one
connection, because a transaction has no other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar

SLICES = 4
"""As ``stv_slices`` has them, in ``catalog.sql``."""
_AHEAD = 2
"""Pieces of a file that wait to be taken; bounds what is in memory."""

File = TypeVar("File")
Piece = TypeVar("Piece")


class _Course(Generic[File, Piece]):
    """One file on its way through its slice."""

    def __init__(self, file: File, pieces: Callable[[File], Iterator[Piece]]) -> None:
        self.file = file
        self._pieces = pieces
        self._done: SimpleQueue[Piece | BaseException | None] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._is_stopped = False

    def run(self) -> None:
        """Make the pieces; what is raised there is raised where they are taken."""
        end: BaseException | None = None
        try:
            for piece in self._pieces(self.file):
                self._room.acquire()
                if self._is_stopped:
                    break
                self._done.put(piece)
        except BaseException as error:
            end = error
        self._done.put(end)

    def take(self) -> Iterator[Piece]:
        """Yield the pieces in order."""
        while True:
            found = self._done.get()
            if found is None:
                return
            if isinstance(found, BaseException):
                raise found
            self._room.release()
            yield found

    def stop(self) -> None:
        """Let it end: nothing more is taken."""
        self._is_stopped = True
        self._room.release()


def side_by_side(
    files: Sequence[File], pieces: Callable[[File], Iterator[Piece]]
) -> Generator[tuple[File, Iterator[Piece]]]:
    """Yield each file with its pieces, in order, while the next files are worked on already.

    What is left of a file's pieces when the next file is asked for is not made any more. Close the
    iterator: then its threads are over.
    """
    waiting = deque(files)
    courses: deque[_Course[File, Piece]] = deque()
    with ThreadPoolExecutor(SLICES, thread_name_prefix="redshift-slice") as pool:
        try:
            while waiting or courses:
                while waiting and len(courses) < SLICES:
                    course = _Course(waiting.popleft(), pieces)
                    courses.append(course)
                    pool.submit(course.run)
                yield courses[0].file, courses[0].take()
                courses.popleft().stop()
        finally:
            for course in courses:
                course.stop()
