"""Rejected rows in the transaction of a load: written, and marked when a replay read them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.errors import ConflictError, DataError
from ess_dask.warehouse.changes import names
from ess_dask.warehouse.decision import Work
from ess_dask.warehouse.model import LoadRequest
from ess_dask.warehouse.redshift.incoming import REJECTED, REPLAYED
from ess_dask.warehouse.redshift.ledger import REJECT_COLUMNS
from ess_dask.warehouse.redshift.names import quoted, same_text, text_value
from ess_dask.warehouse.redshift.rows import TAKEN

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.ledger import Ledger
    from ess_dask.warehouse.redshift.session import Session

MARKED = "_ess_marked"
"""Temporary table: the rejected rows that this load read again."""
_MARKED = "load_id VARCHAR(256), uri VARCHAR(4096), member VARCHAR(4096), line BIGINT"


def write_rejects(session: Session, ledger: Ledger, request: LoadRequest, work: Work) -> int:
    """Write the rejected rows of the files that are loaded; return how many.

    Raises ``DataError`` unless as many were kept as the files' counts say.
    """
    told = sum(file.rows_rejected for file in work.taken)
    if not request.rejects or not work.taken:
        return told
    columns = ", ".join(quoted(name) for name in REJECT_COLUMNS)
    rows = session.run(
        f"INSERT INTO {ledger.table('_ess_rejects')} ({columns}) "  # noqa: S608 - names quoted
        f"SELECT {text_value(256)}, {text_value(1024)}, {text_value(1024)}, "
        'r.uri, f.etag, r.member, r.line, r."column", r.reason, r."raw", r.title, '
        f"'' FROM {quoted(REJECTED)} r JOIN {quoted(TAKEN)} f ON {same_text('r.uri', 'f.uri')}",
        request.load_id,
        str(work.name),
        request.plan.target.pipeline,
    )
    if rows != told:
        raise DataError(
            f"{told} rows were rejected, the rejects files hold {rows} of {names(work.taken)}",
            hint="nothing was loaded; run again",
        )
    return rows


def mark_replayed(session: Session, ledger: Ledger, request: LoadRequest, work: Work) -> None:
    """Take the rows that a replay read again out of those that stand, each exactly once."""
    if not request.replayed or not work.taken:
        return
    rejects = ledger.table("_ess_rejects")
    who = (str(work.name), request.plan.target.pipeline)
    session.run(f"DROP TABLE IF EXISTS {quoted(MARKED)}")
    # SELECT and DML take bound values (Developer Guide, "PREPARE"), CREATE TABLE AS does not.
    session.run(f"CREATE TEMPORARY TABLE {quoted(MARKED)} ({_MARKED})")
    session.run(
        f"INSERT INTO {quoted(MARKED)} SELECT r.load_id, r.uri, r.member, r.line "  # noqa: S608
        f"FROM {rejects} r JOIN {quoted(REPLAYED)} p ON r.load_id = p.load_id "
        f"AND {same_text('r.uri', 'p.uri')} AND {same_text('r.member', 'p.member')} "
        f"AND r.line = p.line JOIN {quoted(TAKEN)} f ON {same_text('f.uri', 'r.uri')} "
        f"WHERE r.table_name = ? AND r.pipeline = ? AND {ledger.stands('r.load_id')} "
        f"AND NOT {ledger.stands('r.replayed_by')}",
        *who,
    )
    same = f"{rejects}.load_id = m.load_id AND {rejects}.line = m.line"
    for name in ("uri", "member"):
        same += f" AND {same_text(f'{rejects}.{name}', f'm.{name}')}"
    marked = session.run(
        f"UPDATE {rejects} SET replayed_by = ? FROM {quoted(MARKED)} m WHERE {same} "  # noqa: S608
        f"AND {rejects}.table_name = ? AND {rejects}.pipeline = ?",
        request.load_id,
        *who,
    )
    told = sum(file.rows_read for file in work.taken)
    if marked != told:
        raise ConflictError(
            f"{told} rejected rows of {names(work.taken)} were read again, but {marked} of them "
            "stand: another replay or load was there first",
            hint="nothing was loaded; run the pipeline, then replay what is still rejected",
        )
