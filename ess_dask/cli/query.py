"""``ess query``: SQL over the files of categories and over tables in memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import label_option
from ess_dask.cli._render import say
from ess_dask.cli._rows import FORMATS

if TYPE_CHECKING:
    from ess_dask.api.query import QueryReport


@click.command("query")
@click.argument("statement", nargs=-1, required=True)
@label_option
@click.option("--check", is_flag=True, help="Only check the statement; nothing is read or printed.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Answer as SQL, in this format (csv)."
)
@click.option("--explain", is_flag=True, help="Tell on stderr what ran where, and how long.")
def query(statement: tuple[str, ...], label: str, check: bool, form: str, explain: bool) -> int:
    """Answer a SQL statement from the files of categories or from tables in memory.

    FROM takes CATEGORY:START:END (both inclusive, * is open), DATABASE:TABLE or DATABASE.TABLE in
    memory, 'PATTERN.parquet' or '.csv' in the datastore, and warehouse.TABLE.

    Statements of Essentia's own form are answered as it does: select COLS|* from RANGE [where
    FILTER] [order by COL] [limit N], or count(*), count(COL), count(distinct COL) with [where
    FILTER] or [group by COLS]; FILTER is a -filt of aq_pp. Everything else, and everything with
    --format or --explain, is SQL. Records that do not fit the columns are left out.
    """
    text = " ".join(statement)
    if form or explain:
        return _sql(text, label, form or "csv", check=check, explain=explain)

    from ess_dask.api.query import check_query, is_essentia
    from ess_dask.api.query import query as run_query
    from ess_dask.api.stream import StreamListener

    if not is_essentia(text, label=label):
        return _sql(text, label, "csv", check=check)
    if check:
        check_query(text, label=label)
        return 0
    report = run_query(text, sys.stdout.buffer, label=label, listener=StreamListener(say))
    return _summarise(report)


def _sql(text: str, label: str, form: str, *, check: bool, explain: bool = False) -> int:
    from ess_dask.api.sql import prepare, ranges_without_files, rejected, sources_of
    from ess_dask.cli._rows import write_rows
    from ess_dask.openblas import start_no_threads

    start_no_threads()
    sources = sources_of(label=label)
    try:
        run = prepare(text, sources, check=check)
        for name in ranges_without_files(sources):
            say(f"warning: no file lies in {name}")
        if not check:
            write_rows(run.rows(), form)
            if bad := rejected(sources):
                say(f"{bad} records do not fit the columns and were left out")
        if explain:
            from ess_dask.query.sql.explain import explain as told

            say(told(run))
    finally:
        sources.close()
    return 0


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
