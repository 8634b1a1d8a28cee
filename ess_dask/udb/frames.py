"""The objects of a database, or of one partition of it, as frames for the rules.

In a frame ``key`` is the place of the row's key among all keys, ``place`` that of the row, and
``c0``, ``c1`` .. are the columns of the object, those of the key first, strings as the rules see
them. Rows lie in the order of their keys, and of one key in the order of their places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ess_dask.aq.kinds import Kind
from ess_dask.aq.vector.batch import blank
from ess_dask.aq.vector.blocks import column_type
from ess_dask.dataclass import dataclass
from ess_dask.tables.layout import ORDER
from ess_dask.udb.model import Request
from ess_dask.udb.specs import Entity, stored_type
from ess_dask.udb.texts import rule_column, table_column

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

KEY, PLACE, HELD = "key", "place", "is_held"
CHOSEN = "is_chosen"
"""Column of the keys' frame: whether the key is in the sample."""


Tables = Mapping[str, "pa.Table"]


@dataclass(slots=True)
class Frames:
    """The frames of the objects that a request looks at, by name; the keys' always."""

    keys: pl.DataFrame
    objects: dict[str, pl.DataFrame]


def column(at: int) -> str:
    """Return the name of an object's column in its frame."""
    return f"c{at}"


def make_frames(request: Request, wanted: Mapping[str, Entity], tables: Tables) -> Frames:
    """Return the frames of ``wanted``; ``tables`` are all objects that hold keys, by name.

    An object that has no table has no rows; a vector has one for each key all the same.
    """
    import polars as pl

    keys = _keys(request, tables)
    objects = {}
    for name, entity in wanted.items():
        table = tables.get(name)
        if entity.role == "keys":
            held = pl.lit(True).alias(HELD)
            objects[name] = keys.drop(CHOSEN, *_stored_names(entity)).with_columns(
                held, pl.col(KEY).alias(PLACE)
            )
            continue
        frame = _object(entity, table, keys)
        objects[name] = _every_key(entity, frame, keys) if entity.role == "vector" else frame
    return Frames(keys, objects)


def _stored_names(entity: Entity) -> list[str]:
    return [f"k{at}" for at in range(len(entity.key))]


def _stored_keys(entity: Entity, table: pa.Table) -> pl.DataFrame:
    """Return the key columns of a table as they are stored."""
    import polars as pl

    names = _stored_names(entity)
    columns = {
        name: pl.Series(pl.from_arrow(table[field.name]))
        for name, field in zip(names, entity.key, strict=True)
    }
    return pl.DataFrame(columns).with_columns(
        pl.Series(PLACE, table[ORDER].to_numpy(), dtype=pl.Int64)
    )


def _keys(request: Request, tables: Tables) -> pl.DataFrame:
    """Return all keys, stored and as the rules see them, in the order in which they came."""
    import polars as pl
    import pyarrow as pa

    entity = request.database.keys
    names = _stored_names(entity)
    schema = pa.schema([(field.name, stored_type(field.kind)) for field in entity.key])
    nothing = schema.empty_table().append_column(ORDER, pa.array([], pa.int64()))
    parts = [_stored_keys(entity, table) for table in (nothing, *tables.values())]
    found = pl.concat(parts).group_by(names, maintain_order=True).agg(pl.col(PLACE).min())
    found = found.rename({PLACE: KEY}).sort(KEY)
    stored = found.select(names).to_arrow().rename_columns([field.name for field in entity.key])
    stored = stored.cast(schema)
    found = found.with_columns(*_rule_columns(entity, stored), pl.lit(True).alias(CHOSEN))
    if request.sample is None:
        return found
    return found.with_columns(pl.Series(CHOSEN, request.sample.chosen(stored), dtype=pl.Boolean))


def _rule_columns(entity: Entity, table: pa.Table) -> list[pl.Series]:
    import polars as pl

    columns = []
    for at, field in enumerate(entity.columns):
        values = table[field.name]
        series = rule_column(values) if field.kind is Kind.S else pl.Series(pl.from_arrow(values))
        columns.append(series.cast(column_type(field.kind)).alias(column(at)))
    return columns


def _object(entity: Entity, table: pa.Table | None, keys: pl.DataFrame) -> pl.DataFrame:
    import polars as pl
    import pyarrow as pa

    names = _stored_names(entity)
    if table is None:
        schema = pa.schema([(field.name, stored_type(field.kind)) for field in entity.columns])
        table = schema.empty_table().append_column(ORDER, pa.array([], pa.int64()))
    frame = _stored_keys(entity, table).with_columns(*_rule_columns(entity, table))
    placed = frame.join(keys.select(*names, KEY), on=names, how="left", maintain_order="left")
    return placed.drop(names).sort(KEY, PLACE).with_columns(pl.lit(True).alias(HELD))


def _every_key(entity: Entity, frame: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Return a vector with a row for every key: blank where nothing was imported."""
    import polars as pl

    own = range(len(entity.key), len(entity.columns))
    known = [column(at) for at in range(len(entity.key))]
    joined = keys.select(KEY, *known).join(
        frame.drop(known), on=KEY, how="left", maintain_order="left"
    )
    blanks = [pl.col(column(at)).fill_null(blank(entity.columns[at].kind)) for at in own]
    return joined.with_columns(
        *blanks, pl.col(PLACE).fill_null(pl.col(KEY)), pl.col(HELD).fill_null(False)
    )


def stored_table(entity: Entity, frame: pl.DataFrame) -> pa.Table:
    """Return a frame as the rows that memory holds of an object."""
    import pyarrow as pa

    names, arrays = [], []
    for at, field in enumerate(entity.columns):
        series = frame[column(at)]
        arrays.append(
            table_column(series)
            if field.kind is Kind.S
            else series.to_arrow().cast(stored_type(field.kind))
        )
        names.append(field.name)
    arrays.append(frame[PLACE].to_arrow())
    return pa.table(arrays, names=[*names, ORDER])
