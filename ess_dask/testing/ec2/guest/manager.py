"""The units of an instance, and what ``systemctl`` and ``shutdown`` may ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ess_dask.testing.ec2.guest import unit_file
from ess_dask.testing.ec2.guest.service import Loop, Reply, Service
from ess_dask.testing.ec2.status import REBOOT

WANTS = unit_file.FOLDERS[0] / "multi-user.target.wants"

OF_THE_IMAGE = {
    "docker.service", "docker.socket", "containerd.service", "ssh.service", "sshd.service",
    "amazon-ssm-agent.service", "chronyd.service", "snapd.service", "cron.service",
}  # fmt: skip
"""Services that an image brings: starting and stopping them is taken, and means nothing."""

_OFF = {"poweroff": 0, "halt": 0, "reboot": REBOOT, "exit": 0}


class Power(Loop, Protocol):
    """What the units need of the first process besides: its power switch."""

    def power_off(self, status: int = 0) -> None:
        """Go off now."""

    def schedule_off(self, seconds: float, status: int = 0) -> None:
        """Go off later."""

    def cancel_off(self) -> bool:
        """Do not."""


class Manager:
    """All services that were ever named."""

    def __init__(self, power: Power) -> None:
        self._power = power
        self._services: dict[str, Service] = {}

    def start_enabled(self) -> None:
        """Start what was enabled before this boot."""
        for path in sorted(WANTS.glob("*")) if WANTS.is_dir() else []:
            self._start(path.name, lambda *_: None)

    def stop_all(self, done: Callable[[], None]) -> None:
        """Stop everything at once; ``done`` is called in the end."""
        self._each(list(self._services), Service.stop, lambda *_: done())

    def command(self, asked: dict[str, Any], reply: Reply) -> None:
        """Answer a command, now or when it is done."""
        verb, names = asked["verb"], [_full(name) for name in asked.get("units", [])]
        if verb in _OFF:
            self._power.power_off(_OFF[verb])
            reply(0, "")
        elif verb == "schedule-off":
            self._power.schedule_off(asked["seconds"], _OFF[asked["how"]])
            self._power.say(f"{asked['how']} in {asked['seconds']:g} s")
            reply(0, "")
        elif verb == "cancel-off":
            cancelled = self._power.cancel_off()
            self._power.say("planned shutdown cancelled" if cancelled else "no shutdown planned")
            reply(0, "")
        elif verb in {"start", "restart", "stop", "reset-failed"}:
            self._change(verb, names, reply)
        else:
            reply(*self._tell(verb, names))

    def act(self, action: str) -> None:
        """Do what a unit wants done at its end (``SuccessAction`` and its like)."""
        how = action.removesuffix("-force").removesuffix("-immediate")
        if how in _OFF:
            self._power.say(f"a unit asks for: {action}")
            self._power.power_off(_OFF[how])

    def _change(self, verb: str, names: list[str], reply: Reply) -> None:
        if verb == "start":
            self._start_each(names, reply)
        elif verb == "restart":
            self._each(names, Service.stop, lambda *_: self._start_each(names, reply))
        elif verb == "stop":
            self._each(names, Service.stop, reply)
        else:
            for name in names or list(self._services):
                if name in self._services:
                    self._services[name].forget_failure()
            reply(0, "")

    def _start_each(self, names: list[str], reply: Reply) -> None:
        """Start services; reply when all have answered, with the worst answer."""
        answers: list[tuple[int, str]] = []

        def collect(status: int, text: str) -> None:
            answers.append((status, text))
            if len(answers) == len(names):
                reply(*max(answers))

        for name in names:
            self._start(name, collect)

    def _start(self, name: str, reply: Reply) -> None:
        service = self._find(name)
        if service is None:
            known = name in OF_THE_IMAGE
            text = "" if known else f"Failed to start {name}: Unit {name} not found."
            reply(0 if known else 5, text)
            return
        needs = service.file.words("Requires") + service.file.words("Wants")
        for needed in needs:
            if needed.endswith(".service") and needed not in OF_THE_IMAGE:
                self._start(needed, lambda *_: None)
        service.start(reply)

    def _find(self, name: str) -> Service | None:
        """Return a service; its file is read again unless it runs."""
        service = self._services.get(name)
        if service and service.state not in {"inactive", "failed"}:
            return service
        file = unit_file.load(name)
        if file is None or not file.commands("ExecStart"):
            return None
        if service is None:
            service = self._services[name] = Service(self._power, file, self.act)
        if unknown := file.unknown():
            self._power.say(f"{name}: not simulated: {', '.join(unknown)}")
        service.file = file
        return service

    def _each(
        self, names: list[str], what: Callable[[Service, Callable[[], None]], None], reply: Reply
    ) -> None:
        """Do something to those services that exist; reply when all are done."""
        services = [self._services[name] for name in names if name in self._services]
        left = len(services)
        if not left:
            reply(0, "")

        def one_done() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                reply(0, "")

        for service in services:
            what(service, one_done)

    def _tell(self, verb: str, names: list[str]) -> tuple[int, str]:
        """Answer a question about units."""
        states = []
        for name in names:
            service = self._find(name)
            usual = "active" if name in OF_THE_IMAGE else "inactive"
            states.append(service.state if service else usual)
        if verb == "is-active":
            return (0 if states and all(s == "active" for s in states) else 3), "\n".join(states)
        if verb == "is-failed":
            return (0 if "failed" in states else 1), "\n".join(states)
        if verb == "status":
            lines = [f"{name}: {state}" for name, state in zip(names, states, strict=True)]
            return (0 if all(s == "active" for s in states) else 3), "\n".join(lines)
        return 1, f"Unknown command verb '{verb}', or one that the stand-in does not know."


def _full(name: str) -> str:
    return (
        name
        if Path(name).suffix in {".service", ".socket", ".target", ".timer"}
        else f"{name}.service"
    )
