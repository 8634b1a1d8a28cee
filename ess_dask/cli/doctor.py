"""``ess doctor``: what a run needs, looked at piece by piece."""

from __future__ import annotations

import os
import sys

import click


@click.command("doctor")
@click.option("--pipeline", metavar="FILE", default="", help="Look at what this pipeline needs.")
@click.option(
    "--set", "overrides", metavar="PATH=VALUE", multiple=True, help="Change the pipeline."
)
@click.option("--warehouse", metavar="URL", default="", help="Look at this warehouse.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(1, 600),
    default=10.0,
    show_default=True,
    help="Longest time of one check.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
# Not the shared one: a profile that is not there is something to find.
@click.option("--profile", metavar="NAME", default="", hidden=True)
def doctor(
    pipeline: str,
    overrides: tuple[str, ...],
    warehouse: str,
    timeout: float,
    as_json: bool,
    profile: str,
) -> int:
    """Look at everything that a run needs, and say what to mend.

    Settings, pipeline, state file, versions, disk, credentials, datastores, cluster, warehouse and
    clock. Nothing is made, changed or started, and nothing secret is printed. Exit codes: 0 all is
    well (there may be warnings), 3 something must be mended, 1 what is wrong may pass by itself.
    """
    from ess_dask.doctor.running import examine
    from ess_dask.doctor.subject import Question

    if profile:
        os.environ["ESS_PROFILE"] = profile
    found = examine(Question(pipeline, overrides, warehouse, timeout))
    diagnosis = found.diagnosis
    click.echo(diagnosis.to_json() if as_json else diagnosis.render())
    if found.is_late:
        # A normal exit would wait for threads that ask what does not answer.
        sys.stdout.flush()
        os._exit(diagnosis.exit_code)
    return diagnosis.exit_code
