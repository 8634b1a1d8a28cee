"""One machine: the processes, the disk and the cable behind an instance of EC2.

The methods that switch it may block; each is called in a thread that then ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import field
from pathlib import Path

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError
from ess_dask.testing.ec2 import metadata, network

REBOOT = 64
"""The exit status of a guest that wants to be started again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where machines are kept: their disks and consoles, the layer of shims, visible folders."""

    disks: Path
    consoles: Path
    shims: Path
    visible: tuple[str, ...]
    outer_network: int


@dataclass(slots=True)
class Run:
    """One time that a machine was on, from its boot until its processes are gone."""

    process: subprocess.Popen[bytes]
    end_metadata: Callable[[], None]
    asked_off: bool = False

    def wait(self) -> int:
        """Wait until it is over; return the status of the guest's first process."""
        status = self.process.wait()
        self.end_metadata()
        return status


@dataclass(slots=True)
class Machine:
    """A machine that is off at first.

    ``wanted`` says whether it is to be on; ``changing`` is held while it is switched on or off.
    """

    instance_id: str
    place: Place
    off_seconds: float
    metadata: metadata.Metadata
    changing: threading.Lock = field(default_factory=threading.Lock)
    wanted: bool = True
    guest: int = 0
    cable: str = ""
    run: Run | None = None

    @property
    def on(self) -> bool:
        """Return whether its processes run."""
        return self.run is not None and self.run.process.poll() is None

    @property
    def console(self) -> Path:
        """Return the file with all that it printed."""
        return self.place.consoles / f"{self.instance_id}.log"

    def boot(self, cable: str, addresses: network.Addresses, minute: float = 60.0) -> Run:
        """Switch it on; returns when its disk is ready. This thread moves to its network.

        ``minute`` are the seconds that a minute of ``shutdown`` lasts in it.
        """
        self.cable = cable
        listening = network.plug_in(cable, addresses, self.place.outer_network)
        end_metadata = metadata.serve(listening, self.metadata)
        read, write = os.pipe()
        try:
            self.run = Run(self._start(write, addresses, minute), end_metadata)
        finally:
            os.close(write)
        with os.fdopen(read) as news:
            self.guest = int(news.readline() or 0)
            (self.place.disks / self.instance_id / "pid").write_text(str(self.guest))
            ready = news.readline()
        if ready != "ready\n":
            self.pull_plug()
            self.run.wait()
            raise EssError(f"{self.instance_id} did not boot; its console is {self.console}")
        return self.run

    def power_off(self) -> None:
        """Press the button; who does not go off in time has the plug pulled."""
        if self.run is None:
            return
        self.run.asked_off = True
        self.run.process.send_signal(signal.SIGTERM)
        try:
            self.run.process.wait(self.off_seconds)
        except subprocess.TimeoutExpired:
            self.say("does not go off: the plug is pulled")
            self.pull_plug()
            self.run.process.wait()

    def pull_plug(self) -> None:
        """Kill all its processes, without a word."""
        if self.run:
            self.run.process.kill()

    def wipe(self) -> None:
        """Delete its disk. The console stays."""
        shutil.rmtree(self.place.disks / self.instance_id, ignore_errors=True)

    def say(self, text: str) -> None:
        """Write a line of the machine itself onto its console."""
        with self.console.open("a") as console:
            console.write(f"[machine] {time.strftime('%H:%M:%S')} {text}\n")

    def _start(
        self, news: int, addresses: network.Addresses, minute: float
    ) -> subprocess.Popen[bytes]:
        disk = self.place.disks / self.instance_id
        disk.mkdir(parents=True, exist_ok=True)
        (disk / "user-data").write_bytes(self.metadata.user_data)
        spec = {
            "instance_id": self.instance_id,
            "disk": str(disk),
            "shims": str(self.place.shims),
            "visible": self.place.visible,
            "private": addresses.private,
            "news": news,
            "minute": minute,
        }
        with self.console.open("ab") as console:
            return subprocess.Popen(
                [sys.executable, "-m", "ess_dask.testing.ec2.instance", json.dumps(spec)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[news],
                cwd="/",
                start_new_session=True,
            )
