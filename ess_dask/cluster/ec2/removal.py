"""Ending machines, by tag: it finds also what a killed command left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.errors import settled
from ess_dask.cluster.ec2.find import LIVE, Machine, Place, find_cluster
from ess_dask.cluster.ec2.security_group import delete_groups
from ess_dask.cluster.verbs import counted
from ess_dask.errors import TransientError

CHUNK = 1000
"""Instances that one request may name."""

SETTLE = 5.0
"""Seconds after which EC2 lists what was launched."""

PATIENCE = 600.0
"""Seconds that machines have to change their state."""


def remove_everything(place: Place, say: Callable[[str], None]) -> int:
    """End all machines of a cluster and delete its security groups; return how many there were."""
    ec2 = client("ec2", place.region, place.credentials)
    ended = 0

    def end_all() -> None:
        nonlocal ended
        ended += end_where(ec2, place, lambda machine: True, say)

    end_all()
    # A group in use is how a machine shows that was not listed yet.
    groups = delete_groups(ec2, place, say, end_all)
    return ended + groups


def end_where(
    ec2: Any,
    place: Place,
    which: Callable[[Machine], bool],
    say: Callable[[str], None],
    settle: float = 0.0,
) -> int:
    """End the machines of a cluster that ``which`` chooses; return how many.

    Looks again afterwards, and for ``settle`` seconds in any case: what was launched a moment ago
    may not be listed yet.
    """
    ended, ends = 0, time.monotonic() + settle
    while True:
        if found := [each for each in find_cluster(place).machines if which(each)]:
            end_machines(ec2, place, found)
            names = ", ".join(each.id for each in found)
            say(f"{counted(len(found), 'machine')} terminated: {names}")
            ended += len(found)
        elif time.monotonic() >= ends:
            return ended
        else:
            time.sleep(0.5)


def end_machines(ec2: Any, place: Place, machines: Iterable[Machine]) -> None:
    """Terminate machines and wait until they have ended."""
    ids = [machine.id for machine in machines]
    for part in chunks(ids):
        settled("ec2:TerminateInstances", str(place), ec2.terminate_instances, InstanceIds=part)
    wait_gone(place, ids)


def wait_gone(place: Place, ids: Iterable[str]) -> None:
    """Wait until none of these machines lives or is on its way down."""
    wait_while(place, set(ids), (*LIVE, "shutting-down"), "terminated")


def wait_while(place: Place, ids: set[str], states: Iterable[str], goal: str) -> None:
    """Wait while machines are in one of ``states``; ``TransientError`` when they take too long."""
    ends = time.monotonic() + PATIENCE
    while left := ids & {each.id for each in find_cluster(place, states).machines}:
        if time.monotonic() > ends:
            raise TransientError(
                f"{place}: {', '.join(sorted(left))} is not {goal} after {PATIENCE:.0f} s",
                hint="look at it, and run the command again: ess cluster status",
            )
        time.sleep(0.5)


def chunks(ids: list[str]) -> list[list[str]]:
    """Return ids in parts that one request may name."""
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
