"""``ess file``: files between this machine and the work folders of the workers."""

from __future__ import annotations

import click

from ess_dask.cli._render import say


@click.group("file")
def file_() -> None:
    """Copy files to and from the folders in which the workers' commands run.

    On a cluster of other machines each has a work folder (~/.ess/work there). Workers that join
    later have none of the files: push again. Where the workers are on this machine, commands run in
    the current folder.
    """


@file_.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--dest", metavar="DIR", default="", help="A folder below the work folder.")
def push(files: tuple[str, ...], dest: str) -> None:
    """Copy FILES to every machine, whole, with their modes."""
    from ess_dask.api.files import push

    machines = push(files, dest, say)
    say(f"{len(files)} file(s) to {machines} machine(s)")


@file_.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def get(names: tuple[str, ...]) -> None:
    """Copy files of the workers here; print what was written.

    Of a cluster of several machines NAME becomes NAME.WORKER for each that has it.
    """
    from ess_dask.api.files import get

    for name in get(names, say):
        click.echo(name)


@file_.command()
@click.argument("name")
def mkdir(name: str) -> None:
    """Make a folder below the work folder of every machine."""
    from ess_dask.api.files import mkdir

    mkdir(name, say)
