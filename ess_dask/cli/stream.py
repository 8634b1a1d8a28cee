"""``ess stream`` and ``ess exec``: files through a command, and a command on the workers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import exclude_option, label_option, limit_option
from ess_dask.cli._render import say

if TYPE_CHECKING:
    from ess_dask.api.stream import StreamReport
    from ess_dask.engine.stream import Output


@click.command("stream")
@click.argument("category")
@click.argument("lower")
@click.argument("upper")
@click.argument("command", default="cat")
@label_option
@exclude_option
@limit_option
@click.option("--archive", metavar="GLOB", default="", help="Members to read of an archive.")
@click.option("--bulk", is_flag=True, help="Send all files into one run of the command.")
@click.option("--debug", is_flag=True, help="Print each pipeline, too.")
@click.option("--master", is_flag=True, help="Run on the master; without a cluster it always does.")
@click.option("--progress", is_flag=True, help="Show a progress bar on stderr.")
@click.option("--quitonerror", is_flag=True, help="Stop at the first file that fails.")
@click.option("--s3out", metavar="LABEL:PATH", default="", help="Send each output to a datastore.")
@click.option(
    "--threads",
    "--thread",
    type=click.IntRange(1),
    help="Pipelines at a time (default: all cores).",
)
def stream(
    category: str,
    lower: str,
    upper: str,
    command: str,
    label: str,
    exclude: tuple[str, ...],
    limit: int | None,
    archive: str,
    bulk: bool,
    debug: bool,
    master: bool,
    progress: bool,
    quitonerror: bool,
    s3out: str,
    threads: int | None,
) -> int:
    """Send the files of a category through a command, in file order.

    Files with LOWER <= date <= UPPER (both inclusive, * is open), decompressed, each into one run
    of COMMAND (default: cat). In COMMAND, %path %file %FILE %cols %delim %num_nodes %node_id
    %num_threads %thread_id are replaced, safely for any file name. The files run in parallel:
    give --threads 1 when the command itself writes to one place in file order.
    """
    from ess_dask.api.stream import StreamListener, StreamOptions
    from ess_dask.api.stream import stream as run_stream
    from ess_dask.observe.logs import configure
    from ess_dask.settings import load_settings

    settings = load_settings()
    configure(settings)
    options = StreamOptions(
        exclude=exclude,
        label=label,
        archive=archive,
        limit=limit,
        threads=threads or 0,
        window=settings.window,
        bulk=bulk,
        debug=debug,
        quit_on_error=quitonerror,
        out=s3out,
        master=master,
    )
    with ExitStack() as stack:
        bar = _Bar(stack, shown=progress and sys.stderr.isatty())
        listener = StreamListener(say, bar.begin, bar.watch)
        report = run_stream(category, lower, upper, command, sys.stdout.buffer, options, listener)
    return _summarise(report, category)


def _summarise(report: StreamReport, category: str) -> int:
    if not report.selected:
        say(f"warning: no file of category {category} lies in this range")
    if report.failed:
        say(f"{len(report.failed)} of {report.selected} files failed; their output was left out")
    return report.exit_code


@click.command("exec")
@click.argument("command")
@click.option("--debug", is_flag=True, help="Print the command, too.")
@click.option("--master", is_flag=True, help="Run on the master; without a cluster it always does.")
@click.option("--s3out", metavar="LABEL:PATH", default="", help="Send the output to a datastore.")
def exec_(command: str, debug: bool, master: bool, s3out: str) -> int:
    """Run a command on every worker (without a cluster: once, here).

    In COMMAND, %num_nodes %node_id %num_threads %thread_id are replaced. On a cluster of other
    machines it runs once on each, in the folder that ess file push puts files in; the output of
    each stands whole and in the order of the workers, every line behind the worker's name.
    """
    from ess_dask.api.execute import execute

    out = sys.stdout.buffer
    return execute(command, out, say, debug=debug, out=s3out, master=master).exit_code


class _Bar:
    """A progress bar that is only drawn once the number of files is known."""

    def __init__(self, stack: ExitStack, *, shown: bool) -> None:
        self._stack, self._shown = stack, shown
        self._advance: Callable[..., None] = lambda: None

    def begin(self, files: int) -> None:
        from ess_dask.cli._progress import counting

        self._advance = self._stack.enter_context(counting(files, "files", shown=self._shown))

    def watch(self, output: Output) -> None:
        self._advance()
