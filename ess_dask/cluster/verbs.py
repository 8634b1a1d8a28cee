"""The verbs of ``ess cluster`` whatever the kind of cluster: what they take and what they give.

A kind has a module of plain functions, named as the verbs; one that it lacks does not apply to it:

    create(request: CreateRequest, say)      start(say)
    add(ids, say)                            stop(keep_tables, say)
    remove(ids, say)                         reset(say)
    terminate(everything, confirm, say)      status() -> tuple[MachineState, ...]
                                             iplist(private) -> tuple[str, ...]

``say`` tells a person one line. None of them but ``create``, ``add`` and ``remove`` imports Dask.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ess_dask.cluster.choice import chosen
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

Say = Callable[[str], None]
"""Tells a person one line."""

Confirm = Callable[[str], bool]
"""Asks a person a question that is answered with yes or no."""

_MODULES = {
    "local": "ess_dask.cluster.local_verbs",
    "ec2": "ess_dask.cluster.ec2.verbs",
    "custom": "ess_dask.cluster.custom.verbs",
}


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """What ``ess cluster create`` was told; '' and None were not given.

    ``number`` is that of the workers (with ``add``: of those that join), ``type`` the instance
    type, ``image`` a docker image, ``ami`` a machine image, ``idle_timeout`` a duration as it is
    written in settings (``90s``, ``1h30m``, ``0`` is never).
    """

    number: int | None = None
    type: str = ""
    add: bool = False
    spot: bool = False
    image: str = ""
    ami: str = ""
    idle_timeout: str = ""


@dataclass(frozen=True, slots=True)
class MachineState:
    """One machine of a cluster; '' and None are not known or do not apply.

    ``role`` is ``scheduler`` or ``worker``; ``memory`` and ``disk`` are bytes, ``idle`` and
    ``uptime`` seconds, ``price`` US dollars per hour.
    """

    id: str
    role: str
    state: str
    public_ip: str = ""
    private_ip: str = ""
    cpu: int | None = None
    memory: int | None = None
    disk: int | None = None
    reservation: str = ""
    idle: int | None = None
    uptime: int | None = None
    price: float | None = None


def verb(name: str, kind: str = "") -> Callable[..., Any]:
    """Return the function of a verb for ``kind``, '' is the one in force.

    Raises ``UsageError`` when the verb does not apply to that kind.
    """
    kind = chosen(kind)
    module = _MODULES.get(kind)
    found = getattr(import_module(module), name, None) if module else None
    if found is None:
        raise UsageError(
            f"{name!r} does not apply to a {kind} cluster",
            hint="ess cluster set ec2, or --profile NAME, chooses another kind",
        )
    function: Callable[..., Any] = found
    return function


def other_idle_time(has: float, wanted: float) -> str:
    """Return what is said of an idle time (seconds) that was asked for and is another; '' for the
    same."""
    from ess_dask.documents.fields import show_seconds

    if has == wanted:
        return ""
    shown = [show_seconds(each) if each else "0" for each in (has, wanted)]
    return f"--idle-timeout {shown[0]}, not {shown[1]}"


def counted(number: int, what: str) -> str:
    """Return ``1 machine`` or ``2 machines``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
