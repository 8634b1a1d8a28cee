"""User data: what a machine is told when it boots, as a compressed cloud-config.

It holds the certificate and key of that machine's role and nothing else that is secret: not the
client's key, no environment variable, no Dask configuration of the user.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from ess_dask.cluster.ec2.find import PORT
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError

LIMIT = 16_384
"""Bytes that EC2 takes as user data."""

BOOT_MINUTES = 30
"""A machine whose service does not run by then goes off by itself, which ends it."""

JOIN_SECONDS = 600
"""How long a worker looks for its scheduler before it gives up, which ends its machine."""

SPOT_POLL_SECONDS = 5

OPEN_FILES = 65_536
"""What a process on a machine may have open: a scheduler has three connections to each worker."""

_UNIT = """[Unit]
Description=ess {role}
After=network-online.target docker.service
Wants=network-online.target docker.service
StartLimitIntervalSec=1d
StartLimitBurst=5
StartLimitAction=poweroff
SuccessAction=poweroff

[Service]
ExecStartPre=-/usr/bin/env docker rm -f ess
ExecStart=/usr/bin/env docker run {options} --name ess {image} python -m {command}
ExecStartPost=-/usr/bin/env shutdown -c
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""

_INSTALL_DOCKER = """set -e
command -v docker >/dev/null || dnf install -y docker || (apt-get update && apt-get install -y docker.io)
systemctl enable --now docker
mkdir -p /opt/ess/home
"""  # noqa: E501 - one command

_INSTALL_PACKAGES = """for try in 1 2 3; do
  docker run {options} {image} python -m pip install --no-deps --target /opt/ess/lib \
-r /etc/ess/requirements.txt && break
  sleep 5
done
test -d /opt/ess/lib/distributed
"""

# Before the service, whose begin calls the switching-off off: a registry that hangs must not.
_PULL = """docker image inspect {image} >/dev/null 2>&1 || docker pull {image}
"""

_START = """systemctl daemon-reload
systemctl enable --now ess.service
"""


@dataclass(frozen=True, slots=True)
class Boot:
    """What one machine becomes. ``scheduler`` is the address a worker joins, '' for a scheduler.

    ``requirements`` '' means that ``image`` holds the software. ``tls`` is the folder of the
    cluster's certificates. ``idle_timeout`` is in seconds, 0 never; ``threads`` 0 is all cores;
    ``memory_limit`` in bytes, 0 is the machine's.
    """

    role: str
    image: str
    requirements: str
    tls: Path
    name: str = ""
    scheduler: str = ""
    idle_timeout: float = 3600.0
    processes: int = 1
    threads: int = 0
    memory_limit: int = 0
    spot: bool = False


def user_data(boot: Boot) -> bytes:
    """Return the user data of a machine, gzip; ``ConfigError`` when EC2 would not take it."""
    files = [
        _file("/etc/ess/ca.pem", (boot.tls / "ca.pem").read_text()),
        _file("/etc/ess/node.pem", (boot.tls / f"{boot.role}.pem").read_text(), "0600"),
        _file("/etc/ess/dask/dask.yaml", json.dumps(_dask_configuration(boot))),
        _file("/etc/ess/preload.py", Path(__file__).with_name("preload.py").read_text()),
        _file("/etc/ess/boot.sh", _boot_script(boot)),
        _file("/etc/systemd/system/ess.service", _unit(boot)),
    ]
    if boot.requirements:
        files.append(_file("/etc/ess/requirements.txt", boot.requirements))
    if boot.role == "worker":
        files.append(_file("/etc/ess/worker.json", json.dumps(_workers(boot))))
    config = {
        "write_files": files,
        "runcmd": [
            f"shutdown -P +{BOOT_MINUTES} || true",
            "sh /etc/ess/boot.sh || shutdown -P now",
        ],
    }
    text = f"#cloud-config\n{json.dumps(config)}"
    packed = gzip.compress(text.encode(), mtime=0)
    if len(packed) > LIMIT:
        raise ConfigError(
            f"the user data of a machine is {len(packed):,} bytes, EC2 takes {LIMIT:,}",
            hint="the list of packages is too long: use a docker image with them (--image)",
        )
    return packed


def _file(path: str, content: str, mode: str = "0644") -> dict[str, str]:
    return {"path": path, "content": content, "permissions": mode}


def _boot_script(boot: Boot) -> str:
    install = _INSTALL_PACKAGES.format(options=_docker_options(), image=boot.image)
    pull = _PULL.format(image=boot.image)
    return _INSTALL_DOCKER + pull + (install if boot.requirements else "") + _START


def _docker_options() -> str:
    volumes = "-v /etc/ess:/etc/ess:ro -v /opt/ess:/opt/ess"
    variables = "-e DASK_CONFIG=/etc/ess/dask -e PYTHONPATH=/opt/ess/lib"
    # What commands and files leave at home stays over a restart of the container.
    variables += " -e HOME=/opt/ess/home"
    # Docker's own limit is another one on each kind of machine, down to 1,024.
    limit = f"--ulimit nofile={OPEN_FILES}:{OPEN_FILES}"
    return f"--rm --init --network=host --user 0 {limit} {volumes} {variables}"


def _unit(boot: Boot) -> str:
    if boot.role == "scheduler":
        command = f"distributed.cli.dask_scheduler --port {PORT} --no-dashboard"
    else:
        command = f"distributed.cli.dask_spec {boot.scheduler} --spec-file /etc/ess/worker.json"
    options = _docker_options()
    return _UNIT.format(role=boot.role, options=options, image=boot.image, command=command)


def worker_names(name: str, processes: int) -> tuple[str, ...]:
    """Return the names in Dask of the worker processes of one machine."""
    return tuple(f"{name}-{number}" for number in range(processes)) if processes > 1 else (name,)


def _workers(boot: Boot) -> dict[str, Any]:
    """Return the processes of a worker machine, in the form of ``dask_spec``."""
    options: dict[str, Any] = {"death_timeout": f"{JOIN_SECONDS} s", "dashboard": False}
    if boot.threads:
        options["nthreads"] = boot.threads
    if boot.memory_limit:
        options["memory_limit"] = boot.memory_limit
    return {
        name: {"cls": "distributed.Nanny", "opts": {"name": name, **options}}
        for name in worker_names(boot.name, boot.processes)
    }


def _dask_configuration(boot: Boot) -> dict[str, Any]:
    certificates = {
        "ca-file": "/etc/ess/ca.pem",
        "min-version": 1.3,
        boot.role: {"cert": "/etc/ess/node.pem"},
    }
    idle = f"{boot.idle_timeout:g} s" if boot.idle_timeout else None
    served = {"http": {"routes": []}, "preload": ["/etc/ess/preload.py"]}
    return {
        "ess": {"spot-poll": SPOT_POLL_SECONDS if boot.spot else None},
        "temporary-directory": "/opt/ess/scratch",
        "distributed": {
            "comm": {"require-encryption": True, "default-scheme": "tls", "tls": certificates},
            "scheduler": {**served, "idle-timeout": idle},
            "worker": {**served, "multiprocessing-method": "spawn"},
        },
    }
