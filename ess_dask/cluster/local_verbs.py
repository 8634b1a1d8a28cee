"""The verbs of ``ess cluster`` for the local cluster, so that a script can be tried at home.

A worker is a process; its id is its name (``0``, ``1`` ...). Only ``create``, ``add`` and
``remove`` import Dask.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.cluster import local
from ess_dask.cluster.local import attach, connect, find
from ess_dask.cluster.process import session_memory
from ess_dask.cluster.state import DaemonState, daemon_folder
from ess_dask.cluster.verbs import (
    Confirm,
    CreateRequest,
    MachineState,
    Say,
    counted,
    other_idle_time,
)
from ess_dask.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from ess_dask.cluster.options import LocalOptions

LOOPBACK = "127.0.0.1"


def create(request: CreateRequest, say: Say) -> None:
    """Start the daemon with ``request.number`` workers, or with ``request.add`` so many more.

    Raises ``UsageError`` for none, and when it runs with another number or idle time. What
    describes machines (``type``, ``spot``, ``image``, ``ami``) means nothing here, and is said to.
    """
    without = [name for name in ("type", "spot", "image", "ami") if getattr(request, name)]
    if without:
        say(f"without meaning for a local cluster: {', '.join(without)}")
    number = 1 if request.number is None else request.number
    if not number and not request.add:
        raise UsageError(
            "a local cluster has at least one worker",
            hint="--number 1; a scheduler alone, whose workers come later, is for machines: "
            "ess cluster set ec2",
        )
    state = attach()
    if state and request.idle_timeout:
        _check_idle_time(state, request)
    if request.add:
        _start_workers(_running(state), number, (), say)
    elif state is None:
        _start(_wanted(request), say)
    elif request.number in (None, state.workers):
        _say_running(state, say)
    else:
        raise UsageError(
            f"the local cluster runs with {counted(state.workers, 'worker')}",
            hint="more workers: ess cluster create --add; to begin anew: ess cluster terminate",
        )


def add(ids: Sequence[str], say: Say) -> None:
    """Start workers that were removed again, under the names that they had."""
    state = _running(attach())
    for name in dict.fromkeys(ids):
        if name in state.members:
            say(f"worker {name} is running already")
    _start_workers(state, 0, [_number(name) for name in ids if name not in state.members], say)


def remove(ids: Sequence[str], say: Say) -> None:
    """End workers; what they hold moves to the others first, so that no row is lost.

    One that was removed before is no error. Raises ``UsageError`` for a worker that is not there
    and for the last one, ``TransientError`` when the others have no room: nothing is ended then.
    """
    from ess_dask.cluster.daemon_workers import end_workers
    from ess_dask.cluster.graceful import before_removal

    state = _running(attach())
    for name in (gone := sorted(set(ids) & set(state.removed))):
        say(f"worker {name} is removed already")
    ids = [name for name in dict.fromkeys(ids) if name not in gone]
    if not ids:
        return
    unknown = sorted(set(ids) - set(state.members))
    if unknown:
        raise UsageError(
            f"the local cluster has no worker {unknown[0]!r}", hint="see: ess cluster status"
        )
    if not set(state.members) - set(ids):
        raise UsageError(
            "no worker of the local cluster would be left",
            hint="to end it, and its tables with it: ess cluster stop",
        )
    with connect(state) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].items()
        before_removal(client, [at for at, each in workers if str(each["name"]) in ids], say)
        client.run_on_scheduler(end_workers, [_number(name) for name in ids])
    say(f"removed {', '.join(ids)}")


def stop(keep_tables: bool, say: Say) -> None:
    """Stop the daemon; its tables are lost, unless they have been saved (``keep_tables``).

    Nothing to stop is no error.
    """
    state = local.stop()
    gone = "" if state is None or keep_tables else "; its tables are gone"
    say(f"the local cluster is stopped{gone}")


def start(say: Say) -> None:
    """Start the daemon with the workers and the idle time that it was stopped with.

    Where none was stopped, with those that are set; one that runs goes on.
    """
    state = attach()
    if state is None:
        _start(_as_it_was(), say)
    else:
        _say_running(state, say)


def terminate(everything: bool, confirm: Confirm, say: Say) -> None:
    """Stop the daemon and remove its files, certificates and log included."""
    if find() is not None:
        if not confirm("End the local cluster? Its tables are lost."):
            raise InterruptedRunError("nothing was terminated")
        local.stop()
    shutil.rmtree(daemon_folder(), ignore_errors=True)
    say("the local cluster is ended")


def reset(say: Say) -> None:
    """Remove the files of a daemon that has ended; ``UsageError`` when it runs."""
    state = find()
    if state is not None:
        raise UsageError(
            f"the local cluster runs, with {counted(state.workers, 'worker')}",
            hint="ess cluster terminate",
        )
    shutil.rmtree(daemon_folder(), ignore_errors=True)
    say("the local cluster is forgotten")


def status() -> tuple[MachineState, ...]:
    """Return the daemon and its workers; none is no error.

    The daemon's id is its process id and ``memory`` what all its processes use, that of a worker is
    its limit.
    """
    state = find()
    if state is None:
        return ()
    daemon = MachineState(
        str(state.pid),
        "scheduler",
        "running",
        private_ip=LOOPBACK,
        memory=session_memory(state.pid),
        uptime=max(0, round(time.time() - state.started)),
    )
    workers = [
        MachineState(name, "worker", "running", "", LOOPBACK, cpu=threads, memory=memory or None)
        for name, (threads, memory) in state.members.items()
    ]
    return (daemon, *workers)


def iplist(private: bool) -> tuple[str, ...]:
    """Return loopback's address when the daemon runs."""
    return () if find() is None else (LOOPBACK,)


