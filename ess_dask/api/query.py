"""``ess query`` as a call: small SQL over the files of a category, answered from the files."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from ess_dask.api.stream import StreamListener, StreamReport
from ess_dask.dataclass import dataclass
from ess_dask.spool import spool_folder


@dataclass(frozen=True, slots=True)
class QueryReport(StreamReport):
    """What a query read. ``bad`` of the ``records`` do not fit the category's columns; on
    ``unevaluated`` ones the filter could not be evaluated. Both were left out."""

    records: int = 0
    bad: int = 0
    unevaluated: int = 0


def query(
    text: str, target: BinaryIO, *, label: str = "", listener: StreamListener | None = None
) -> QueryReport:
    """Answer a query; rows or counts go to ``target`` as ``aq_pp`` and ``aq_cnt`` print them.

    A file that fails is named in the report, and nothing of it counts. Raises ``OptionError`` and
    ``UsageError`` (statement, names, bounds), ``InterruptedRunError`` when aborted. The settings
    ``threads``, ``window`` and ``batch_bytes`` apply.
    """
    from ess_dask.aq.sql import parse_statement
    from ess_dask.catalog.registry import registered, select_registered
    from ess_dask.engine.executor import usable_cores
    from ess_dask.engine.interrupt import Interrupt
    from ess_dask.query.answer import answer_of
    from ess_dask.query.files import Task
    from ess_dask.query.plan import make_plan, source_of
    from ess_dask.query.run import Crew, run_query
    from ess_dask.query.texts import Texts
    from ess_dask.settings import load_settings

    listener = listener or StreamListener()
    statement = parse_statement(text)
    source = source_of(statement)
    # Whether the statement fits is known before anything is listed.
    make_plan(statement, registered(source.category, label)[1])
    store, category, selection = select_registered(
        source.category, source.lower, source.upper, label=label
    )
    plan = make_plan(statement, category)
    settings = load_settings()
    crew = Crew(settings.threads or usable_cores(), settings.window, settings.batch_bytes)
    listener.begin(len(selection.files))
    with spool_folder("query") as spool:
        task = Task(plan, Texts(store, category, plan.titles), spool)
        answer = answer_of(plan, target, Path(spool))
        with Interrupt(listener.say) as interrupt:
            account = run_query(selection.files, task, answer, crew, interrupt, listener.say)
            target.flush()
    return QueryReport(
        files=len(selection.files) - len(account.failed),
        selected=len(selection.files),
        failed=tuple(account.failed),
        drained=interrupt.draining,
        records=account.records,
        bad=account.bad,
        unevaluated=account.unevaluated,
    )


def check_query(text: str, *, label: str = "") -> None:
    """Check a query, nothing is read: its words, and that category, columns, filter and bounds fit.

    Raises as ``query`` does.
    """
    from ess_dask.aq.sql import parse_statement
    from ess_dask.catalog.bounds import parse_bounds
    from ess_dask.catalog.dates import compile_dates
    from ess_dask.catalog.registry import registered
    from ess_dask.query.plan import make_plan, source_of

    statement = parse_statement(text)
    source = source_of(statement)
    category = registered(source.category, label)[1]
    parse_bounds(source.lower, source.upper, compile_dates(category.dateregex))
    make_plan(statement, category)


def is_essentia(text: str, *, label: str = "") -> bool:
    """Return whether a statement is answered as Essentia does: it fits, or has no other meaning."""
    from ess_dask.errors import EssError
    from ess_dask.query.sql.dialect import is_beyond

    try:
        check_query(text, label=label)
    except EssError:
        return not is_beyond(text)
    return True
