"""The power buttons: what the API says about an instance happens to a machine, and the reverse."""

from __future__ import annotations

import base64
import itertools
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import field
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError
from ess_dask.testing.ec2 import moto_state
from ess_dask.testing.ec2.faults import Faults
from ess_dask.testing.ec2.machine import Machine, Place, Run
from ess_dask.testing.ec2.metadata import Metadata, spot_notice
from ess_dask.testing.ec2.network import Addresses
from ess_dask.testing.ec2.status import REBOOT

_BEHAVIOUR = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
_POWER_CUT = "Server.InternalError: Internal error on launch"
_SPOT = "Server.SpotInstanceTermination: Spot Instance termination"


@dataclass(slots=True)
class Cloud:
    """All machines. ``lock`` guards moto's instances; ``sync`` is called with it held."""

    place: Place
    faults: Faults
    trace: bool = False
    off_seconds: float = 20.0
    lock: threading.RLock = field(default_factory=threading.RLock)
    machines: dict[str, Machine] = field(default_factory=dict)
    _cables: Any = field(default_factory=lambda: itertools.count(1))
    _started: float = field(default_factory=time.monotonic)

    def sync(self) -> None:
        """Start what moto calls running and stop what it calls stopped or terminated."""
        for instance in moto_state.instances():
            machine = self.machines.get(instance.id)
            wakes = instance.state == "running" and (machine is None or not machine.wanted)
            if wakes and self.faults.powered:
                self._switch_on(instance, machine)
            elif machine and (
                instance.state == "terminated" or (instance.state == "stopped" and machine.wanted)
            ):
                self._switch_off(instance, machine)

    def reboot(self, instance_ids: list[str]) -> None:
        """Restart machines; their addresses stay."""
        for instance_id in instance_ids:
            if machine := self.machines.get(instance_id):
                _in_thread(self._reboot, machine)

    def kill(self, instance_id: str) -> None:
        """Cut the power of a machine; EC2 then does as its shutdown behaviour says."""
        self.machine(instance_id).pull_plug()

    def warn(self, instance_id: str, seconds: float, action: str) -> None:
        """Give a spot notice; the instance is interrupted when the time is over."""
        machine = self.machine(instance_id)
        machine.metadata.notice = spot_notice(action, seconds)
        self._say(machine, f"spot notice: {action} in {seconds:g} s")
        timer = threading.Timer(seconds, self._interrupt, [machine, action])
        timer.daemon = True
        timer.start()

    def reset(self) -> None:
        """Cut the power of all machines, wait until they are gone, and forget them."""
        with self.lock:
            machines = list(self.machines.values())
            self.machines.clear()
            for machine in machines:
                machine.wanted = False
        for machine in machines:
            with machine.changing:
                if machine.run:
                    machine.run.asked_off = True
                    machine.pull_plug()
                    machine.run.process.wait(self.off_seconds)
            machine.wipe()
            machine.console.unlink(missing_ok=True)

    def machine(self, instance_id: str) -> Machine:
        """Return the machine of an instance; raises ``KeyError``."""
        machine = self.machines.get(instance_id)
        if machine is None:
            raise KeyError(f"there is no machine of {instance_id}")
        return machine

    def _switch_on(self, instance: Any, machine: Machine | None) -> None:
        moto_state.set_state(instance, "pending")
        if machine is None:
            encoded = str(instance.user_data or "")
            about = Metadata(instance.id, base64.b64decode(encoded))
            machine = Machine(instance.id, self.place, self.off_seconds, about)
            self.machines[instance.id] = machine
        machine.wanted = True
        machine.metadata.notice = ""
        _in_thread(self._boot, machine, self.faults.pending_seconds)

    def _switch_off(self, instance: Any, machine: Machine) -> None:
        final = instance.state
        moto_state.set_state(instance, "stopping" if final == "stopped" else "shutting-down")
        machine.wanted = False
        if final == "terminated":
            del self.machines[instance.id]
        _in_thread(self._power_off, machine, instance, final)

    def _boot(self, machine: Machine, pending: float = 0.0) -> None:
        time.sleep(pending)
        instance = moto_state.find(machine.instance_id)
        with machine.changing:
            if not machine.wanted or instance is None:
                return
            begin = time.monotonic()
            addresses = Addresses(
                instance.private_ip, instance.public_ip or "", moto_state.block_of(instance)
            )
            cable = f"ve{next(self._cables)}"
            try:
                run = machine.boot(cable, addresses, self.faults.minute_seconds)
            except (OSError, EssError) as error:
                self._say(machine, f"boot failed: {error}")
                self._end(machine, instance, "terminate", _POWER_CUT)
                return
            self._say(machine, f"on after {time.monotonic() - begin:.2f} s, {addresses}")
            with self.lock:
                if instance.state == "pending":
                    moto_state.set_state(instance, "running")
        _in_thread(self._watch, machine, run)

    def _power_off(self, machine: Machine, instance: Any, final: str) -> None:
        with machine.changing:
            machine.power_off()
            self._say(machine, f"off: {final}")
            if final == "terminated":
                machine.wipe()
            with self.lock:
                if final == "terminated" or instance.state == "stopping":
                    moto_state.set_state(instance, final)

    def _reboot(self, machine: Machine) -> None:
        with machine.changing:
            machine.power_off()
        self._boot(machine)

    def _watch(self, machine: Machine, run: Run) -> None:
        """Wait until a machine goes off by itself, and tell EC2."""
        status = run.wait()
        instance = moto_state.find(machine.instance_id)
        if run.asked_off or instance is None:
            return
        if status == REBOOT:
            self._say(machine, "restarts by itself")
            _in_thread(self._boot, machine)
            return
        self._say(machine, f"went off by itself (status {status})")
        how = instance.instance_initiated_shutdown_behavior
        self._end(machine, instance, how, _BEHAVIOUR if status == 0 else _POWER_CUT)

    def _interrupt(self, machine: Machine, action: str) -> None:
        if instance := moto_state.find(machine.instance_id):
            how = "stop" if action == "stop" else "terminate"
            self._end(machine, instance, how, _SPOT)

    def _end(self, machine: Machine, instance: Any, how: str, reason: str) -> None:
        """Stop or terminate an instance that nobody stopped or terminated meanwhile."""
        with self.lock:
            if machine.wanted and self.machines.get(instance.id) is machine:
                moto_state.end(instance, how, reason)
                self.sync()

    def _say(self, machine: Machine, text: str) -> None:
        machine.say(text)
        if self.trace:
            at = time.monotonic() - self._started
            print(f"[ec2 {at:7.2f}] {machine.instance_id} {text}", file=sys.stderr, flush=True)  # noqa: T201


def _in_thread(work: Callable[..., None], *given: Any) -> None:
    threading.Thread(target=work, args=given, daemon=True).start()
