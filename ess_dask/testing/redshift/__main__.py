"""``python -m ess_dask.testing.redshift``: the stand-in as a program, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import click

from ess_dask.errors import EssError
from ess_dask.testing.redshift.server import RedshiftServer, standin


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data here; without it, it is gone at the end.",
)
@click.option(
    "--store",
    type=click.Choice(["rclone", "moto"]),
    default="rclone",
    show_default=True,
    help="S3 by rclone, for volume, or by moto, with IAM and the other AWS interfaces.",
)
def main(folder: Path | None, store: str) -> None:
    """Run a stand-in for Redshift, and print what to export for its clients."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with ExitStack() as stack:
            if folder is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ess-rs-")))
            server = stack.enter_context(standin(folder, store))
            for name, value in exports(server).items():
                click.echo(f"export {name}={shlex.quote(value)}")
            sys.stdout.flush()
            ended.wait()
    except EssError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from error


def exports(server: RedshiftServer) -> dict[str, str]:
    """Return the environment of a client: of AWS, and the warehouse's address for pipelines."""
    warehouse = f"{server.url}&stage={server.stage}&iam_role={server.role}"
    return server.env | {"ESS_WAREHOUSE": warehouse}


if __name__ == "__main__":
    main()
