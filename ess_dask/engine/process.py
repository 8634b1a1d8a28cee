"""A process that works beside the one that started it.

``main``, with arguments ``DESCRIPTOR MODULE:FUNCTION``, calls the function, says over a socket that
it is ready, then does what it is sent, one after the other. It ends when the other end closes, in
the middle of its work, too.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import select
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, cast

from ess_dask.allocator import keep_freed_memory
from ess_dask.openblas import start_no_threads


def serve(pipe: BinaryIO) -> None:
    """Answer ``(pickled work or None for that of before, batch)`` with ``(done, result or error)``
    until the other end closes."""
    work: Callable[[Any], Any] | None = None
    _send(pipe, None)
    while True:
        packed, batch = pickle.load(pipe)  # noqa: S301 (of the process that started this one)
        if packed is not None:
            work = pickle.loads(packed)  # noqa: S301
        assert work is not None
        try:
            answer = (True, work(batch))
        except Exception as error:
            answer = (False, error)
        _send(pipe, answer)


def _send(pipe: BinaryIO, value: object) -> None:
    pickle.dump(value, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _end_with(descriptor: int) -> None:
    """Wait until the other end closes, then end this process."""
    closed = select.poll()
    closed.register(descriptor, select.POLLRDHUP)
    closed.poll()
    os._exit(1)


def main() -> None:
    """Serve the socket of the first argument, after a call of the second."""
    # A batch may take long, and nobody wants it any more.
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    keep_freed_memory()
    start_no_threads()
    # What is imported stays: nobody need look for cycles in it, now or later.
    gc.disable()
    module, _, function = sys.argv[2].partition(":")
    getattr(importlib.import_module(module), function)()
    gc.freeze()
    gc.enable()
    with (
        socket.socket(fileno=int(sys.argv[1])) as connection,
        connection.makefile("rwb") as pipe,
        suppress(EOFError, OSError),
    ):
        serve(cast("BinaryIO", pipe))
    # Nothing is left to do, and an orderly end takes as long as the beginning.
    os._exit(0)
