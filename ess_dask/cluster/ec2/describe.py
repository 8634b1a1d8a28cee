"""What ``ess cluster status`` shows of machines: their type, disks, price and times."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from ess_dask.cluster.ec2.aws import client, pages
from ess_dask.cluster.ec2.errors import asking
from ess_dask.cluster.ec2.find import Cluster, Machine
from ess_dask.cluster.ec2.idle import idle_seconds
from ess_dask.cluster.ec2.plan import Kind, group_tags
from ess_dask.cluster.ec2.prepare import GIB, find_kinds
from ess_dask.cluster.ec2.prices import known_price
from ess_dask.cluster.verbs import MachineState


def describe(found: Cluster, now: datetime) -> tuple[MachineState, ...]:
    """Return what EC2 says of each machine; idle time is the scheduler's, asked of itself."""
    ec2 = client("ec2", found.place.region, found.place.credentials)
    kinds = find_kinds(ec2, found.place, (each.type for each in found.machines))
    disks = _disks(ec2, found)
    return tuple(
        _state(each, kinds[each.type], disks[each.id], found, now) for each in found.machines
    )


def _state(machine: Machine, kind: Kind, disk: int, found: Cluster, now: datetime) -> MachineState:
    running = machine.state == "running"
    return MachineState(
        id=machine.id,
        role=machine.role,
        state=machine.state,
        public_ip=machine.public_ip,
        private_ip=machine.private_ip,
        cpu=kind.cpus,
        memory=kind.memory,
        disk=disk or None,
        reservation=machine.reservation,
        idle=idle_seconds(found) if running and machine.role == "scheduler" else None,
        uptime=round((now - machine.launched).total_seconds()) if running else None,
        price=known_price(found.place.region, machine.type, machine.spot),
    )


def _disks(ec2: Any, found: Cluster) -> dict[str, int]:
    """Return the bytes of the disks of each machine."""
    sizes: dict[str, int] = defaultdict(int)
    filters = [
        {"Name": f"tag:{key}", "Values": [value]} for key, value in group_tags(found.place).items()
    ]
    with asking("ec2:DescribeVolumes", str(found.place)):
        answer = pages(ec2.describe_volumes, Filters=filters)
        for volume in (each for page in answer for each in page["Volumes"]):
            for attached in volume["Attachments"]:
                sizes[attached["InstanceId"]] += int(volume["Size"]) * GIB
    return sizes
