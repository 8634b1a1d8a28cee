"""A load's rows between the temporary tables and the target: which go in, and which go for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.spec import Column
from ess_dask.warehouse.changes import in_order
from ess_dask.warehouse.decision import Work
from ess_dask.warehouse.model import LoadRequest
from ess_dask.warehouse.quote import TableName, fold
from ess_dask.warehouse.redshift.ddl import LOAD_WIDTH
from ess_dask.warehouse.redshift.incoming import ROWS
from ess_dask.warehouse.redshift.names import quoted, same_text, text_value
from ess_dask.warehouse.redshift.staging import ORDER_COLUMN
from ess_dask.warehouse.redshift.types import NESTED, stored
from ess_dask.warehouse.schema import FILE_COLUMN, LOAD_COLUMN

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.ledger import Ledger
    from ess_dask.warehouse.redshift.session import Session

TAKEN, REMOVED, LAST = "_ess_taken", "_ess_removed", "_ess_last"
"""Temporary tables: the files that are loaded, uris whose rows go, the last row of each key."""

_FILES = "uri VARCHAR(4096), etag VARCHAR(1024), place INTEGER"


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to insert: SQL after FROM. ``whole``: they are all that is staged."""

    relation: str
    whole: bool


def name_files(session: Session, work: Work) -> None:
    """Make the temporary tables of files that are loaded, in file order, and of those that go."""
    places = in_order(work.taken)
    _name(session, TAKEN, [(file.uri, file.etag, places[file.uri]) for file in work.taken])
    if work.removed:
        _name(session, REMOVED, [(uri, "", 0) for uri in work.removed])


def _name(session: Session, table: str, rows: Sequence[tuple[str, str, int]]) -> None:
    session.run(f"DROP TABLE IF EXISTS {quoted(table)}")
    session.run(f"CREATE TEMPORARY TABLE {quoted(table)} ({_FILES}) DISTSTYLE ALL")
    session.insert(quoted(table), ("uri", "etag", "place"), rows)


def source_of(session: Session, request: LoadRequest, work: Work) -> Source:
    """Return the rows to insert: of the files that are loaded, for an upsert the last of a key."""
    if request.plan.target.mode == "upsert":
        return _last_by_key(session, request)
    if len(work.taken) == len(request.files):
        return Source(quoted(ROWS), whole=True)
    same = same_text(f"r.{FILE_COLUMN}", "f.uri")
    some = f"SELECT r.* FROM {quoted(ROWS)} r JOIN {quoted(TAKEN)} f ON {same}"  # noqa: S608
    return Source(f"({some}) AS some_rows", whole=False)


def _last_by_key(session: Session, request: LoadRequest) -> Source:
    """Make a temporary table of the last row of each key, by date, uri and line.

    Nulls in a key are equal to each other.
    """
    names = [quoted(column.name) for column in request.plan.columns]
    keys = ", ".join(each for key in _keys(request) for each in key.parts("r"))
    inner = ", ".join(f"r.{name}" for name in (*names, FILE_COLUMN))
    session.run(f"DROP TABLE IF EXISTS {quoted(LAST)}")
    session.run(
        f"CREATE TEMPORARY TABLE {quoted(LAST)} AS "  # noqa: S608 - names quoted
        f"SELECT {', '.join((*names, FILE_COLUMN))} FROM (SELECT {inner}, row_number() OVER "
        f"(PARTITION BY {keys} ORDER BY f.place DESC, r.{ORDER_COLUMN} DESC) AS _ess_rank "
        f"FROM {quoted(ROWS)} r JOIN {quoted(TAKEN)} f "
        f"ON {same_text(f'r.{FILE_COLUMN}', 'f.uri')}) AS ranked "
        "WHERE _ess_rank = 1"
    )
    return Source(quoted(LAST), whole=False)


def delete_files(session: Session, ledger: Ledger, request: LoadRequest, work: Work) -> int:
    """Delete the earlier rows of the files that go, and retire their entries; return the rows."""
    if not work.removed:
        return 0
    target, entries = request.plan.target, ledger.table("_ess_ledger")
    # By load as well: another pipeline may have loaded the same file into this table.
    deleted = session.run(
        f"DELETE FROM {work.name.sql} USING {entries} l, {quoted(REMOVED)} x "  # noqa: S608
        "WHERE l.table_name = ? AND l.pipeline = ? AND l.replaced_by = '' "
        f"AND {same_text('l.uri', 'x.uri')} "
        f"AND {same_text(f'{work.name.sql}.{FILE_COLUMN}', 'l.uri')} "
        f"AND {work.name.sql}.{LOAD_COLUMN} = l.load_id",
        str(work.name),
        target.pipeline,
    )
    ledger.retire(str(work.name), target.pipeline, quoted(REMOVED), request.load_id)
    return deleted


def delete_keys(session: Session, request: LoadRequest, work: Work, source: Source) -> int:
    """Delete the rows that an upsert's rows take the place of; return how many."""
    if request.plan.target.mode != "upsert":
        return 0
    keys, table = _keys(request), work.name.sql
    begin = f"DELETE FROM {table} USING {source.relation} s WHERE "  # noqa: S608 - names quoted
    deleted = session.run(begin + " AND ".join(key.equal(table, "s") for key in keys))
    # Keys that hold a null by themselves: a join on "equal or both null" would go row by row.
    some_null = " OR ".join(f"{key.name} IS NULL" for key in keys)
    if session.value(f"SELECT count(*) FROM {source.relation} WHERE {some_null}"):  # noqa: S608
        same = [f"({key.equal(table, 's')} OR ({table}.{key.name} IS NULL "
                f"AND s.{key.name} IS NULL))" for key in keys]  # fmt: skip
        of_source = " OR ".join(f"s.{key.name} IS NULL" for key in keys)
        deleted += session.run(f"{begin}({of_source}) AND " + " AND ".join(same))
    return deleted


@dataclass(frozen=True, slots=True)
class _Key:
    """A key column of an upsert, by its quoted name."""

    name: str
    is_text: bool

    def parts(self, relation: str) -> tuple[str, ...]:
        """Return the SQL of what tells the values of the key apart."""
        value = f"{relation}.{self.name}"
        return (value, f"octet_length({value})") if self.is_text else (value,)

    def equal(self, left: str, right: str) -> str:
        """Return the SQL that the key is the same in two relations."""
        values = (f"{left}.{self.name}", f"{right}.{self.name}")
        return same_text(*values) if self.is_text else " = ".join(values)


def _keys(request: LoadRequest) -> list[_Key]:
    texts = {fold(c.name) for c in request.plan.columns if stored(c.type).name == "string"}
    return [_Key(quoted(name), fold(name) in texts) for name in request.plan.target.key]


def insert_rows(session: Session, request: LoadRequest, name: TableName, source: Source) -> int:
    """Insert the rows into the table; return how many."""
    columns = [quoted(column.name) for column in request.plan.columns]
    into = ", ".join([*columns, FILE_COLUMN, LOAD_COLUMN])
    values = ", ".join([*map(_value, request.plan.columns), FILE_COLUMN, text_value(LOAD_WIDTH)])
    return session.run(
        f"INSERT INTO {name.sql} ({into}) SELECT {values} FROM {source.relation}",  # noqa: S608
        request.load_id,
    )


def _value(column: Column) -> str:
    """Return the SQL of a column's value for the target: nested ones are staged as text."""
    name = quoted(column.name)
    return f"json_parse({name})" if column.type.name == NESTED else name
