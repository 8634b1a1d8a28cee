"""A table for the rows of a category: its statement, and its making."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from ess_dask.errors import ConflictError, UsageError
from ess_dask.records.spec import Column, DataType, ReadSpec
from ess_dask.warehouse.model import TableLayout
from ess_dask.warehouse.quote import parse_table
from ess_dask.warehouse.redshift.ddl import RedshiftDialect
from ess_dask.warehouse.redshift.existing import table_state
from ess_dask.warehouse.redshift.types import DEFAULT_TEXT, with_width
from ess_dask.warehouse.schema import TableState, plan_ddl

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.session import Session

_KEY = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[^="]+?))\s*=\s*(?P<kind>\w+)\s*')


def parse_keys(texts: Iterable[str]) -> TableLayout:
    """Return the layout of ``col = distkey`` and ``col = sortkey``; sort keys in their order.

    Raises ``UsageError`` for another form and for a second distribution key.
    """
    dist: list[str] = []
    sort: list[str] = []
    for text in texts:
        match = _KEY.fullmatch(text)
        kind = match["kind"].lower() if match else ""
        if match is None or kind not in ("distkey", "sortkey"):
            raise UsageError(
                f"{text!r} is no key of a table",
                hint='write "COLUMN = distkey" or "COLUMN = sortkey"',
            )
        name = match["quoted"].replace('""', '"') if match["quoted"] else match["plain"]
        (dist if kind == "distkey" else sort).append(name)
    if len(dist) > 1:
        raise UsageError(
            f"a table has one distribution key, not {len(dist)}: {', '.join(dist)}",
            hint="make the others sort keys",
        )
    return TableLayout(dist_key="".join(dist), sort_key=tuple(sort))


def table_columns(columns: Sequence[Column], longest: Sequence[int]) -> tuple[Column, ...]:
    """Return the columns with the lengths of their texts; skipped ones are left out.

    ``longest`` are the bytes of the longest known value of each column, 0 or nothing where none is
    known. No text has less than Redshift's own length.
    """
    known = [*longest, *[0] * (len(columns) - len(longest))]
    found = []
    for column, most in zip(columns, known, strict=True):
        if column.type.name != "skip":
            wide = with_width(column, most)
            found.append(wide if wide.type.precision > DEFAULT_TEXT else column)
    return tuple(found)


def longest_texts(sample: bytes, read: ReadSpec) -> list[int]:
    """Return the bytes of the longest text in each column of a sample of plain bytes.

    ``read`` says how it is read, by position; records that cannot be read do not count.
    """
    import pyarrow.compute as pc

    from ess_dask.records.chunk import FileSource
    from ess_dask.records.csv import read_chunks

    texts = tuple(Column(f"c{n}", DataType("string")) for n in range(len(read.columns)))
    source = FileSource("sample", lambda: BytesIO(sample))
    longest = [0] * len(texts)
    for chunk in read_chunks(source, replace(read, columns=texts), [sample]):
        for place, values in enumerate(chunk.table.columns):
            most = pc.max(pc.binary_length(values)).as_py()
            longest[place] = max(longest[place], most or 0)
    return longest


def table_ddl(
    table: str, columns: Sequence[Column], layout: TableLayout, schema: str
) -> tuple[str, ...]:
    """Return the statement that makes a table that loads can go into; nothing is looked at.

    ``schema`` is that of a name without one. Raises ``ConfigError`` for names and keys that cannot
    be.
    """
    state = TableState(parse_table(table, schema), schema_exists=True)
    return plan_ddl(state, columns, RedshiftDialect(layout))


def create_table(
    session: Session, table: str, columns: Sequence[Column], layout: TableLayout, schema: str
) -> tuple[str, ...]:
    """Make the table, and its schema where that is missing; return the statements.

    Raises ``ConflictError`` when there is a table or view of this name, and as ``table_ddl``.
    """
    state = table_state(session, parse_table(table, schema))
    if state.exists:
        kind = "view" if state.is_view else "table"
        raise ConflictError(
            f"the {kind} {state.name} is there already", hint="drop it, or give another name"
        )
    statements = plan_ddl(state, columns, RedshiftDialect(layout))
    for statement in statements:
        session.run(statement)
    session.commit()
    return statements
