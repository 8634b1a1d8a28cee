"""``python -m ess_dask.testing.ec2 [--trace] [--folder DIR] [-- COMMAND...]``: as a program.

With a command: run it inside, with the environment of a client, and end with its exit code.
Without: run until Ctrl-C or SIGTERM, and say how to enter.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import click

from ess_dask.errors import EssError
from ess_dask.testing.ec2 import control, namespace
from ess_dask.testing.ec2.server import ENV, Running, exports, running


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--trace", is_flag=True, help="Say what happens to the machines; consoles at the end."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the consoles here; without it, they are gone at the end.",
)
@click.option("--control", "descriptor", type=int, hidden=True)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def main(
    trace: bool, folder: Path | None, descriptor: int | None, command: tuple[str, ...]
) -> None:
    """Run COMMAND (or wait) in a private network with a stand-in for EC2 whose instances boot."""
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ess-ec2-")))
        place = folder.absolute()

        def work(outside: str) -> int:
            with running(place, outside, trace=trace) as standin:
                if descriptor is not None:
                    return _controlled(descriptor, standin)
                code = _command(command, place) if command else _wait()
                if trace:
                    _print_consoles(standin)
                return code

        def started(process: int) -> None:
            if not command and descriptor is None:
                click.echo(_how_to_enter(process, place), err=True)

        try:
            code = namespace.run_inside(work, started)
        except EssError as error:
            click.echo(f"error: {error}", err=True)
            code = error.exit_code
    sys.exit(code)


def _command(command: tuple[str, ...], place: Path) -> int:
    environment = os.environ | ENV | {"ESS_EC2_FOLDER": str(place)}
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        click.echo(f"error: {command[0]}: {error.strerror}", err=True)
        return 127
    # Ctrl-C reaches the command by itself; what comes to us only is passed on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


def _wait() -> int:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    click.echo(exports(), nl=False)
    sys.stdout.flush()
    ended.wait()
    return 0


def _controlled(descriptor: int, standin: Running) -> int:
    with socket.socket(fileno=descriptor) as connection:
        control.serve(connection, standin)
    return 0


def _how_to_enter(process: int, place: Path) -> str:
    program = f"{sys.executable} -m ess_dask.testing.ec2.enter"
    where = f"--process {process} --environment {place}/environment"
    return f"enter with: {program} {where} -- bash"


def _print_consoles(standin: Running) -> None:
    for path in sorted((standin.folder / "consoles").glob("*.log")):
        text = path.read_text(errors="replace")
        click.echo(f"--- console of {path.stem}\n{text}", err=True)


if __name__ == "__main__":
    main()
