"""What a reader is told about a file: typed columns and the shape of the text. Plain values."""

from __future__ import annotations

from typing import Literal

from ess_dask.dataclass import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class DataType:
    """A column type of the product; made by ``records.types.parse_type``.

    ``name`` is one of string, int8..int64, uint8..uint64, float32, float64, decimal, boolean, date,
    timestamp, binary, or (Essentia columnspecs only) ip and skip, or (made by cleaning steps only)
    nested: a list, struct or map.
    """

    name: str
    precision: int = 0
    scale: int = 0
    format: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A declared column: its name and type."""

    name: str
    type: DataType


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """How the bytes of a category become typed rows.

    ``header``: the first record is a title line and columns are matched by name, whatever their
    order (``by_position``: the title line is only skipped, as Essentia's column specs want it);
    otherwise by position. None, where columns go by position anyway: the first record is a title
    line if it names the columns. ``blank``: a blank field is null, or (Essentia) 0 / ''.
    ``archive``: glob that picks members when the file is an archive. ``keep_rejects``:
    somebody may look at the rejects; if not they may be without their text. Sizes are in bytes.
    """

    columns: tuple[Column, ...]
    delimiter: str = ","
    header: bool | None = True
    by_position: bool = False
    blank: Literal["null", "zero"] = "null"
    encoding: str = "utf-8"
    compression: str = ""
    archive: str = ""
    extra_columns: Literal["ignore", "fail"] = "ignore"
    chunk_bytes: int = 16 * MIB
    max_record_bytes: int = 1 * MIB
    keep_rejects: bool = True
