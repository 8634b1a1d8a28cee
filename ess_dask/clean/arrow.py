"""Back to the Arrow types the rest of the product speaks, whatever a step's engine gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def standard_type(kind: pa.DataType, name: str, given: pa.Schema) -> pa.DataType:
    """Return the standard type for what an engine gave: no views, dictionaries or extensions.

    A moment with a zone keeps the zone its column had in ``given``, else it is UTC.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return standard_type(kind.value_type, name, given)
    if isinstance(kind, pa.BaseExtensionType):
        return standard_type(kind.storage_type, name, given)
    if types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    if types.is_timestamp(kind) and kind.tz:
        return pa.timestamp(kind.unit, _zone(name, given))
    return kind


def _zone(name: str, given: pa.Schema) -> str:
    place = given.get_field_index(name)
    zone = getattr(given.field(place).type, "tz", None) if place >= 0 else None
    return str(zone or "UTC")


def standard_table(table: pa.Table, given: pa.Schema) -> pa.Table:
    """Return ``table`` with standard types, no metadata; what is right already is not copied."""
    import pyarrow as pa

    wanted = [
        pa.field(column.name, standard_type(column.type, column.name, given))
        for column in table.schema
    ]
    columns = [
        column if column.type == field.type else _cast(column, field.type)
        for column, field in zip(table.columns, wanted, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(wanted))


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return column.cast(kind)
    # The values of one: Arrow looks up no views.
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(kind)).cast(kind)
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, kind)
