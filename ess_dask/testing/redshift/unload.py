"""UNLOAD: the rows of a query as files on S3, one for each slice that has any."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ess_dask.testing.redshift import wire
from ess_dask.testing.redshift.commands import Unload
from ess_dask.testing.redshift.errors import ServerError, not_simulated
from ess_dask.testing.redshift.options import switched_off
from ess_dask.testing.redshift.sources import exists, split_url, write
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
    "float64": "double precision", "bool": "boolean", "date32": "date", "string": "character varying",
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


def copy_out(unload: Unload, query: str) -> str:
    """Return the SQL with which PostgreSQL hands out the rows of an UNLOAD."""
    options = unload.options
    more = ["FORMAT csv"]
    if "HEADER" in options:
        more.append("HEADER")
    for name in ("DELIMITER", "NULL"):
        if name in options:
            more.append(f"{name} {literal(options[name])}")
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
    """An UNLOAD on its way: rows come in as lines of CSV, files go out at its end."""

    def __init__(self, unload: Unload, fields: Sequence[Field], client: Any) -> None:
        self._unload = unload
        self._fields = fields
        self._client = client
        self._header = b""
        self._wants_header = "HEADER" in unload.options
        self._slices: list[list[bytes]] = [
            [] for _ in range(1 if switched_off(unload.options, "PARALLEL") else SLICES)
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
                "Specified unload destination on S3 is not empty. Consider using a different bucket "
                "/ prefix, manually removing the target files in S3, or using the ALLOWOVERWRITE "
                "option."
            )

    def take(self, line: bytes) -> None:
        """Take a row; the first may be the header."""
        if self._wants_header:
            self._header, self._wants_header = line, False
            return
        self._slices[self.rows % len(self._slices)].append(line)
        self.rows += 1

    def finish(self) -> str:
        """Write the files, and the manifest after them; return what Redshift says."""
        parts = [
            self._part(number, lines)
            for number, lines in enumerate(self._slices)
            if lines or not number
        ]
        for part in parts:
            write(self._client, part.url, part.data)
        if "MANIFEST" in self._unload.options:
            data = json.dumps(self._manifest(parts), indent=2).encode()
            write(self._client, self._unload.target + "manifest", data)
        return f"UNLOAD completed, {self.rows} record(s) unloaded successfully."

    def _part(self, number: int, lines: list[bytes]) -> _Part:
        name = f"{number:04}_part_00" if len(self._slices) > 1 else f"{number:03}"
        if "PARQUET" in self._unload.options:
            data, ending = _parquet(self._fields, lines), ".parquet"
        else:
            data, ending = self._header + b"".join(lines), ""
        if "GZIP" in self._unload.options:
            data, ending = gzip.compress(data, 1), ".gz"
        if extension := self._unload.options.get("EXTENSION"):
            ending = "." + extension.lstrip(".")
        return _Part(self._unload.target + name + ending, data, len(lines))

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


def check_target(unload: Unload) -> None:
    """Refuse a target that names no place in a bucket."""
    bucket, key = split_url(unload.target)
    if not bucket or not key:
        raise ServerError(f"S3 path {unload.target} names no prefix in a bucket", "22023")


def _element(field: Field) -> dict[str, Any]:
    kind = _arrow_type(field)
    base = _BASES.get(str(kind), str(kind))
    shown: dict[str, Any] = {"base": "numeric" if field.oid == _NUMERIC else base}
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


def _parquet(fields: Sequence[Field], lines: list[bytes]) -> bytes:
    import pyarrow as pa
    from pyarrow import csv, parquet

    names = [f"c{i}" for i in range(len(fields))]
    kinds = [_arrow_type(field) for field in fields]
    if lines:
        table = csv.read_csv(
            pa.BufferReader(b"".join(lines)),
            csv.ReadOptions(column_names=names),
            csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types={n: pa.string() if k is None else k for n, k in zip(names, kinds, strict=True)},
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
        fractions = pl.Series(values).str.extract(r"\.(\d+)$").str.len_bytes().max() or 0
        return values.cast(pa.decimal128(38, min(int(fractions), 37)))
    if field.oid == _BYTEA:
        return pl.Series(values).str.slice(2).str.decode("hex").to_arrow()
    return values
