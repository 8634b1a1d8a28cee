"""One service: its commands in their order, its restarts, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ess_dask.testing.ec2.guest import unit_file
from ess_dask.testing.ec2.guest.unit_file import FOREVER, Command, UnitFile

Reply = Callable[[int, str], None]

_CLEAN_SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MARK = "INVOCATION_ID"


class Loop(Protocol):
    """What a service needs of the first process."""

    def say(self, text: str) -> None:
        """Print a line onto the console."""

    def after(self, seconds: float, what: Callable[[], None]) -> int:
        """Call something later; return its number."""

    def cancel(self, number: int) -> None:
        """Forget that."""

    def spawn(self, command: list[str], done: Callable[[int], None], **more: Any) -> int:
        """Start a process; return its id."""


class Service:
    """A service and where it is: inactive, activating, active, deactivating or failed."""

    def __init__(self, loop: Loop, file: UnitFile, act: Callable[[str], None]) -> None:
        self.file = file
        self.state = "inactive"
        self.result = ""
        self.main = 0
        self._loop = loop
        self._act = act
        self._starts: list[float] = []
        self._waiting: list[Reply] = []
        self._stopped: list[Callable[[], None]] = []
        self._timer: int | None = None
        self._mark = ""
        self._environment: dict[str, str] = {}

    def start(self, reply: Reply) -> None:
        """Start it; the reply comes when it has started or failed to."""
        if self.state == "active":
            reply(0, "")
            return
        self._waiting.append(reply)
        if self.state in {"inactive", "failed"} or self._timer is not None:
            self._stop_timer()
            self._begin()

    def stop(self, done: Callable[[], None]) -> None:
        """Stop it, and do not start it again; ``done`` is called when all its processes ended."""
        self._stop_timer()
        if self.state in {"inactive", "failed"}:
            done()
            return
        self._stopped.append(done)
        if self.state != "deactivating":
            self._answer(1, "canceled")
            self.state = "deactivating"
            self._each(self.file.commands("ExecStop"), lambda _: self._kill(True))

    def forget_failure(self) -> None:
        """Make a failed service an inactive one, and its past starts undone."""
        self._starts.clear()
        if self.state == "failed":
            self.state = "inactive"

    def _begin(self) -> None:
        now = time.monotonic()
        span = unit_file.seconds(self.file.limit("StartLimitIntervalSec", "10s"))
        burst = int(self.file.limit("StartLimitBurst", "5"))
        self._starts = [at for at in self._starts if now - at < span]
        if span and burst and len(self._starts) >= burst:
            self._loop.say(f"{self.file.name}: start request repeated too quickly")
            self._fail("start-limit-hit")
            self._act(self.file.limit("StartLimitAction", "none"))
            return
        self._starts.append(now)
        self.state, self.result, self._mark = "activating", "", uuid.uuid4().hex
        try:
            self._environment = self._own_environment()
        except OSError as error:
            self._loop.say(f"{self.file.name}: {error}")
            self._ended("resources")
            return
        self._each(self.file.commands("ExecStartPre"), self._start_main)

    def _start_main(self, failed: str) -> None:
        if failed:
            self._ended(failed)
            return
        commands = self.file.commands("ExecStart")
        if self.file.text("Type", "simple") == "oneshot":
            self._each(commands, self._oneshot_over)
            return
        self._loop.say(f"{self.file.name}: start")
        self.main = self._spawn(commands[0], self._main_over)
        self._each(self.file.commands("ExecStartPost"), self._is_up)

    def _is_up(self, failed: str) -> None:
        if self.state != "activating":
            return
        if failed:
            self.result = failed
            self._kill(False)
            return
        self.state = "active"
        self._answer(0)

    def _oneshot_over(self, failed: str) -> None:
        if not failed and self.file.text("RemainAfterExit", "no") in {"yes", "true", "1", "on"}:
            self.state = "active"
            self._answer(0)
            return
        self._ended(failed)

    def _main_over(self, code: int) -> None:
        self.main = 0
        self._loop.say(f"{self.file.name}: exit {_told(code)}")
        if self.state == "deactivating":
            return
        self._ended(self.result or self._judged(code))

    def _judged(self, code: int) -> str:
        """Return '' for a clean end, else systemd's word for it."""
        allowed = self.file.words("SuccessExitStatus", "Service")
        if code == 0 or -code in _CLEAN_SIGNALS or str(code) in allowed:
            return ""
        if code < 0:
            return "" if signal.Signals(-code).name in allowed else "signal"
        prevented = self.file.words("RestartPreventExitStatus", "Service")
        return "prevented" if str(code) in prevented else "exit-code"

    def _ended(self, failed: str) -> None:
        """Clear up after the main process, then restart or rest."""
        self.state = "deactivating"
        self.result = failed
        self._each(self.file.commands("ExecStopPost"), lambda _: self._kill(False))

    def _kill(self, asked: bool) -> None:
        """End what runs of it: politely, then, when its time is over, not."""
        self.state = "deactivating"
        polite = signal.Signals[self.file.text("KillSignal", "SIGTERM")]
        patience = self.file.seconds("TimeoutStopSec", self.file.text("TimeoutSec", "90s"))
        self._signal(polite)
        self._await_end(time.monotonic() + patience, asked)

    def _await_end(self, deadline: float, asked: bool) -> None:
        members = self._members()
        if members and time.monotonic() < deadline:
            self._loop.after(0.02, lambda: self._await_end(deadline, asked))
        elif members and deadline != -FOREVER:
            self._loop.say(f"{self.file.name}: does not stop in time, is killed")
            self._signal(signal.SIGKILL)
            self.result = self.result or "timeout"
            self._loop.after(0.1, lambda: self._await_end(-FOREVER, asked))
        else:
            self._rest(asked)

    def _rest(self, asked: bool) -> None:
        asked = asked or bool(self._stopped)
        if not asked and self._restarts():
            self.state = "activating"
            pause = self.file.seconds("RestartSec", "100ms")
            self._timer = self._loop.after(pause, self._again)
            if self.result:
                self._answer(1, f"Job for {self.file.name} failed.")
            return
        if self.result and not (asked and self.result == "signal"):
            self._fail(self.result)
            return
        self.state = "inactive"
        self._answer(0)
        self._done()
        self._act(self.file.text("SuccessAction", "none", "Unit"))

    def _again(self) -> None:
        self._timer = None
        self._begin()

    def _restarts(self) -> bool:
        policy = self.file.text("Restart", "no")
        if self.result == "prevented":
            return False
        kinds = {
            "": {"always", "on-success"},
            "exit-code": {"always", "on-failure"},
            "resources": {"always", "on-failure"},
        }
        abnormal = {"always", "on-failure", "on-abnormal"}
        abnormal |= {"on-abort"} if self.result == "signal" else set()
        return policy in kinds.get(self.result, abnormal)

    def _fail(self, result: str) -> None:
        self.state, self.result = "failed", result
        self._loop.say(f"{self.file.name}: failed with result '{result}'")
        self._answer(1, f"Job for {self.file.name} failed with result '{result}'.")
        self._done()
        self._act(self.file.text("FailureAction", "none", "Unit"))

    def _each(self, commands: list[Command], then: Callable[[str], None]) -> None:
        """Run commands one after another; go on with the word for the first failure, or ''."""
        if not commands:
            then("")
            return
        first, rest = commands[0], commands[1:]

        def over(code: int) -> None:
            failed = "" if first.may_fail else self._judged(code)
            if failed:
                then(failed)
            else:
                self._each(rest, then)

        self._spawn(first, over)

    def _spawn(self, command: Command, done: Callable[[int], None]) -> int:
        environment = self._environment
        more: dict[str, Any] = {"env": environment, "cwd": self.file.text("WorkingDirectory", "/")}
        if user := self.file.text("User"):
            more |= {"user": user, "group": self.file.text("Group", user)}
        return self._loop.spawn(unit_file.expanded(command, environment), done, **more)

    def _own_environment(self) -> dict[str, str]:
        # systemd sets no HOME for a service of the system.
        base = {"PATH": _PATH, "LANG": "C.UTF-8"}
        return base | self.file.environment() | {_MARK: self._mark}

    def _members(self) -> list[int]:
        """Return its processes: they carry the mark of this start in their environment."""
        mark = f"{_MARK}={self._mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0") and path.parent.name != "1":
                    found.append(int(path.parent.name))
        return found

    def _signal(self, number: signal.Signals) -> None:
        only_main = self.file.text("KillMode", "control-group") in {"process", "mixed"}
        first = only_main and self.main and number != signal.SIGKILL
        for process in [self.main] if first else self._members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._loop.cancel(self._timer)
            self._timer = None
            if self.state == "activating":
                self.state = "inactive"

    def _answer(self, status: int, text: str = "") -> None:
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            reply(status, text)

    def _done(self) -> None:
        stopped, self._stopped = self._stopped, []
        for done in stopped:
            done()


def _told(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else str(code)
