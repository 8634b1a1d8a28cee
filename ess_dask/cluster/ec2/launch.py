"""Launching what a plan says, and waiting until Dask knows all of it; imports Dask."""

from __future__ import annotations

import asyncio
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.ec2.errors import ended, told
from ess_dask.cluster.ec2.find import Machine, Place, find_cluster
from ess_dask.cluster.ec2.plan import Plan
from ess_dask.cluster.ec2.state import tls_folder
from ess_dask.cluster.ec2.user_data import worker_names
from ess_dask.cluster.endpoint import Endpoint
from ess_dask.errors import EssError, TransientError

if TYPE_CHECKING:
    from distributed import Client

LIMIT = 1200.0
"""Seconds that machines have to boot, install and join."""

_LOOK_SECONDS = 5.0


def launch(plan: Plan, scheduler: Machine | None = None) -> None:
    """Launch the machines of a plan; returns when the scheduler answers and all are launched.

    ``scheduler`` is the machine of a cluster that runs, None launches one. What was launched when
    it fails or is interrupted is left to the caller to remove.
    """
    from ess_dask.cluster.machines import _silence

    _silence()
    try:
        with warnings.catch_warnings():
            # "taking a surprisingly long time": machines do.
            warnings.simplefilter("ignore", UserWarning)
            asyncio.run(_launch(plan, scheduler))
    except Exception as error:
        raise _cause(error, plan.place) from None


async def _launch(plan: Plan, scheduler: Machine | None) -> None:
    from ess_dask.cluster.ec2.cluster import EssCluster

    async with EssCluster(plan, tls_folder(plan.place.name), LIMIT, scheduler):
        pass


def _cause(error: BaseException, place: Place) -> BaseException:
    """Return the error behind Dask's own; AWS's are told as ours."""
    from botocore.exceptions import BotoCoreError, ClientError

    while not isinstance(error, EssError | BotoCoreError | ClientError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, BotoCoreError | ClientError):
        return told(error, "ec2:RunInstances", str(place))
    return error


def wait_for_workers(endpoint: Endpoint, plan: Plan) -> None:
    """Wait until all workers of a plan have joined and have the software of this process.

    Raises ``TransientError`` when a machine ends or the time is over, ``ConfigError`` when the
    software differs.
    """
    from ess_dask.cluster.machines import connect
    from ess_dask.cluster.versions import check_versions

    wanted = {name for each in plan.workers for name in worker_names(each, plan.processes.number)}
    with connect(endpoint, timeout=60) as client:
        ends, look = time.monotonic() + LIMIT, time.monotonic() + _LOOK_SECONDS
        while missing := wanted - set(joined(client).values()):
            now = time.monotonic()
            if now > ends:
                raise TransientError(
                    f"{plan.place}: {', '.join(sorted(missing))} did not join in {LIMIT:.0f} s",
                    hint="what the machine printed: EC2 console, Get system log",
                )
            if now > look:
                _check_alive(plan)
                look = now + _LOOK_SECONDS
            time.sleep(0.25)
        check_versions(client, endpoint)


def joined(client: Client) -> dict[str, str]:
    """Return the workers that a scheduler knows: address and name."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {str(address): str(worker["name"]) for address, worker in workers.items()}


def of_machines(client: Client, machines: Iterable[Machine]) -> list[str]:
    """Return the addresses in Dask of the worker processes on these machines."""
    hosts = {machine.private_ip for machine in machines}
    return sorted(
        address
        for address in joined(client)
        if address.removeprefix("tls://").rpartition(":")[0] in hosts
    )


def _check_alive(plan: Plan) -> None:
    gone = ("shutting-down", "terminated", "stopping", "stopped")
    for machine in find_cluster(plan.place, gone).machines:
        ours = machine.role == "scheduler" or machine.worker in plan.workers
        if ours and machine.tags.get("ess:batch") == plan.batch:
            raise ended(machine.id, machine.state)


@contextmanager
def interruptible(clean_up: Callable[[], Any], say: Callable[[str], None]) -> Iterator[None]:
    """Call ``clean_up`` when the block fails or is interrupted, by SIGTERM and SIGHUP too."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    except BaseException as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        say(f"{why}: ending what was launched; if that is interrupted: ess cluster terminate")
        clean_up()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt
