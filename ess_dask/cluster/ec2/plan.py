"""What is to be launched, settled and checked before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from ess_dask.cluster.ec2.find import Place
from ess_dask.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """An instance type: its name, cores, memory (bytes) and architecture (x86_64, arm64)."""

    name: str
    cpus: int
    memory: int
    architecture: str


@dataclass(frozen=True, slots=True)
class Network:
    """Where machines are put. ``private``: without a public address."""

    vpc: str
    subnet: str
    private: bool


@dataclass(frozen=True, slots=True)
class Software:
    """What runs on a machine. ``requirements`` '' means that the docker image holds it all.

    ``ami`` is the machine image, ``root`` the name of its first disk, ``disk`` GiB.
    """

    ami: str
    root: str
    disk: int
    image: str
    requirements: str


@dataclass(frozen=True, slots=True)
class Processes:
    """How a worker machine is used: processes, threads of each (0 all), bytes of each (0 all)."""

    number: int = 1
    threads: int = 0
    memory_limit: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Machines to be launched. ``workers`` are their names; ``idle_timeout`` is in seconds.

    ``group`` is the security group, '' while it is not made. ``profile`` is an instance profile in
    the form of RunInstances, empty for none. ``batch`` marks what this one command launches,
    ``stop`` the stop that ended the workers which these replace.
    """

    place: Place
    kind: Kind
    network: Network
    software: Software
    workers: tuple[str, ...]
    spot: bool
    idle_timeout: float
    batch: str
    stop: str = ""
    group: str = ""
    profile: Mapping[str, str] = field(default_factory=dict)
    processes: Processes = field(default_factory=Processes)

    def tags(self, role: str, worker: str = "") -> dict[str, str]:
        """Return the tags of a machine and its disk, which it has from the first moment on."""
        return {
            **group_tags(self.place),
            "Name": "-".join(filter(None, (self.place.name, worker or role))),
            "ess:role": role,
            "ess:worker": worker,
            "ess:batch": self.batch,
            **({"ess:stop": self.stop} if self.stop else {}),
            "ess:idle-timeout": f"{self.idle_timeout:g}",
            "ess:image": "" if self.software.requirements else self.software.image,
        }


def group_tags(place: Place) -> dict[str, str]:
    """Return the tags by which everything of a cluster is found."""
    return {"ess:cluster": place.name, "ess:owner": place.owner}


def as_tags(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return tags in the form of AWS."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
