"""The catalogue's tables, and the steps from one release's to the next one's."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ess_dask.errors import ConfigError

Step = Sequence[str]

STEPS: tuple[Step, ...] = (
    (
        "create table settings (name text primary key, value text not null) without rowid",
        "create table datastores (label text primary key, root text not null,"
        " region text not null, credentials text not null, endpoint text not null)"
        " without rowid",
        "create table categories (id integer primary key,"
        " label text not null references datastores (label) on delete cascade,"
        " name text not null, definition text not null, unique (label, name))",
        # Names are bytes: a file system does not promise that they are text.
        "create table files (category integer not null"
        " references categories (id) on delete cascade,"
        " uri blob not null, size integer not null, etag text not null,"
        " primary key (category, uri)) without rowid",
    ),
    (
        "create table clusters (label text primary key, identifier text not null,"
        " host text not null, port integer not null, database text not null,"
        " user text not null, region text not null, options text not null) without rowid",
    ),
    (
        # Runs are in the order in which they began: a clock may be set back, a number not.
        "create table runs (id integer primary key autoincrement, run_id text not null unique,"
        " pipeline text not null, state text not null, started real not null, ended real,"
        " exit_code integer, lower text not null, upper text not null, digest text not null,"
        " pipeline_file text not null, folder text not null, pid integer not null,"
        " host text not null, beat real not null, backfill text not null,"
        " files integer not null, rows_read integer not null, rows_loaded integer not null,"
        " rows_rejected integer not null, rows_dropped integer not null, error text not null,"
        " target text not null)",
        "create index runs_of_pipeline on runs (pipeline)",
        "create index runs_of_backfill on runs (backfill) where backfill != ''",
        "create index runs_alive on runs (pipeline, target) where ended is null",
        "create table run_events (run integer not null references runs (id) on delete cascade,"
        " number integer not null, at real not null, state text not null, name text not null,"
        " detail text not null, primary key (run, number)) without rowid",
        "create table backfills (id text primary key, pipeline text not null,"
        " pipeline_file text not null, lower text not null, upper text not null,"
        " chunk text not null, reprocess text not null, overrides text not null,"
        " started real not null, ended real, state text not null)",
    ),
    (
        # Whether `days` is up to date, and how dates were found in names.
        "create table coverage (category integer primary key"
        " references categories (id) on delete cascade, dateregex text not null)",
        "create table days (category integer not null"
        " references categories (id) on delete cascade,"
        " day text not null, files integer not null, bytes integer not null,"
        " primary key (category, day)) without rowid",
    ),
)
"""Statements of each step; ``user_version`` counts the steps that were done."""


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[Step] = STEPS) -> None:
    """Bring the catalogue at ``path`` to the last step, after a copy ``*.vN.bak`` of the old one.

    Safe when several processes begin at once. Raises ``ConfigError`` when a newer release wrote it.
    """
    if _version(connection) == len(steps):
        return
    connection.execute("begin immediate")
    try:
        done = _version(connection)
        if done > len(steps):
            raise ConfigError(
                f"{path}: written by a newer release (state {done}, this one knows {len(steps)})",
                hint="install that release, or set ESS_CACHE_DIR to another folder",
            )
        if done:
            _back_up(path, done)
        for step in steps[done:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"pragma user_version = {len(steps)}")
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def _back_up(path: Path, version: int) -> None:
    copy = path.with_name(f"{path.name}.v{version}.bak")
    copy.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
