"""All of the stand-in, inside its namespaces: network, AWS's interfaces, machines."""

from __future__ import annotations

import logging
import os
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.testing.ec2 import kernel, moto_state, namespace, network, rootfs, shims
from ess_dask.testing.ec2.cloud import Cloud
from ess_dask.testing.ec2.faults import Faults
from ess_dask.testing.ec2.gateway import Gateway
from ess_dask.testing.ec2.machine import Place

PORT = 5000
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
REGION = "us-east-1"
URL = f"http://{network.ADDRESS}:{PORT}"
"""Where client and instances find all services of AWS."""

ENV = {
    "AWS_ENDPOINT_URL": URL,
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "ESS_MY_ADDRESS": network.ADDRESS,
}
"""The environment of a client; the keys are the documents' example and of no worth anywhere."""


@dataclass(frozen=True, slots=True)
class Running:
    """A stand-in that runs: its machines and its door."""

    folder: Path
    cloud: Cloud
    gateway: Gateway

    def reset(self) -> None:
        """Terminate everything and forget everything, as if just started."""
        self.gateway.reset()
        self.cloud.reset()
        with self.cloud.lock:
            moto_state.reset()


@contextmanager
def running(folder: Path, outside: str, *, trace: bool = False) -> Iterator[Running]:
    """Start everything in this process's network, which has to be private; shut the door after.

    ``outside`` is the network namespace that this one was made from; see ``require_private``.
    """
    namespace.require_private(outside)
    _check_name(folder)
    place = _make_place(folder)
    network.make_bridge()
    faults = Faults()
    cloud = Cloud(place, faults, trace)
    # Moto reads these when it is imported.
    os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "true"
    gateway = Gateway(ACCESS_KEY, faults, cloud.lock, cloud.sync, cloud.reboot)
    # The first request waits for it, but nobody else does.
    threading.Thread(target=gateway.warm_up, args=[REGION], daemon=True).start()
    door = _open_door(gateway)
    (folder / "environment").write_text(exports())
    try:
        yield Running(folder, cloud, gateway)
    finally:
        # The machines end with the first process of these namespaces, which ends after this.
        door.shutdown()
        door.server_close()


def exports() -> str:
    """Return lines for a shell's ``eval``."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in ENV.items())


def _make_place(folder: Path) -> Place:
    for name in ("disks", "consoles", "shims"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shims.lay_out(folder / "shims")
    # Of its own file system: an overlay cannot keep its changes on every other.
    kernel.mount("tmpfs", folder / "disks", "tmpfs", data="mode=755")
    outer = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    visible = rootfs.interpreter_paths()
    return Place(folder / "disks", folder / "consoles", folder / "shims", visible, outer)


def _open_door(gateway: Gateway) -> Any:
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Given a socket, the server does not ask for the name of its own address: nobody would answer.
    with socket.create_server((network.ADDRESS, PORT), backlog=128) as listening:
        door = make_server(
            network.ADDRESS,
            PORT,
            gateway,
            threaded=True,
            request_handler=MotoRequestHandler,
            fd=listening.fileno(),
        )
    threading.Thread(target=door.serve_forever, args=[0.05], daemon=True).start()
    return door


def _check_name(folder: Path) -> None:
    if set(str(folder)) & set(",:\\"):
        raise UsageError(
            f"the EC2 stand-in cannot keep its disks in {folder}",
            hint="take a folder whose path has no comma, colon or backslash",
        )
