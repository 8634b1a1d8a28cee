"""``ess query``: small SQL over the files of a category."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import label_option
from ess_dask.cli._render import say

if TYPE_CHECKING:
    from ess_dask.api.query import QueryReport


@click.command("query")
@click.argument("statement", nargs=-1, required=True)
@label_option
@click.option("--check", is_flag=True, help="Only check the statement; nothing is read or printed.")
def query(statement: tuple[str, ...], label: str, check: bool) -> int:
    """Answer a small SQL statement from the files of a category.

    select COLS|* from CATEGORY:START:END [where FILTER] [order by COL] [limit N], or count(*),
    count(COL), count(distinct COL) with [where FILTER] or [group by COLS]. START and END are both
    inclusive, * is open; FILTER is a -filt of aq_pp. Records that do not fit the columns are left
    out.
    """
    from ess_dask.api.query import check_query
    from ess_dask.api.query import query as run_query
    from ess_dask.api.stream import StreamListener

    text = " ".join(statement)
    if check:
        check_query(text, label=label)
        return 0
    report = run_query(text, sys.stdout.buffer, label=label, listener=StreamListener(say))
    return _summarise(report)


def _summarise(report: QueryReport) -> int:
    if not report.selected:
        say("warning: no file lies in this range")
    if report.bad:
        say(f"{report.bad} of {report.records} records do not fit the columns and were left out")
    if report.unevaluated:
        say(f"{report.unevaluated} records were left out: where could not be worked out for them")
    if report.failed:
        say(f"{len(report.failed)} of {report.selected} files failed; nothing of them counts")
    return report.exit_code
