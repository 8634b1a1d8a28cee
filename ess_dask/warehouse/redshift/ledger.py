"""The ledger in Redshift: which files stand in which table, the loads, their digests, the rejects.

Tables (in the schema of the URL's option ``schema``): ``_ess_meta`` one row, the ledger's version;
``_ess_loads`` one row per load; ``_ess_digests`` one per load, column and measure; ``_ess_ledger``
one per file version; ``_ess_rejects`` one per rejected row. Times are UTC. Redshift enforces no
keys: a load takes ``LOCK`` on ``_ess_ledger`` before it reads anything, so loads pass one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError
from ess_dask.records.rejects import RAW_LIMIT
from ess_dask.warehouse.digest import ColumnDigest, Digest
from ess_dask.warehouse.protocol import LedgerEntry, LoadEntry
from ess_dask.warehouse.quote import fold
from ess_dask.warehouse.recorded import (
    ENTRY_COLUMNS,
    LOAD_COLUMNS,
    VERSION,
    check_version,
    entry_of,
    entry_row,
    load_of,
    load_row,
    where,
)
from ess_dask.warehouse.redshift.names import quoted, same_text
from ess_dask.warehouse.standing import FIELDS

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.session import Rows, Session

_DIGEST_COLUMNS = ("load_id", "column_name", "measure", "value")
REJECT_COLUMNS = (*FIELDS, "replayed_by")

_HEX_BYTES = 32_000
"""Bytes at most whose hexadecimal digits a VARCHAR has room for."""

_NAME, _ID, _COUNT = "VARCHAR(1024) NOT NULL", "VARCHAR(256) NOT NULL", "BIGINT NOT NULL"
_WHO = f"table_name {_NAME}, pipeline {_NAME}"
_TABLES = {
    "_ess_meta": "version INTEGER NOT NULL",
    "_ess_loads": (
        f"load_id {_ID}, {_WHO}, mode {_ID}, digest {_ID}, committed_at TIMESTAMP NOT NULL, "
        f"files {_COUNT}, rows_loaded {_COUNT}, rows_rejected {_COUNT}, rows_deleted {_COUNT}, "
        f"already_done {_COUNT}"
    ),
    "_ess_digests": f"load_id {_ID}, column_name VARCHAR(512), measure {_ID}, value {_ID}",
    "_ess_ledger": (
        f"{_WHO}, uri VARCHAR(4096) NOT NULL, etag {_NAME}, date {_ID}, part {_ID}, "
        f"rows_read {_COUNT}, rows_loaded {_COUNT}, rows_rejected {_COUNT}, rows_dropped {_COUNT}, "
        f"load_id {_ID}, digest {_ID}, loaded_at TIMESTAMP NOT NULL, replaced_by {_ID}, "
        "place INTEGER NOT NULL"
    ),
    "_ess_rejects": (
        f"load_id {_ID}, {_WHO}, uri VARCHAR(4096) NOT NULL, etag {_NAME}, member VARCHAR(4096), "
        'line BIGINT, column_name VARCHAR(512), reason VARCHAR(4096), "raw" VARBYTE(1024000), '
        "title VARCHAR(65535), replayed_by VARCHAR(256)"
    ),
}


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger's tables in one schema, through one session."""

    session: Session
    schema: str

    def table(self, name: str) -> str:
        """Return one of the tables, quoted."""
        return f"{quoted(self.schema)}.{quoted(name)}"

    def exists(self) -> bool:
        """Whether the warehouse has a ledger; raises ``ConfigError`` when it is a later release's.

        ``DataError`` when some of its tables are missing: to make them anew would forget what is
        loaded. The transaction goes on.
        """
        found = self.session.rows(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ? AND c.relname LIKE '_ess_%'",
            fold(self.schema),
        )
        lost = sorted(_TABLES.keys() - {row[0] for row in found})
        if len(lost) == len(_TABLES):
            return False
        if lost:
            raise DataError(
                f"the ledger in schema {self.schema} has lost {', '.join(lost)}: what is loaded "
                "cannot be known",
                hint="restore the table, for one from a snapshot; to begin anew, drop the other "
                "_ess_ tables and the tables that were loaded",
            )
        self._check_version()
        return True

    def prepare(self) -> None:
        """Make the tables where they are missing, in a transaction of their own."""
        missing = not self.exists()
        self.session.commit()
        if not missing:
            return
        try:
            self._create()
        except DataError:
            # Another load made them at the same time: its transaction is over by now.
            self.session.rollback()
            if not self.exists():
                raise
        self.session.commit()

    def _create(self) -> None:
        # Even with IF NOT EXISTS it asks for a right on the database that few users have.
        if not self.session.value(
            "SELECT count(*) FROM pg_namespace WHERE nspname = ?", fold(self.schema)
        ):
            self.session.run(f"CREATE SCHEMA IF NOT EXISTS {quoted(self.schema)}")
        for name, columns in _TABLES.items():
            small = name in {"_ess_meta", "_ess_loads"}
            style = "DISTSTYLE ALL" if small else "DISTSTYLE EVEN"
            self.session.run(f"CREATE TABLE {self.table(name)} ({columns}) {style}")
        self.session.run(f"INSERT INTO {self.table('_ess_meta')} VALUES ({VERSION})")  # noqa: S608

    def lock(self) -> None:
        """Take the ledger for this transaction; must be its first statement.

        The snapshot of a transaction is taken by the first statement that reads: one that read
        before it waited would not see what the load before it wrote.
        """
        self.session.run(f"LOCK {self.table('_ess_ledger')}")

    def _check_version(self) -> None:
        check_version(self.session.rows(f"SELECT version FROM {self.table('_ess_meta')}"))  # noqa: S608

    def entries(
        self, table: str, pipeline: str, *, history: bool = False
    ) -> tuple[LedgerEntry, ...]:
        """Return ledger entries in order of loading; '' is any table or pipeline."""
        asked, values = where(table, pipeline)
        standing = "" if history else " AND replaced_by = ''"
        rows = self.session.rows(
            f"SELECT {', '.join(ENTRY_COLUMNS)} FROM {self.table('_ess_ledger')} "  # noqa: S608
            f"WHERE {asked}{standing} ORDER BY loaded_at, load_id, place",
            *values,
        )
        return tuple(map(entry_of, rows))

    def loads(
        self, table: str = "", pipeline: str = "", load_id: str = ""
    ) -> tuple[LoadEntry, ...]:
        """Return committed loads, oldest first; '' is any."""
        asked, values = where(table, pipeline, load_id)
        rows = self.session.rows(
            f"SELECT {', '.join(LOAD_COLUMNS)} FROM {self.table('_ess_loads')} "  # noqa: S608
            f"WHERE {asked} ORDER BY committed_at, load_id",
            *values,
        )
        return tuple(map(load_of, rows))

    def record_files(self, entries: Sequence[LedgerEntry]) -> None:
        """Write the entries of one load."""
        rows = [(*entry_row(entry), place) for place, entry in enumerate(entries)]
        self.session.insert(self.table("_ess_ledger"), (*ENTRY_COLUMNS, "place"), rows)

    def record_load(self, load: LoadEntry) -> None:
        """Write one load."""
        self.session.insert(self.table("_ess_loads"), LOAD_COLUMNS, [load_row(load)])

    def record_digest(self, load_id: str, digest: Digest) -> None:
        """Write the digest of a load's rows, one row per measure."""
        rows: list[tuple[Any, ...]] = [(load_id, None, "rows", str(digest.rows))]
        for column in digest.columns:
            rows += [(load_id, column.name, name, _text(value)) for name, value in column.measures]
            rows += [(load_id, column.name, "magnitude", _text(column.magnitude))]
        self.session.insert(self.table("_ess_digests"), _DIGEST_COLUMNS, rows)

    def digest(self, load_id: str, like: Digest) -> Digest:
        """Return the recorded digest of a load, with the columns and measures of ``like``."""
        found = self.session.rows(
            f"SELECT column_name, measure, value FROM {self.table('_ess_digests')} "  # noqa: S608
            "WHERE load_id = ?",
            load_id,
        )
        values = {(column, measure): value for column, measure, value in found}
        try:
            return Digest(
                int(values[None, "rows"]),
                tuple(_recorded(values, column) for column in like.columns),
            )
        except KeyError as error:
            raise DataError(f"load {load_id} has no recorded digest of {error.args[0]}") from None

    def retire(self, table: str, pipeline: str, uris: str, by: str) -> None:
        """Mark standing entries as replaced by a load; ``uris`` is a table with their ``uri``."""
        entries = self.table("_ess_ledger")
        same = same_text(f"{entries}.uri", "x.uri")
        self.session.run(
            f"UPDATE {entries} SET replaced_by = ? FROM {uris} x WHERE table_name = ? "  # noqa: S608
            f"AND pipeline = ? AND replaced_by = '' AND {same}",
            by,
            table,
            pipeline,
        )

    def retire_lost(self, table: str, by: str) -> None:
        """Mark every entry whose rows went with a table that was dropped."""
        self.session.run(
            f"UPDATE {self.table('_ess_ledger')} SET replaced_by = ? "  # noqa: S608
            "WHERE table_name = ? AND replaced_by = '' AND rows_loaded > 0",
            by,
            table,
        )

    def rejects(self, table: str, pipeline: str, load_id: str, limit: int | None) -> Rows:
        """Return the rejected rows of files that stand, as ``Warehouse.rejects``; '' is any."""
        asked, values = where(table, pipeline, load_id, prefix="r.")
        # The driver takes the bytes of a VARBYTE for UTF-8; as digits they come as they are.
        pieces = [
            f'to_hex(substring(r."raw", {start}, {_HEX_BYTES}))'
            for start in range(1, RAW_LIMIT + 1, _HEX_BYTES)
        ]
        raw = REJECT_COLUMNS.index("raw")
        before, behind = REJECT_COLUMNS[:raw], REJECT_COLUMNS[raw + 1 : -1]
        fields = ", ".join([*map("r.{}".format, before), *pieces, *map("r.{}".format, behind)])
        ending = f" LIMIT {int(limit)}" if limit is not None else ""
        rows = self.session.rows(
            f"SELECT {fields} FROM {self.table('_ess_rejects')} r "  # noqa: S608
            f"JOIN {self.table('_ess_ledger')} l ON l.load_id = r.load_id "
            "AND l.table_name = r.table_name AND l.pipeline = r.pipeline "
            f"AND {same_text('l.uri', 'r.uri')} "
            f"WHERE l.replaced_by = '' AND {asked} AND NOT {self.stands('r.replayed_by')} "
            f"ORDER BY l.loaded_at, l.load_id, l.place, r.member, r.line, r.column_name{ending}",
            *values,
        )
        end = raw + len(pieces)
        return [
            (*row[:raw], bytes.fromhex("".join(filter(None, row[raw:end]))), *row[end:])
            for row in rows
        ]

    def stands(self, load_id: str) -> str:
        """Return the SQL that says whether what a load put in of a rejected row's file stands."""
        return (
            f"EXISTS (SELECT 1 FROM {self.table('_ess_ledger')} s WHERE s.load_id = {load_id} "  # noqa: S608
            f"AND {same_text('s.uri', 'r.uri')} AND s.table_name = r.table_name "
            "AND s.pipeline = r.pipeline AND s.replaced_by = '')"
        )


def _recorded(values: dict[tuple[str | None, str], str | None], like: ColumnDigest) -> ColumnDigest:
    measures = tuple(
        (name, _number(values[like.name, name], value)) for name, value in like.measures
    )
    return ColumnDigest(like.name, measures, float(values[like.name, "magnitude"] or 0.0))


def _text(value: Any) -> str | None:
    return repr(value) if isinstance(value, float) else None if value is None else str(value)


def _number(text: str | None, like: Any) -> Any:
    if text is None:
        return None
    return float(text) if isinstance(like, float) else Decimal(text)
