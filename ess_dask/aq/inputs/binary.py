"""The binary format that aq programs hand to each other: ``bin``, and ``aq`` with names.

A stream is any number of sections. A section is a head, ``\\x89AQ1``, a tab-separated line of
``LETTER:name`` (``bin``: without names) ended by a line feed, and then records. A record is
``\\x01`` and its fields, little-endian: a string's length (4 bytes) and bytes, 8 bytes of a
number, the length (1 byte) and bytes of an address.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from ess_dask.aq.addresses import pack_address, unpack_address
from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.errors import InputDataError, OptionError
from ess_dask.aq.inputs.records import Broken
from ess_dask.aq.kinds import Kind, Value, plain_nan

MAGIC = b"\x89AQ1"
RECORD = 1
ADDRESS_SIZES = (4, 16)


def encode_head(kinds: Iterable[Kind], names: Iterable[str]) -> bytes:
    """Return the head of a section."""
    columns = (f"{kind.value}:{name}" for kind, name in zip(kinds, names, strict=True))
    return MAGIC + "\t".join(columns).encode("latin-1") + b"\n"


def encode_record(kinds: list[Kind], values: Iterable[Value]) -> bytes:
    """Return the bytes of a record."""
    parts = [b"\x01"]
    for kind, value in zip(kinds, values, strict=True):
        if isinstance(value, float):
            parts.append(struct.pack("<d", plain_nan(value)))
        elif isinstance(value, int):
            parts.append(struct.pack("<q" if kind.signed else "<Q", value))
        elif kind is Kind.IP:
            packed = pack_address(value)
            parts.append(bytes((len(packed),)) + packed)
        else:
            body = value.encode("latin-1")
            parts.append(struct.pack("<I", len(body)) + body)
    return b"".join(parts)


class _Buffer:
    """Bytes of a stream, taken in pieces of a known size."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._data = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer at the end."""
        while len(self._data) - self._at < size and (block := next(self._blocks, None)) is not None:
            self._data = self._data[self._at :] + block
            self._at = 0
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def line(self) -> bytes:
        """Return the bytes before the next line feed, and step over it."""
        out = bytearray()
        while (byte := self.take(1)) and byte != b"\n":
            out += byte
        return bytes(out)


def read_head(data: _Buffer, label: str) -> tuple[ColumnSpec, ...]:
    """Return the columns of the head at hand, whose first byte was taken."""
    if b"\x89" + data.take(len(MAGIC) - 1) != MAGIC:
        raise InputDataError(f"{label}: not in the binary format of aq programs")
    items = data.line().decode("latin-1").split("\t")
    return tuple(_head_column(item, label) for item in items if item)


def _head_column(item: str, label: str) -> ColumnSpec:
    """Return a column of a head; its name is whatever the other program called it."""
    letter, _, name = item.partition(":")
    kind = next((kind for kind in Kind if kind.value == letter), None)
    if kind is None:
        raise InputDataError(f"{label}: column {item!r} of the head has no type")
    return ColumnSpec(kind, name)


class BinaryReader:
    """Records of ``bin`` and ``aq``: typed values, by the columns of their section."""

    def __init__(self, blocks: Iterable[bytes], label: str) -> None:
        self._data = _Buffer(blocks)
        self._label = label
        self._kinds: list[Kind] = []
        self.columns: tuple[ColumnSpec, ...] = ()

    def start(self) -> tuple[ColumnSpec, ...]:
        """Read the first head; () for an empty stream."""
        first = self._data.take(1)
        if first:
            self._head(first)
        return self.columns

    def _head(self, first: bytes) -> None:
        if first != MAGIC[:1]:
            raise InputDataError(f"{self._label}: not in the binary format of aq programs")
        self.columns = read_head(self._data, self._label)
        self._kinds = [column.kind for column in self.columns if column.kind]

    def check(self, wanted: list[Kind | None]) -> None:
        """Raise ``OptionError`` unless the section has columns of the wanted types."""
        same = len(wanted) == len(self._kinds) and all(
            kind is None or kind is own for kind, own in zip(wanted, self._kinds, strict=True)
        )
        if not same:
            found = " ".join(kind.value for kind in self._kinds)
            raise OptionError(
                f"{self._label}: the columns are {found}", hint="give the same types in -d"
            )

    def records(self, wanted: list[Kind | None]) -> Iterator[list[Value] | Broken]:
        """Yield the values of each record; the types of every section must be ``wanted``."""
        if self.columns:
            self.check(wanted)
        while first := self._data.take(1):
            if first[0] == RECORD and self.columns:
                values = self._record()
                if values is None:
                    yield Broken("the stream ends within a record")
                    return
                yield values
            else:
                self._head(first)
                self.check(wanted)

    def _record(self) -> list[Value] | None:
        values: list[Value] = []
        for kind in self._kinds:
            value = self._value(kind)
            if value is None:
                return None
            values.append(value)
        return values

    def _value(self, kind: Kind) -> Value | None:
        if kind in (Kind.S, Kind.IP):
            size_bytes = 4 if kind is Kind.S else 1
            head = self._data.take(size_bytes)
            size = int.from_bytes(head, "little")
            body = self._data.take(size)
            if len(head) < size_bytes or len(body) < size:
                return None
            if kind is Kind.S:
                return body.decode("latin-1")
            if size not in ADDRESS_SIZES:
                raise InputDataError(f"{self._label}: an address of {size} bytes")
            return unpack_address(body)
        raw = self._data.take(8)
        if len(raw) < 8:
            return None
        if kind is Kind.F:
            return float(struct.unpack("<d", raw)[0])
        return int.from_bytes(raw, "little", signed=kind.signed)
