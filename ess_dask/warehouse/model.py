"""The words of a load: target, staged part, request, plan, result. Frozen, printable, picklable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError
from ess_dask.records.spec import Column
from ess_dask.warehouse.digest import Digest
from ess_dask.warehouse.hooks import check_hook

Mode = Literal["append", "replace", "upsert"]
OnChange = Literal["fail", "reprocess", "ignore"]
STYLES = ("auto", "even", "all")
"""How a table without a distribution key can lie."""


def _fix(value: object, name: str, texts: str | Iterable[str]) -> None:
    """Let one text stand for a tuple of one: letter by letter it would be something else."""
    object.__setattr__(value, name, (texts,) if isinstance(texts, str) else tuple(texts))


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How a new table lies on the machines of a warehouse that has several.

    ``dist_key`` is the column whose equal values lie together; without one ``dist_style`` is
    ``auto``, ``even`` or ``all`` ('' leaves it to the warehouse). ``sort_key`` names the columns
    that rows are sorted by. Raises ``ConfigError`` for a style that is not known, or beside a key.
    """

    dist_style: str = ""
    dist_key: str = ""
    sort_key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _fix(self, "sort_key", self.sort_key)
        if self.dist_style not in ("", *STYLES):
            raise ConfigError(
                f"{self.dist_style!r} is no way to distribute a table",
                hint=f"known are {', '.join(STYLES)}; or name a dist_key",
            )
        if self.dist_style and self.dist_key:
            raise ConfigError(
                "dist_style and dist_key exclude each other", hint="a key is a style: keep one"
            )


@dataclass(frozen=True, slots=True)
class Hooks:
    """SQL of the user's around a load; ``{table}`` stands for the table's quoted name.

    ``inside``: last in the load's transaction. ``after``: each by itself when it is committed. A
    run that finds nothing to load runs neither. Raises ``ConfigError`` for what is not one
    statement, and for one inside that would end the transaction.
    """

    inside: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _fix(self, "inside", self.inside)
        _fix(self, "after", self.after)
        for hook in self.inside:
            check_hook(hook, inside=True)
        for hook in self.after:
            check_hook(hook, inside=False)


@dataclass(frozen=True, slots=True)
class Target:
    """The destination: ``url`` (``duckdb:///path`` ...), table (``[schema.]name``), how to write.

    ``key`` names the columns that identify a row for ``upsert``. ``pipeline`` is the ledger's name
    for who loads. ``layout`` is that of a table which is made; what there is stays as it is.
    ``direct``: rows go straight into the table (``append`` only).
    """

    url: str
    table: str
    pipeline: str
    mode: Mode = "append"
    key: tuple[str, ...] = ()
    on_change: OnChange = "fail"
    direct: bool = False
    layout: TableLayout = TableLayout()
    hooks: Hooks = Hooks()


@dataclass(frozen=True, slots=True)
class LoadFile:
    """One file version as the ledger knows it; ``part`` is '' or a replay's id. Counts in rows."""

    uri: str
    etag: str
    date: str = ""
    part: str = ""
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_dropped: int = 0


@dataclass(frozen=True, slots=True)
class StagedPart:
    """A file of rows written by a worker: all rows of the named files, or a share of one file's.

    It holds the target's columns and ``_ess_file`` (uri). ``path`` is local or a URL, ``bytes``
    as stored. ``widths`` are the greatest lengths of texts and binaries by column, in bytes, and
    ``digest`` is that of the rows; a back end that needs neither leaves them out.
    """

    path: str
    rows: int
    bytes: int
    uris: tuple[str, ...]
    widths: tuple[tuple[str, int], ...] = ()
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a load would do, made before any effect; dry-run prints it, load executes exactly it."""

    target: Target
    columns: tuple[Column, ...]
    new: tuple[LoadFile, ...]
    done: tuple[LoadFile, ...]
    changed: tuple[LoadFile, ...]
    ddl: tuple[str, ...]
    """Statements that create or evolve the table, in order; empty when it fits."""
    replaces: tuple[str, ...] = ()
    """uris whose earlier rows are deleted in the load's transaction (reprocess, replace)."""
    warnings: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    """Columns in which the table takes no null, where the back end looks at that."""
    again: tuple[str, ...] = ()
    """uris among ``changed`` whose version at hand is loaded: its rows are replaced all the same.
    The policy of the target is then ``reprocess``."""


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A plan plus what the workers staged for it. ``rejects`` are Parquet paths (REJECT_FIELDS).

    ``replayed`` is the Parquet path (REPLAYED_FIELDS) of the standing rejected rows that this load
    read again ('' unless it is a replay): in its transaction they stop to stand. ``whole``: the
    rows of the files can no longer be told apart, so that all are loaded or none.
    """

    load_id: str
    plan: LoadPlan
    plan_digest: str
    files: tuple[LoadFile, ...]
    parts: tuple[StagedPart, ...]
    rejects: tuple[str, ...] = ()
    replayed: str = ""
    whole: bool = False


REPLAYED_FIELDS = ("load_id", "uri", "member", "line")
"""What names a rejected row of one table and pipeline. Arrow types: strings, line int64."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a committed load did, in rows."""

    load_id: str
    files: int
    rows_loaded: int
    rows_rejected: int
    rows_deleted: int = 0
    already_done: int = 0
    """Files another run had loaded in the meantime: left as they are."""