def _wanted(request: CreateRequest) -> LocalOptions:
    from ess_dask.cluster.options import options_from_settings

    options = options_from_settings(idle_timeout=request.idle_timeout)
    return options if request.number is None else replace(options, workers=request.number)


def _as_it_was() -> LocalOptions:
    options, before = _wanted(CreateRequest()), local.stopped()
    if before is None:
        return options
    return replace(options, workers=before.workers, idle_timeout=before.idle_timeout)


def _check_idle_time(state: DaemonState, request: CreateRequest) -> None:
    if other := other_idle_time(state.idle_timeout, _wanted(request).idle_timeout):
        raise UsageError(
            f"the local cluster runs with {other}",
            hint="to begin anew with it: ess cluster terminate, then create",
        )


def _say_running(state: DaemonState, say: Say) -> None:
    say(f"the local cluster runs already, with {counted(state.workers, 'worker')}")


def _start(options: LocalOptions, say: Say) -> None:
    state = local.start(options)
    say(f"the local cluster runs: pid {state.pid}, {counted(state.workers, 'worker')}")
    idle = f"after {state.idle_timeout:.0f} s without clients and tables"
    ends = idle if state.idle_timeout else "never"
    say(f"it costs nothing, and ends {ends} by itself; end it with: ess cluster stop")


def _start_workers(state: DaemonState, count: int, numbers: Sequence[int], say: Say) -> None:
    from ess_dask.cluster.daemon_workers import start_workers

    if not count and not numbers:
        return
    with connect(state) as client:
        found = client.run_on_scheduler(start_workers, count, list(numbers))
    for number in set(numbers) - set(found):
        # Another command was faster.
        say(f"worker {number} is running already")
    if found:
        say(f"started {', '.join(map(str, found))}: {counted(_running(find()).workers, 'worker')}")


def _running(state: DaemonState | None) -> DaemonState:
    if state is None:
        raise UsageError("the local cluster does not run", hint="start it: ess cluster create")
    return state


def _number(name: str) -> int:
    if not name.isdecimal():
        raise UsageError(
            f"{name!r} is no name of a local worker: they are numbers",
            hint="see: ess cluster status",
        )
    return int(name)
