"""The stand-in in the hands of a test, which itself stays outside of it."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError
from ess_dask.testing.ec2.server import ENV, URL

_START_SECONDS = 30.0
_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Instance:
    """What EC2 knows of an instance. ``public`` is '' while it is off; ``user_data`` are bytes."""

    id: str
    state: str
    private: str
    public: str
    type: str
    image: str
    region: str
    lifecycle: str
    shutdown_behaviour: str
    reason: str
    tags: dict[str, str]
    user_data: bytes


class AwsError(EssError):
    """AWS's interface answered a test's own call with an error; ``code`` is AWS's."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Ec2StandIn:
    """A running stand-in; ``standin`` makes one. Any thread may call its methods."""

    url = URL
    env = ENV

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self.folder = folder
        self._process = process
        self._line = line
        self._lock = threading.Lock()
        self._namespaces = self._hear_hello()
        self._lines = line.makefile("rb")

    def run(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        timeout: float = 60.0,
        **more: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return it finished, with its output as text.

        ``env`` is its whole environment, to which that of an AWS client is added where it does not
        say otherwise; without it, it is this process's. Raises ``subprocess.TimeoutExpired``.
        """
        return self._finished(self.popen(args, env=env, cwd=cwd, **_captured(more)), args, timeout)

    def popen(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        **more: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command inside; killing the returned process kills it."""
        environment = {**os.environ, **ENV} if env is None else {**ENV, **env}
        environment.setdefault("ESS_EC2_FOLDER", str(self.folder))
        return self._enter([], args, env=environment, cwd=cwd, **more)

    def run_on(
        self, instance_id: str, args: Sequence[str], *, timeout: float = 60.0, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on an instance, as root, and return it finished."""
        return self._finished(self.popen_on(instance_id, args, **_captured(more)), args, timeout)

    def popen_on(self, instance_id: str, args: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
        """Start a command on an instance."""
        guest = self._ask("guest", instance_id=instance_id)
        more.setdefault("env", {"LANG": "C.UTF-8", "HOME": "/root"})
        return self._enter(["--guest", str(guest)], args, **more)

    def instances(self, *states: str) -> list[Instance]:
        """Return the instances, of all regions, in these states (without states: in all)."""
        told = self._ask("instances")
        for one in told:
            one["user_data"] = base64.b64decode(one["user_data"])
        return [Instance(**one) for one in told if not states or one["state"] in states]

    def instance(self, instance_id: str) -> Instance:
        """Return one instance; raises ``KeyError``."""
        for found in self.instances():
            if found.id == instance_id:
                return found
        raise KeyError(instance_id)

    def wait(self, instance_id: str, state: str, timeout: float = 30.0) -> Instance:
        """Wait until an instance is in a state; raises ``TimeoutError`` with its console."""
        until(
            lambda: self.instance(instance_id).state == state,
            timeout,
            lambda: f"{self.instance(instance_id)} is not {state}\n{self.console(instance_id)}",
        )
        return self.instance(instance_id)

    def wait_for_console(self, instance_id: str, text: str, timeout: float = 30.0) -> str:
        """Wait until a text is on an instance's console; return all that is there."""
        until(
            lambda: text in self.console(instance_id),
            timeout,
            lambda: f"no {text!r} on the console:\n{self.console(instance_id)}",
        )
        return self.console(instance_id)

    def console(self, instance_id: str) -> str:
        """Return all that an instance printed; it stays when the instance is gone."""
        return str(self._ask("console", instance_id=instance_id))

    def requests(self, action: str = "") -> list[dict[str, Any]]:
        """Return the requests since the last reset: action, parameters as sent, status, code."""
        return list(self._ask("seen", action=action))

    def fail(self, action: str, code: str, message: str = "", times: int = 1) -> None:
        """Answer the next calls of an action with an error of AWS; ``times`` -1: all."""
        self._ask("fail", action=action, code=code, message=message, times=times)

    def delay(self, action: str, seconds: float) -> None:
        """Let every call of an action wait."""
        self._ask("delay", action=action, seconds=seconds)

    def pending(self, seconds: float) -> None:
        """Let instances that are started from now on be pending so long."""
        self._ask("pending", seconds=seconds)

    def minute(self, seconds: float) -> None:
        """Let a minute of ``shutdown +N`` last so long on instances that boot from now on."""
        self._ask("minute", seconds=seconds)

    def powered(self, on: bool) -> None:
        """Without power, instances that are started from now on are in the API only: none boots."""
        self._ask("powered", on=on)

    def clear_faults(self) -> None:
        """Take back ``fail``, ``delay``, ``pending``, ``minute`` and ``powered``."""
        self._ask("clear_faults")

    def spot_notice(
        self, instance_id: str, seconds: float = 120.0, action: str = "terminate"
    ) -> None:
        """Tell an instance that it will be interrupted, and do it after so many seconds."""
        self._ask("spot_notice", instance_id=instance_id, seconds=seconds, action=action)

    def kill(self, instance_id: str) -> None:
        """Cut an instance's power: every process in it is gone, nothing is written any more."""
        self._ask("kill", instance_id=instance_id)

    def unplug(self, instance_id: str) -> None:
        """Cut an instance off the network; connections hang, as in a partition."""
        self._ask("cable", instance_id=instance_id, plugged=False)

    def plug(self, instance_id: str) -> None:
        """Connect it again."""
        self._ask("cable", instance_id=instance_id, plugged=True)

    def boto(self, service: str, region: str = "") -> Any:
        """Return what can be called as a boto3 client; errors are raised as ``AwsError``."""
        return _Boto(self, service, region)

    def reset(self) -> None:
        """End all instances and forget all: buckets, roles, faults, requests."""
        self._ask("reset")

    def close(self) -> None:
        """End it and everything in it; wait until it is gone."""
        self._lines.close()
        self._line.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for descriptor in self._namespaces:
            os.close(descriptor)

    def _enter(self, options: list[str], args: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
        numbers = ",".join(map(str, self._namespaces))
        program = [sys.executable, "-E", "-m", "ess_dask.testing.ec2.enter"]
        command = [*program, "--descriptors", numbers, *options, "--", *map(str, args)]
        return subprocess.Popen(command, pass_fds=self._namespaces, **more)

    def _finished(
        self, process: subprocess.Popen[str], args: Sequence[str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        with process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def _hear_hello(self) -> list[int]:
        self._line.settimeout(_START_SECONDS)
        try:
            hello, descriptors, _, _ = socket.recv_fds(self._line, 6, 16)
        except (TimeoutError, ConnectionError):
            hello, descriptors = b"", []
        if hello != b"hello\n":
            said = (self.folder / "standin.log").read_text(errors="replace").strip()
            raise EssError(f"the EC2 stand-in did not start: {said or 'it says nothing'}")
        self._line.settimeout(None)
        # Root has no namespace of users of its own in there, and ours cannot be entered again.
        ours = Path("/proc/self/ns/user").stat()
        if os.path.samestat(os.fstat(descriptors[0]), ours):
            os.close(descriptors.pop(0))
        return list(descriptors)

    def _ask(self, verb: str, **given: Any) -> Any:
        with self._lock:
            self._line.sendall(json.dumps({"verb": verb, "given": given}).encode() + b"\n")
            line = self._lines.readline()
        if not line:
            raise EssError("the EC2 stand-in is gone")
        answer = json.loads(line)
        if "error" not in answer:
            return answer["result"]
        if answer["code"]:
            raise AwsError(answer["text"], answer["code"])
        if answer["error"] == "KeyError":
            raise KeyError(answer["text"])
        raise EssError(f"{answer['error']}: {answer['text']}")


@dataclass(frozen=True, slots=True)
class _Boto:
    """The client that ``Ec2StandIn.boto`` gives: its methods are those of boto3."""

    standin: Ec2StandIn
    service: str
    region: str

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**given: Any) -> Any:
            where = {"service": self.service, "region": self.region}
            return self.standin._ask("aws", operation=operation, given=given, **where)

        return call


@contextmanager
def standin(folder: Path) -> Iterator[Ec2StandIn]:
    """Run a stand-in whose consoles are kept in ``folder``; raises ``EssError`` if it cannot run.

    Ask ``unavailable()`` first: where it gives a reason, tests are skipped with it.
    """
    ours, its = socket.socketpair()
    folder.mkdir(parents=True, exist_ok=True)
    with ours, its, (folder / "standin.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ess_dask.testing.ec2"),
                *("--folder", str(folder), "--control", str(its.fileno())),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[its.fileno()],
            start_new_session=True,
        )
        its.close()
        try:
            running = Ec2StandIn(folder, process, ours)
        except BaseException:
            process.kill()
            process.wait()
            raise
        try:
            yield running
        finally:
            running.close()


def until(condition: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Wait for a condition; raises ``TimeoutError`` with the text of ``otherwise``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(otherwise())
        time.sleep(0.03)


def _captured(more: dict[str, Any]) -> dict[str, Any]:
    usual = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return {**usual, "text": True, **more}
