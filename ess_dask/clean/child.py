"""A shell command as a child: fed, drained and ended without threads, in bounded memory.

One loop moves bytes as the pipes allow, so no order of reading, writing and complaining on the
command's side can block it. The child is a small guard that runs the command in its own process
group and holds a *lifeline*: a pipe from this process. When this process dies, by SIGKILL too, the
lifeline ends and the whole group is killed. (PR_SET_PDEATHSIG would reach the shell only, not what
it started, and needs code between fork and exec, which costs 17 ms in a large process.)
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from ess_dask.clean.tail import Tail

BLOCK = 1 << 20

# $1 is the command, {fd} the lifeline. The guard reaps its watcher: in a container, nobody else
# may collect orphans.
_GUARD = """
(read -r _; kill -KILL 0) <&{fd} >/dev/null 2>&1 &
(eval "$1") {fd}<&-
set -- $? $!
kill -KILL "$2"; wait "$2" 2>/dev/null
exit "$1"
"""


class Child:
    """A running command. ``output`` feeds and reads it; ``end`` leaves nothing behind."""

    def __init__(self, command: str, folder: str, env: Mapping[str, str], *, fed: bool) -> None:
        """Start ``command`` under bash with pipefail; raise ``OSError`` when that is not possible.

        Without ``fed`` the command's input is empty.
        """
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["bash", "-o", "pipefail", "-c", _GUARD.format(fd=lifeline), "bash", command],
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=dict(env),
                bufsize=0,
                pass_fds=(lifeline,),
                process_group=0,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline)
        self._tail = Tail()
        self._ended = False

    @property
    def tail(self) -> str:
        """The end of what the command wrote to stderr."""
        return self._tail.text

    def output(self, source: Iterable[bytes], timeout: float) -> Iterator[bytes]:
        """Yield what the command prints while feeding it ``source``; blocks of up to 1 MiB.

        Raises ``TimeoutError`` after ``timeout`` seconds (0: none) of waiting for the command,
        and whatever ``source`` raises. The time a caller takes for a block does not count.
        """
        feed = _Feed(source)
        with selectors.DefaultSelector() as selector:
            self._register(selector)
            left = timeout or float("inf")
            while selector.get_map():
                began = time.monotonic()
                ready = selector.select(None if left == float("inf") else max(0.0, left))
                blocks = [self._serve(selector, key, feed) for key, _ in ready]
                left -= time.monotonic() - began
                yield from filter(None, blocks)
                if left <= 0:
                    raise TimeoutError
        feed.close()

    def _register(self, selector: selectors.BaseSelector) -> None:
        process = self._process
        for pipe, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
            (process.stderr, selectors.EVENT_READ),
        ):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                # Fewer switches between us and the command; a system may allow less.
                with suppress(OSError, AttributeError):
                    fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, BLOCK)
                selector.register(pipe, event)

    def _serve(
        self, selector: selectors.BaseSelector, key: selectors.SelectorKey, feed: _Feed
    ) -> bytes:
        """Move what one pipe is ready for; return what came from stdout."""
        pipe = key.fileobj
        if pipe is self._process.stdin:
            if not feed.write(key.fd):
                selector.unregister(pipe)
                self._process.stdin.close()
            return b""
        block = os.read(key.fd, BLOCK)
        if not block:
            selector.unregister(pipe)
        if pipe is self._process.stdout:
            return block
        self._tail.add(block)
        return b""

    def kill(self) -> None:
        """Kill the command and all it started; safe from any thread."""
        if not self._ended:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self, *, kill: bool) -> int:
        """Wait (or kill at once), end what the command left behind; return the exit status.

        Negative: the shell itself was killed by that signal.
        """
        if kill:
            self.kill()
        # Not collected yet, its id stays taken: the group that is killed can be no other.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self.kill()
        self._ended = True
        os.close(self._lifeline)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return self._process.wait()


class _Feed:
    """A source of blocks, written as far as a pipe takes them."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._source = iter(source)
        self._left = memoryview(b"")

    def write(self, pipe: int) -> bool:
        """Write once; return False when there is nothing left, or nobody reads any more."""
        while not self._left:
            block = next(self._source, None)
            if block is None:
                return False
            self._left = memoryview(block)
        try:
            written = os.write(pipe, self._left)
        except BlockingIOError:
            return True
        except BrokenPipeError:
            # The command has read enough (head): that is its own business.
            self.close()
            return False
        self._left = self._left[written:]
        return True

    def close(self) -> None:
        """Let the source release what it holds (an open file)."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
