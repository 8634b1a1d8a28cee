"""``ess profile``: what is in the columns of a category."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import label_option
from ess_dask.cli._render import say
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from ess_dask.profiling.model import Profile


@click.command("profile")
@click.argument("category")
@click.argument("lower", default="*")
@click.argument("upper", default="*")
@click.option("--columns", metavar="A,B", default="", help="Only these columns.")
@click.option("--files", metavar="N|N%", default="", help="Only the newest N files, or N % of all.")
@click.option(
    "--top", metavar="N", type=click.IntRange(0), default=10, help="Frequent values (10)."
)
@click.option(
    "--rejects", metavar="N", type=click.IntRange(0), default=5, help="Examples of a reason (5)."
)
@click.option("--html", metavar="FILE", default="", help="Write a page with pictures.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print."
)
@click.option("--json", "form", flag_value="json", default=None, help="The same as --format json.")
@label_option
def profile(
    category: str, lower: str, upper: str, columns: str, files: str, top: int, rejects: int,
    html: str, form: str, label: str,
) -> None:  # fmt: skip
    """Show what is in the columns of a category: nulls, ranges, distinct values, spread, rejects.

    LOWER and UPPER choose days, both inclusive; * is open. One pass over the files, in bounded
    memory. Figures are exact; those that are estimated are marked (beyond 8,192 distinct values).
    """
    found = _made(category, (lower, upper), columns, files, (top, rejects), label)
    if not found.files.of:
        say("warning: no file lies in this range")
    if html:
        say(f"written: {found.to_html(html)}")
    if form == "json":
        click.echo(found.to_json())
    elif not html:
        from ess_dask.cli._plots import is_plain

        click.echo(found.to_text(ascii_only=is_plain()))


def _made(
    category: str, bounds: tuple[str, str], columns: str, files: str, limits: tuple[int, int],
    label: str,
) -> Profile:  # fmt: skip
    from ess_dask.api.lake import Lake
    from ess_dask.api.warn import NoFilesWarning
    from ess_dask.catalog.registry import current_store

    names = [name.strip() for name in columns.split(",") if name.strip()]
    selection = Lake(current_store(label)).category(category).between(*bounds)
    top, rejects = limits
    with warnings.catch_warnings():
        # Said in the words of the other commands.
        warnings.simplefilter("ignore", NoFilesWarning)
        return selection.profile(names, files=_share(files), top=top, rejects=rejects)


def _share(text: str) -> float | None:
    """Return what ``--files`` says: a number of files, or a share of them."""
    if not text or text == "100%":
        return None
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else int(text)
    except ValueError:
        raise UsageError(
            f"--files cannot be {text!r}", hint="a number such as 10, or a share such as 5%"
        ) from None
