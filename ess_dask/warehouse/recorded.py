"""What a ledger holds in every back end: its columns, rows in and out of them, conditions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from ess_dask.errors import ConfigError
from ess_dask.warehouse.model import LoadFile, LoadResult, Mode
from ess_dask.warehouse.protocol import LedgerEntry, LoadEntry

VERSION = 1
"""Version of a ledger's tables; a warehouse with a later one is refused."""

ENTRY_COLUMNS = (
    "table_name", "pipeline", "uri", "etag", "date", "part", "rows_read", "rows_loaded",
    "rows_rejected", "rows_dropped", "load_id", "digest", "loaded_at", "replaced_by",
)  # fmt: skip
"""The columns of ``entry_row``."""
LOAD_COLUMNS = (
    "load_id", "table_name", "pipeline", "mode", "digest", "committed_at", "files", "rows_loaded",
    "rows_rejected", "rows_deleted", "already_done",
)  # fmt: skip
"""The columns of ``load_row``."""


def entry_row(entry: LedgerEntry) -> tuple[Any, ...]:
    """Return an entry as a row."""
    e, f = entry, entry.file
    return (
        e.table, e.pipeline, f.uri, f.etag, f.date, f.part, f.rows_read, f.rows_loaded,
        f.rows_rejected, f.rows_dropped, e.load_id, e.digest, e.loaded_at, e.replaced_by,
    )  # fmt: skip


def entry_of(row: Sequence[Any]) -> LedgerEntry:
    """Return the entry that a row holds."""
    return LedgerEntry(row[0], row[1], LoadFile(*row[2:10]), *row[10:])


def load_row(load: LoadEntry) -> tuple[Any, ...]:
    """Return a load as a row."""
    r = load.result
    return (r.load_id, load.table, load.pipeline, load.mode, load.digest, load.committed_at,
            r.files, r.rows_loaded, r.rows_rejected, r.rows_deleted, r.already_done)  # fmt: skip


def load_of(row: Sequence[Any]) -> LoadEntry:
    """Return the load that a row holds."""
    result = LoadResult(row[0], *row[6:])
    return LoadEntry(row[1], row[2], cast("Mode", row[3]), row[4], row[5], result)


def check_version(rows: Iterable[Sequence[Any]]) -> None:
    """Raise ``ConfigError`` when one of the versions is that of a later release."""
    version = max((row[0] for row in rows), default=VERSION)
    if version > VERSION:
        raise ConfigError(
            f"the warehouse's ledger has version {version}, this release knows {VERSION}",
            hint="upgrade ess-dask",
        )


def where(table: str, pipeline: str, load_id: str = "", prefix: str = "") -> tuple[str, list[Any]]:
    """Return the SQL condition of what is asked for, and its values; '' is any."""
    wanted = {"table_name": table, "pipeline": pipeline, "load_id": load_id}
    asked = {name: value for name, value in wanted.items() if value}
    clause = " AND ".join(f"{prefix}{name} = ?" for name in asked) or "true"
    return clause, list(asked.values())


def now() -> datetime:
    """Return the time as a ledger keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
