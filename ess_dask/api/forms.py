"""Rows in the forms that users ask for, their columns in words, and columns as users name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ess_dask.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


def describe_schema(schema: pa.Schema) -> dict[str, str]:
    """Return name and type of each column as ``parse_type`` reads it, else as Arrow says it."""
    from ess_dask.errors import DataError
    from ess_dask.records.types import format_type
    from ess_dask.warehouse.schema import from_arrow

    described = {}
    for field in schema:
        try:
            described[field.name] = format_type(from_arrow(field.name, field.type))
        except DataError:
            described[field.name] = str(field.type)
    return described


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return rows as a pandas frame whose columns stay in Arrow: types and nulls are exact."""
    import pandas as pd

    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def as_polars(table: pa.Table) -> pl.DataFrame:
    """Return rows as a Polars frame."""
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def names_of(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names that a user gave: one, or several."""
    return (value,) if isinstance(value, str) else tuple(value)


def check_file_columns(names: Sequence[str], taken: Sequence[str]) -> None:
    """Raise ``UsageError`` for another column than ``file_date`` and ``file_uri``, and for one that
    is there already."""
    for number, name in enumerate(names):
        if name not in ("file_date", "file_uri"):
            raise UsageError(f"no such file column: {name}", hint="file_date or file_uri")
        if name in names[:number] or name in taken:
            raise UsageError(f"there is a column {name} already")
