"""What was staged, as temporary tables of a session: rows, rejected rows, and those read again.

The first of a load's two transactions. The tables live as long as the session; a load that begins
again in another session fills them again from the files in S3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError, UsageError
from ess_dask.records.spec import Column
from ess_dask.warehouse.digest import Digest, compare
from ess_dask.warehouse.model import LoadRequest
from ess_dask.warehouse.redshift.copy import Authorization, Copy
from ess_dask.warehouse.redshift.csv_part import null_marker
from ess_dask.warehouse.redshift.ddl import FILE_WIDTH, LOAD_WIDTH
from ess_dask.warehouse.redshift.digest import combine, digest_sql, read_digest
from ess_dask.warehouse.redshift.load_errors import copy
from ess_dask.warehouse.redshift.manifest import write_manifest
from ess_dask.warehouse.redshift.names import quoted
from ess_dask.warehouse.redshift.place import FileForm
from ess_dask.warehouse.redshift.sideload import Side, stage_side
from ess_dask.warehouse.redshift.staging import ORDER_COLUMN
from ess_dask.warehouse.redshift.types import MAX_TEXT, NESTED, sql_type
from ess_dask.warehouse.schema import FILE_COLUMN, LOAD_COLUMN

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.session import Session

ROWS, REJECTED, REPLAYED = "_ess_rows", "_ess_rejected", "_ess_replayed"
"""The temporary tables."""

_MEASURED_AT_ONCE = 300
"""Columns measured by one query: it gives at most 1,600 values, and a column has up to four."""

_SIDES = {
    REJECTED: Side(
        "rejects",
        (
            ("uri", "VARCHAR(4096)"), ("member", "VARCHAR(4096)"), ("line", "BIGINT"),
            ("column", "VARCHAR(512)"), ("reason", "VARCHAR(4096)"), ("raw", "VARBYTE(1024000)"),
            ("title", "VARCHAR(65535)"),
        ),
    ),
    REPLAYED: Side(
        "replayed",
        (
            ("load_id", "VARCHAR(256)"), ("uri", "VARCHAR(4096)"), ("member", "VARCHAR(4096)"),
            ("line", "BIGINT"),
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Staged:
    """Where a load's files lie, and how the cluster reads them.

    ``prefix`` is the load's own (``s3://bucket/stage/<load_id>``). ``direct``: the rows are copied
    into the target itself, and carry the load's id.
    """

    prefix: str
    authorization: Authorization
    form: FileForm = field(default_factory=FileForm)
    region: str = ""
    direct: bool = False
    text_digest: bool = False

    def columns(self, request: LoadRequest) -> tuple[str, ...]:
        """Return the names of the columns that a part has, in its order."""
        own = [FILE_COLUMN]
        if is_ordered(request):
            own.append(ORDER_COLUMN)
        if self.direct:
            own.append(LOAD_COLUMN)
        return (*(column.name for column in request.plan.columns), *own)

    def copy(self, table: str, columns: Sequence[str], manifest: str, load_id: str) -> Copy:
        """Return the statement that copies the files of a manifest into a table (quoted SQL)."""
        null = null_marker(load_id) if self.form.format == "csv" else ""
        return Copy(
            table, tuple(columns), manifest, self.authorization, self.form.format, null, self.region
        )


def is_ordered(request: LoadRequest) -> bool:
    """Whether parts carry the rows' order: an upsert keeps the last row of a key."""
    return request.plan.target.mode == "upsert"


def fill(session: Session, staged: Staged, request: LoadRequest) -> None:
    """Make and fill the temporary tables, compare them with what the workers said, and commit.

    Of a direct load only the rejected rows. Raises ``DataError`` when a file is missing or is not
    what was staged; nothing is in the target then.
    """
    check_told(request)
    if request.parts and not staged.direct:
        _fill_rows(session, staged, request)
    for table, side in _SIDES.items():
        paths = request.rejects if table == REJECTED else tuple(filter(None, (request.replayed,)))
        if paths:
            _fill_side(session, staged, request, table, side, paths)
    session.commit()


def copy_rows(session: Session, staged: Staged, request: LoadRequest, table: str) -> None:
    """Copy all staged rows into a table (quoted SQL)."""
    manifest = write_manifest(staged.prefix, request.parts, "rows.manifest")
    names = staged.columns(request)
    rows = sum(part.rows for part in request.parts)
    copy(session, staged.copy(table, names, manifest, request.load_id), rows)


