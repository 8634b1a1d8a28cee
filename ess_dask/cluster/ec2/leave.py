"""Taking workers out of a cluster that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.find import Cluster, Machine
from ess_dask.cluster.ec2.removal import end_machines
from ess_dask.cluster.verbs import Say, counted
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client


def remove_workers(found: Cluster, chosen: Sequence[Machine], say: Say) -> None:
    """Move what the chosen machines hold to the others, then end them.

    Raises ``UsageError`` for the scheduler's machine and for the last workers while they hold
    something, ``TransientError`` when it does not fit elsewhere; nothing is ended then.
    """
    for machine in chosen:
        if machine.role == "scheduler":
            raise UsageError(
                f"{machine.id} is the scheduler: the cluster ends with it",
                hint="to end it: ess cluster terminate",
            )
    running = [each for each in chosen if each.state in ("pending", "running")]
    endpoint = found.endpoint() if running else None
    ec2 = client("ec2", found.place.region, found.place.credentials)
    if endpoint:
        from ess_dask.cluster.graceful import working_on_if_it_fails
        from ess_dask.cluster.machines import connect

        with connect(endpoint) as dask:
            addresses = _hand_on(dask, found, running, say)
            with working_on_if_it_fails(dask, addresses):
                end_machines(ec2, found.place, chosen)
    else:
        end_machines(ec2, found.place, chosen)
    names = ", ".join(each.id for each in chosen)
    left = len(found.workers) - len(chosen)
    say(f"removed {names}; what is left: {counted(left, 'worker')}")


def _hand_on(dask: Client, found: Cluster, leaving: Sequence[Machine], say: Say) -> list[str]:
    """Move what these machines hold; return the addresses of their workers."""
    from ess_dask.cluster.ec2.launch import joined, of_machines
    from ess_dask.cluster.graceful import before_removal

    addresses = of_machines(dask, leaving)
    if addresses and not set(joined(dask)) - set(addresses):
        if any(dask.has_what(addresses).values()):
            raise UsageError(
                f"no worker of {found.place} would be left for what {', '.join(addresses)} holds",
                hint="drop the tables first; or to end the cluster: ess cluster terminate",
            )
        return addresses
    before_removal(dask, addresses, say)
    return addresses
