"""UNLOAD: the rows of a query as files on S3, one for each slice that has any."""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift import wire
from ess_dask.testing.redshift.commands import Unload
from ess_dask.testing.redshift.errors import ServerError, not_simulated
from ess_dask.testing.redshift.options import switched_off
from ess_dask.testing.redshift.sources import exists, write
from ess_dask.testing.redshift.tokens import literal

SLICES = 4
_NUMERIC, _BYTEA = 1700, 17
_ARROW = {
    16: "bool", 20: "int64", 21: "int16", 23: "int32", 700: "float32", 701: "float64",
    1082: "date32", 19: "string", 25: "string", 1042: "string", 1043: "string", 3802: "string",
    _BYTEA: "string",
}  # fmt: skip
_BASES = {
    "int16": "smallint", "int32": "integer", "int64": "bigint", "float32": "real",
    "float64": "double precision", "bool": "boolean", "date32": "date",
    "string": "character varying", "timestamp[us]": "timestamp without time zone",
    "timestamp[us, tz=UTC]": "timestamp with time zone",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a query: its name, and PostgreSQL's numbers of its type and of its length."""

    name: str
    oid: int
    modifier: int


@dataclass(frozen=True, slots=True)
class _Part:
    url: str
    data: bytes
    rows: int


@dataclass
class _Slice:
    data: bytearray = field(default_factory=bytearray)
    rows: int = 0


def copy_out(unload: Unload, query: str) -> str:
    """Return the SQL with which PostgreSQL hands out the rows of an UNLOAD."""
    options = unload.options
    more = ["FORMAT csv"]
    named = ("DELIMITER", "NULL")
    more += [f"{name} {literal(options[name])}" for name in named if name in options]
    return f"COPY ({query}) TO STDOUT WITH ({', '.join(more)})"


def row_fields(body: bytes) -> list[Field]:
    """Return the columns of a row description."""
    fields, rest = [], body[2:]
    for _ in range(struct.unpack_from("!h", body)[0]):
        name, rest = wire.split_text(rest)
        _, _, oid, _, modifier, _ = struct.unpack_from("!ihihih", rest)
        fields.append(Field(name, oid, modifier))
        rest = rest[18:]
    return fields


class Unloading:
    """An UNLOAD on its way: rows come in as CSV, dealt out to slices; files go out at its end."""

    def __init__(self, unload: Unload, fields: Sequence[Field], client: Any) -> None:
        self._unload = unload
        self._fields = fields
        self._client = client
        self._slices = [
            _Slice() for _ in range(1 if switched_off(unload.options, "PARALLEL") else SLICES)
        ]
        self.rows = 0
        self._check()

    def _check(self) -> None:
        if "PARQUET" in self._unload.options:
            for field in self._fields:
                _arrow_type(field)
        if "ALLOWOVERWRITE" not in self._unload.options and exists(
            self._client, self._unload.target
        ):
            raise ServerError(
                "Specified unload destination on S3 is not empty. Consider using a different "
                "bucket / prefix, manually removing the target files in S3, or using the "
                "ALLOWOVERWRITE option."
            )

    def take(self, rows: Sequence[bytes]) -> None:
        """Take some rows."""
        count = len(self._slices)
        for number, into in enumerate(self._slices):
            own = rows[(number - self.rows) % count :: count]
            into.data += b"".join(own)
            into.rows += len(own)
        self.rows += len(rows)

    def finish(self) -> str:
        """Write the files, and the manifest after them; return what Redshift says."""
        parts = [
            self._part(number, some)
            for number, some in enumerate(self._slices)
            if some.rows or not number
        ]
        for part in parts:
            write(self._client, part.url, part.data)
        if "MANIFEST" in self._unload.options:
            data = json.dumps(self._manifest(parts), indent=2).encode()
            write(self._client, self._unload.target + "manifest", data)
        return f"UNLOAD completed, {self.rows} record(s) unloaded successfully."

    def _part(self, number: int, some: _Slice) -> _Part:
        name = f"{number:04}_part_00" if len(self._slices) > 1 else f"{number:03}"
        if "PARQUET" in self._unload.options:
            data, ending = _parquet(self._fields, some), ".parquet"
        else:
            data, ending = self._header() + some.data, ""
        if "GZIP" in self._unload.options:
            data, ending = gzip.compress(data, 1), ".gz"
        if extension := self._unload.options.get("EXTENSION"):
            ending = "." + extension.lstrip(".")
        return _Part(self._unload.target + name + ending, data, some.rows)

    def _header(self) -> bytes:
        options = self._unload.options
        if "HEADER" not in options:
            return b""
        out = io.StringIO()
        writer = csv.writer(out, delimiter=options.get("DELIMITER", ","), lineterminator="\n")
        writer.writerow([field.name for field in self._fields])
        return out.getvalue().encode()

    def _manifest(self, parts: Sequence[_Part]) -> dict[str, Any]:
        verbose = "VERBOSE" in self._unload.options
        entries = [
            {
                "url": part.url,
                "meta": {"content_length": len(part.data)}
                | ({"record_count": part.rows} if verbose else {}),
            }
            for part in parts
        ]
        if not verbose:
            return {"entries": entries}
        return {
            "entries": entries,
            "schema": {"elements": [_element(field) for field in self._fields]},
            "meta": {
                "content_length": sum(len(part.data) for part in parts),
                "record_count": self.rows,
            },
            "author": {"name": "Amazon Redshift", "version": "1.0.0"},
        }


def _element(field: Field) -> dict[str, Any]:
    kind = _arrow_type(field)
    named = {_NUMERIC: "numeric", _BYTEA: "binary varying"}
    shown: dict[str, Any] = {"base": named.get(field.oid) or _BASES.get(str(kind), str(kind))}
    if field.oid in (1042, 1043) and field.modifier > 4:
        shown["max_length"] = field.modifier - 4
    return {"name": field.name, "type": shown}


def _arrow_type(field: Field) -> Any:
    import pyarrow as pa

    if field.oid == _NUMERIC:
        if field.modifier < 0:
            return None
        return pa.decimal128(((field.modifier - 4) >> 16) & 0xFFFF, (field.modifier - 4) & 0x7FF)
    if field.oid in (1114, 1184):
        return pa.timestamp("us", "UTC" if field.oid == 1184 else None)
    if field.oid not in _ARROW:
        raise not_simulated(f"UNLOAD of column {field.name} to PARQUET: its type")
    return pa.type_for_alias(_ARROW[field.oid])


def _parquet(fields: Sequence[Field], some: _Slice) -> bytes:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    names = [f"c{i}" for i in range(len(fields))]
    kinds = [_arrow_type(field) for field in fields]
    if some.rows:
        table = arrow_csv.read_csv(
            pa.BufferReader(some.data),
            arrow_csv.ReadOptions(column_names=names),
            arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(
                column_types={
                    name: pa.string() if kind is None else kind
                    for name, kind in zip(names, kinds, strict=True)
                },
                null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False,
                true_values=["t"], false_values=["f"],
            ),
        )  # fmt: skip
    else:
        table = pa.table([pa.array([], pa.string() if k is None else k) for k in kinds], names)
    columns = [
        _finished(field, kind, table.column(name))
        for field, kind, name in zip(fields, kinds, names, strict=True)
    ]
    out = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_arrays(columns, [field.name for field in fields]), out)
    return bytes(out.getvalue().to_pybytes())


def _finished(field: Field, kind: Any, values: Any) -> Any:
    """Return a column's values in their last type, which its texts alone could show."""
    import polars as pl
    import pyarrow as pa

    if kind is None:
        longest = pl.Series(values).str.extract(r"\.(\d+)$").str.len_bytes().max()
        fraction = longest if isinstance(longest, int) else 0
        return values.cast(pa.decimal128(38, min(fraction, 37)))
    if field.oid == _BYTEA:
        return pl.Series(values).str.slice(2).str.decode("hex").to_arrow()
    return values