def told_digest(request: LoadRequest) -> Digest:
    """Return the digest of all staged rows as the workers found it."""
    return combine([part.digest for part in request.parts if part.digest is not None])


def _fill_rows(session: Session, staged: Staged, request: LoadRequest) -> None:
    declared = ", ".join(f"{quoted(name)} {type_}" for name, type_ in _row_types(staged, request))
    _make(session, ROWS, declared)
    copy_rows(session, staged, request, quoted(ROWS))
    _check_files(session, request)
    if is_ordered(request):
        check_rows(session, staged, request)


def check_rows(session: Session, staged: Staged, request: LoadRequest) -> None:
    """Raise ``DataError`` unless the rows that came in are those that the workers staged.

    Where all of them go into the target, it is the target's rows that are compared, once.
    """
    found = take_digest(session, quoted(ROWS), request.plan.columns, text=staged.text_digest)
    if wrong := compare(told_digest(request), found):
        raise DataError(
            f"Redshift read other rows than were staged: {'; '.join(wrong)}",
            hint="nothing was loaded; run again",
        )


def _row_types(staged: Staged, request: LoadRequest) -> list[tuple[str, str]]:
    own = {FILE_COLUMN: f"VARCHAR({FILE_WIDTH})", LOAD_COLUMN: f"VARCHAR({LOAD_WIDTH})"}
    own |= {ORDER_COLUMN: "BIGINT"}
    types = {
        column.name: f"VARCHAR({MAX_TEXT})" if column.type.name == NESTED else sql_type(column.type)
        for column in request.plan.columns
    }
    return [(name, own.get(name) or types[name]) for name in staged.columns(request)]


def _fill_side(
    session: Session,
    staged: Staged,
    request: LoadRequest,
    table: str,
    side: Side,
    paths: Sequence[str],
) -> None:
    _make(session, table, ", ".join(f"{quoted(name)} {type_}" for name, type_ in side.columns))
    part = stage_side(side, paths, staged.prefix, staged.form, request.load_id)
    manifest = write_manifest(staged.prefix, [part], f"{side.name}.manifest")
    names = [name for name, _ in side.columns]
    copy(session, staged.copy(quoted(table), names, manifest, request.load_id), part.rows)


def _make(session: Session, table: str, columns: str) -> None:
    session.run(f"DROP TABLE IF EXISTS {quoted(table)}")
    session.run(f"CREATE TEMPORARY TABLE {quoted(table)} ({columns})")


def check_told(request: LoadRequest) -> None:
    """Raise unless the counts of files and parts agree, and there are columns to load."""
    if request.parts and not request.plan.columns:
        raise UsageError("rows are staged but the plan has no columns", hint="plan with columns")
    told, staged = sum(f.rows_loaded for f in request.files), sum(p.rows for p in request.parts)
    if told != staged:
        raise DataError(
            f"{told} rows were cleaned, {staged} are staged",
            hint="nothing was loaded; run again to stage the files anew",
        )


def _check_files(session: Session, request: LoadRequest) -> None:
    """Raise unless each file has the rows in the table that were told of it."""
    # By length as well: blanks at the end of a name make no other group (``names.same_text``).
    found = session.rows(
        f"SELECT {FILE_COLUMN}, octet_length({FILE_COLUMN}), count(*) "  # noqa: S608
        f"FROM {quoted(ROWS)} GROUP BY 1, 2"
    )
    counts: dict[str, int] = {uri: rows for uri, _, rows in found}
    told = {file.uri: file.rows_loaded for file in request.files}
    strangers = sorted(uri for uri in counts if uri not in told)
    if strangers:
        raise DataError(f"staged rows are of files that are not in the load: {strangers[:5]}")
    for uri, rows in told.items():
        if counts.get(uri, 0) != rows:
            raise DataError(
                f"{uri}: {rows} rows were cleaned, {counts.get(uri, 0)} are staged",
                hint="nothing was loaded; run again to stage the file anew",
            )


def take_digest(
    session: Session, relation: str, columns: Sequence[Column], *values: str, text: bool
) -> Digest:
    """Return the digest of ``relation`` (SQL after FROM, with its values).

    Of many columns by several queries: one has a limited number of columns itself.
    """
    found = []
    for start in range(0, max(len(columns), 1), _MEASURED_AT_ONCE):
        some = columns[start : start + _MEASURED_AT_ONCE]
        (row,) = session.rows(digest_sql(relation, some, text=text), *values)
        found.append(read_digest(row, some, text=text))
    return Digest(found[0].rows, tuple(column for each in found for column in each.columns))
