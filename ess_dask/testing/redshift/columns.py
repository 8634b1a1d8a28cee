"""Columns of a table as COPY needs them, and the question that the catalog answers for them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.commands import Copy
from ess_dask.testing.redshift.errors import UNDEFINED_COLUMN, UNDEFINED_TABLE, ServerError
from ess_dask.testing.redshift.tokens import literal

_TYPE = re.compile(
    r"(?P<base>[a-z ]+?)(?:\((?P<first>\d+)(?:,(?P<second>\d+))?\))?(?P<zone> with.*)?"
)
STRINGS = ("character varying", "character")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``type`` is the name without its modifiers.

    ``length`` is bytes of a VARCHAR, CHAR or VARBYTE and digits of a DECIMAL.
    """

    name: str
    type: str
    length: int | None
    scale: int | None
    not_null: bool

    @property
    def declared(self) -> str:
        """The type as the table declares it."""
        if self.length is None:
            return self.type
        more = "" if self.scale is None else f",{self.scale}"
        return f"{self.type}({self.length}{more})"


@dataclass(frozen=True, slots=True)
class Target:
    """The table of a COPY: its catalog number and the columns that the files hold, in order."""

    table_id: int
    columns: tuple[Column, ...]


def columns_query(copy: Copy) -> str:
    """Return the SQL that asks for the columns; ``target`` reads its answer."""
    return f"""select a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
      a.attidentity,
      (select substring(k.conname from '[(]([0-9]+)[)]') from pg_catalog.pg_constraint k
        where k.conrelid = a.attrelid and k.conkey = array[a.attnum] and k.conname like 'varbyte(%')
      from pg_catalog.pg_attribute a join pg_catalog.pg_class t on t.oid = a.attrelid
      where t.relkind = 'r' and a.attrelid = to_regclass({literal(copy.sql_name)})
        and a.attnum > 0 and not a.attisdropped order by a.attnum"""  # noqa: S608 - quoted


def target(copy: Copy, rows: Sequence[Sequence[bytes | None]]) -> Target:
    """Return the table and the columns to load, from the catalog's answer."""
    if not rows:
        raise ServerError(f"Cannot COPY into nonexistent table {copy.table[-1]}", UNDEFINED_TABLE)
    found: dict[str, Column] = {}
    identities = set()
    for row in rows:
        _, name, kind, not_null, identity, length = (part.decode() if part else "" for part in row)
        found[name] = _column(name, kind, not_null == "t", length)
        if identity:
            identities.add(name)
    return Target(int(rows[0][0] or b"0"), _chosen(copy, found, identities))


def _chosen(copy: Copy, found: dict[str, Column], identities: set[str]) -> tuple[Column, ...]:
    explicit = "EXPLICIT_IDS" in copy.options
    if not copy.columns:
        return tuple(c for name, c in found.items() if explicit or name not in identities)
    for name in copy.columns:
        if name not in found:
            raise ServerError(
                f'column "{name}" of relation "{copy.table[-1]}" does not exist', UNDEFINED_COLUMN
            )
    if len(set(copy.columns)) < len(copy.columns):
        raise ServerError("a column is named twice in COPY's list", "42701")
    if identities & set(copy.columns) and not explicit:
        raise ServerError("EXPLICIT_IDS is needed to load an IDENTITY column")
    return tuple(found[name] for name in copy.columns)


def _column(name: str, kind: str, not_null: bool, varbyte_length: str) -> Column:
    match = _TYPE.fullmatch(kind)
    if match is None:
        return Column(name, kind, None, None, not_null)
    first = match["first"] or varbyte_length
    length = int(first) if first else None
    scale = int(match["second"]) if match["second"] else None
    return Column(name, match["base"] + (match["zone"] or ""), length, scale, not_null)
