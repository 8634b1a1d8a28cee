"""Waiting for a scheduler that boots, as long as its machine lives."""

from __future__ import annotations

import time

from ess_dask.cluster.ec2.errors import ended
from ess_dask.cluster.ec2.find import PORT, Machine, Place, find_cluster
from ess_dask.cluster.probing import address_of, await_answer
from ess_dask.errors import TransientError

ANSWER_SECONDS = 300.0
"""How long a scheduler that boots may take until it answers."""

_LOOK_SECONDS = 5.0


def await_scheduler(place: Place, scheduler: Machine, seconds: float = ANSWER_SECONDS) -> str:
    """Return the host of a scheduler as soon as it answers.

    Raises ``TransientError`` when its machine ends meanwhile or the time is over.
    """
    host = scheduler.public_ip or scheduler.private_ip
    look = time.monotonic() + _LOOK_SECONDS

    def check_alive() -> None:
        nonlocal look
        if time.monotonic() < look:
            return
        look = time.monotonic() + _LOOK_SECONDS
        if scheduler.id not in {each.id for each in find_cluster(place).machines}:
            raise ended(scheduler.id, "terminated")

    if not await_answer(address_of(host, PORT), seconds, check_alive):
        raise TransientError(
            f"{place}: the scheduler does not answer at {host}:{PORT}",
            hint="is this the address you connect from (ESS_MY_ADDRESS)? "
            "then: ess cluster terminate, and create",
        )
    return host
