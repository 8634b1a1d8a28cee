"""``ess demo``: the main job on a lake that is made for it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ess_dask.cli._render import say

BAR = 40
"""Width of the longest bar, in characters."""


@click.command("demo")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where the lake and the warehouse are made.",
)
def demo(folder: Path) -> None:
    """Make a dirty lake, clean it, load it and ask it a question.

    The warehouse is a DuckDB file. Everything lies in one folder, made anew each time; nothing
    outside it is changed but the state folder (ESS_CACHE_DIR). The numbers are checked against
    what was put into the lake.
    """
    from ess_dask.cli._progress import counting
    from ess_dask.cluster.local import attach, stop
    from ess_dask.pipelines.run import Listener
    from ess_dask.testing.demo import run_demo
    from ess_dask.testing.lake import DAYS

    _make_empty(folder)
    started_here = attach() is None
    try:
        with counting(DAYS, "files", shown=sys.stderr.isatty()) as count:
            listener = Listener(say, lambda done: count(len(done.counts)))
            result = run_demo(folder, say, listener)
    finally:
        if started_here:
            stop()
    click.echo(result.report.render())
    click.echo(_chart(result.answer))
    click.echo(
        f"\nThe numbers are those the lake was made with: {result.lake.purchases:,} read = "
        f"{result.report.rows_loaded:,} loaded + {result.report.rows_rejected:,} rejected + "
        f"{result.report.rows_dropped:,} dropped.\n"
        f"warehouse  {result.warehouse}\n"
        f"rejects    {result.report.rejects}  (ess rejects show {result.report.run_id})\n"
        f"next       ess run woodworking --set source.store={folder / 'lake'}"
    )


def _make_empty(folder: Path) -> None:
    """Make the folder; one that holds anything but an earlier demo is left alone."""
    import shutil

    from ess_dask.errors import EssError, UsageError

    mark = folder / ".ess-demo"
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise UsageError(f"{folder} holds other files", hint="name a new folder with --folder")
    try:
        if mark.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise EssError(f"cannot make {folder}: {error.strerror}", hint="use --folder") from None


def _chart(answer: tuple[tuple[int, float], ...]) -> str:
    from ess_dask.testing.demo import QUESTION

    most = max((earned for _, earned in answer), default=1.0)
    lines = [
        f"  article {article:>3}  {'█' * round(BAR * earned / most):{BAR}}  {earned:>10,.2f}"
        for article, earned in answer
    ]
    return "\n".join(["", QUESTION, *lines])
