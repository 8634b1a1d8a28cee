"""A table of Redshift for a registered category, as a call (``ess redshift gentable``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ess_dask.api.warn import tell
from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, UsageError

if TYPE_CHECKING:
    from ess_dask.catalog.model import Category, Datastore
    from ess_dask.records.spec import Column, ReadSpec
    from ess_dask.warehouse.model import TableLayout
    from ess_dask.warehouse.redshift.url import RedshiftURL

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TableRequest:
    """A table to make for a registered category. ``label`` is that of its datastore ('' is the
    current one), ``keys`` are texts such as ``col = distkey``."""

    table: str
    category: str
    label: str = ""
    keys: tuple[str, ...] = ()


def table_statements(
    request: TableRequest, schema: str = "public", say: Say = tell
) -> tuple[str, ...]:
    """Return the statement of ``make_table``; no cluster is connected to."""
    from ess_dask.warehouse.redshift.gentable import table_ddl

    columns, layout = _wanted_table(request, say)
    return table_ddl(request.table, columns, layout, schema)


def make_table(request: TableRequest, url: RedshiftURL, say: Say = tell) -> tuple[str, ...]:
    """Make a table that the rows of a category can be loaded into; return the statements.

    Columns are those of the category's column spec without X; texts are as long as a sample of the
    first file asks for (``say`` is told when there is none). Raises ``ConflictError`` when the
    table is there, ``UsageError`` for unknown names and keys, and what connecting raises.
    """
    from ess_dask.warehouse.redshift.gentable import create_table
    from ess_dask.warehouse.redshift.warehouse import RedshiftWarehouse

    columns, layout = _wanted_table(request, say)
    with RedshiftWarehouse(url).session() as session:
        return create_table(session, request.table, columns, layout, url.options.schema)


def _wanted_table(request: TableRequest, say: Say) -> tuple[tuple[Column, ...], TableLayout]:
    from ess_dask.catalog.registry import registered
    from ess_dask.records.columnspec import parse_columnspec
    from ess_dask.warehouse.redshift.gentable import parse_keys, table_columns

    layout = parse_keys(request.keys)
    store, category = registered(request.category, request.label)
    if not category.columnspec.strip():
        raise UsageError(
            f"category {category.name} has no column spec",
            hint=f"ess category change columnspec {category.name} 'S:name I:number'",
        )
    columns = parse_columnspec(category.columnspec)
    return table_columns(columns, _longest(store, category, columns, say)), layout


def _longest(
    store: Datastore, category: Category, columns: tuple[Column, ...], say: Say
) -> list[int]:
    """Return the longest text of each column in a sample of the first file; [] without one."""
    from ess_dask.catalog.probing import read_sample
    from ess_dask.catalog.selection import select_files
    from ess_dask.warehouse.redshift.gentable import longest_texts

    try:
        files = select_files(store, category, "*", "*").files
        file = next((each for each in files if each.size), None)
        if file is not None:
            sample = read_sample(store, category, file)
            return longest_texts(sample, _by_position(category, columns))
        why = "there is no file"
    except EssError as error:
        why = error.message
    say(f"warning: the lengths of texts are not known: {why}")
    return []


def _by_position(category: Category, columns: tuple[Column, ...]) -> ReadSpec:
    from ess_dask.records.spec import ReadSpec

    return ReadSpec(
        columns=columns,
        delimiter=category.delimiter or ",",
        header=category.header,
        by_position=True,
    )
