"""``ess redshift stream``: files of a category through a command into a table, each once."""

from __future__ import annotations

from typing import Any

import click

from ess_dask.cli._options import label_option
from ess_dask.cli._redshift import choose, table_cluster_options
from ess_dask.errors import UsageError

_OPTIONS = "--options"


class _CopyCommand(click.Command):
    """A command whose ``--options`` takes all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write every word behind ``--options`` as an option of its own."""
        written: list[str] = []
        inside = False
        for word in args:
            if word == _OPTIONS:
                inside = True
            elif inside and not word.startswith("--"):
                written += [_OPTIONS, word]
            else:
                inside = False
                written.append(word)
        return super().parse_args(ctx, written)


@click.command(cls=_CopyCommand)
@click.argument("category")
@click.argument("lower")
@click.argument("upper")
@click.argument("words", metavar="[COMMAND] TABLE", nargs=-1, required=True)
@label_option
@click.option(
    "--threads", "--thread", type=click.IntRange(1), help="Files at a time (default: all cores)."
)
@click.option(
    _OPTIONS, "options", metavar="COPYOPTS..", multiple=True, help="Options of COPY; see above."
)
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing when all went well.")
@table_cluster_options
def stream(
    words: tuple[str, ...],
    url: str,
    cluster: str,
    password_stdin: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Load the output of a command on each file of a category into a table, each file once.

    Files with LOWER <= date <= UPPER, decompressed, each into one run of COMMAND (default: cat; %
    words as in ess stream). What it prints is CSV without a title line, in the columns of TABLE,
    which is there already (gentable). A file that was loaded by this command is not loaded again;
    another command is another pipeline. Rows that do not fit are kept as rejects; one is too many,
    unless MAXERROR allows it.

    COPYOPTS are DELIMITER 'c', IGNOREHEADER 1 (the output has a title line), MAXERROR n (most
    rejected rows of the run); CSV, NULL '' and DATEFORMAT or TIMEFORMAT 'auto' change nothing.
    Others are refused. Exit codes as of ess run.
    """
    from ess_dask.api.redshift_stream import TableStream, plan_stream
    from ess_dask.cli.run import print_plan, run_and_print
    from ess_dask.warehouse.redshift.copy_options import parse_copy_options

    *command, table = words
    if len(command) > 1:
        raise UsageError(
            f"more than a command and a table: {' '.join(words)}",
            hint="put the command between quotes",
        )
    wanted = TableStream(
        category=given["category"],
        lower=given["lower"],
        upper=given["upper"],
        command=command[0] if command else "cat",
        table=table,
        label=given["label"],
        threads=given["threads"] or 0,
        options=parse_copy_options(given["options"]),
    )
    plan, settings = plan_stream(wanted, choose(url, cluster, password_stdin).with_password())
    if dry_run:
        print_plan(plan, as_json)
        return 0
    return run_and_print(plan, settings, as_json=as_json, quiet=quiet)
