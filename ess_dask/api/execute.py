"""``ess exec`` as a call: a command on every worker, or once here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ess_dask.api.stream import (
    StreamListener,
    StreamOptions,
    StreamReport,
    deliver,
    destination,
    node_words,
)
from ess_dask.catalog.model import Datastore
from ess_dask.clean.protocol import StepContext
from ess_dask.cluster.machines import is_remote
from ess_dask.cluster.nodes import Node, one_of_each
from ess_dask.engine.destinations import refuse_one_for_all
from ess_dask.engine.stream import Output, Spool, StreamJob, run_once
from ess_dask.errors import WorkerLostError
from ess_dask.records.spec import ReadSpec
from ess_dask.settings import load_settings
from ess_dask.spool import spool_folder
from ess_dask.udb.programs.inside import find_program

Say = Callable[[str], None]

_LINE_BYTES = 1 << 20
"""No more of a line is held in memory."""


def execute(
    command: str,
    target: BinaryIO,
    say: Say = lambda text: None,
    *,
    debug: bool = False,
    out: str = "",
    master: bool = False,
) -> StreamReport:
    """Run a command on every machine of the cluster, or once here (``ess exec``).

    Here is where the workers see this machine, and with ``master``. Outputs go to ``target``, whole
    and in the order of the workers; those of other machines with the worker's name before each
    line. With ``out`` (``LABEL:PATH``) they go to that place instead. ``say`` is told what commands
    wrote to stderr. A command that fails is named in the report; what it printed before stands in
    ``target``, but nothing of it goes to ``out``.
    """
    store, path = destination(out)
    with spool_folder("exec") as spool:
        job = StreamJob(
            store=Datastore("local", str(Path.cwd())),
            read=ReadSpec(columns=()),
            command=command,
            spool=spool,
            words=node_words(1),
            context=StepContext.of_user(),
            out=store,
            out_path=path,
            find_program=find_program,
        )
        kind = load_settings().cluster
        if master or not is_remote(kind):
            outputs: Iterator[Output] = iter((run_once(job),))
        else:
            outputs = _everywhere(job, kind, say)
        return deliver(outputs, target, StreamOptions(debug=debug), StreamListener(say))


def _everywhere(job: StreamJob, kind: str, say: Say) -> Iterator[Output]:
    """Yield what the command prints on each machine, in the order of the workers."""
    from ess_dask.engine.hands import Errand, far_executor

    owner = f"exec-{secrets.token_hex(8)}"
    job = replace(job, context=job.context.away(owner))
    stores = (job.out,) if job.out else ()
    with far_executor(say, kind, Errand(job.spool, owner, stores)) as executor:
        machines, work = one_of_each(executor.nodes), partial(run_away_once, job=job)
        if job.out:
            refuse_one_for_all(job.out_path, len(machines))
        for node, output in zip(machines, executor.on_each(machines, work, lost), strict=True):
            yield _labelled(node, output, job.spool)


def run_away_once(node: Node, job: StreamJob) -> Output:
    """Run the command on a far worker."""
    return replace(run_once(job), uri=node.shown)


def lost(node: Node, error: WorkerLostError) -> Output:
    """Return the output of a machine that went."""
    return Output(node.shown, "", error=error.message, transient=True)


def _labelled(node: Node, output: Output, spool: str) -> Output:
    """Put the worker's name before each line of its output and of what it said."""
    name = f"{node.name}: "
    said = "".join(f"{name}{line}" for line in output.said.splitlines(keepends=True))
    output = replace(output, said=said, shown=f"{name}{output.shown}")
    into = Spool(Path(spool), "labelled")
    ends = True
    with output.opened() as stream:
        while line := stream.readline(_LINE_BYTES):
            into.write((name.encode() if ends else b"") + line)
            ends = line.endswith(b"\n")
    into.write(b"" if ends else b"\n")
    data, spooled = into.finish()
    return replace(output, data=data, spooled=spooled)
