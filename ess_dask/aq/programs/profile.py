"""What loginf learns about the columns of an input: sizes, types, samples, uniqueness.

Every figure can be merged with that of another part of the data. The number of different values is
exact up to ``_KEPT`` of them, then estimated from the smallest hashes.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import field
from typing import Any

from ess_dask.aq.addresses import parse_address
from ess_dask.aq.columns import MAX_NAME
from ess_dask.dataclass import dataclass

SAMPLES = 4
_KEPT = 4096
_TOP = 1 << 64
TYPES = ("Integer", "Float", "IP", "String")
LETTERS = {"Integer": "I", "Float": "F", "IP": "IP", "String": "S"}
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?", re.ASCII)


def type_of(text: str) -> str:
    """Return which of ``TYPES`` a value looks like."""
    if _INTEGER.fullmatch(text):
        return "Integer"
    if _FLOAT.fullmatch(text):
        return "Float"
    return "IP" if ("." in text or ":" in text) and parse_address(text) else "String"


@dataclass(slots=True)
class Span:
    """Smallest, largest and sum of numbers seen."""

    count: int = 0
    low: float = 0
    high: float = 0
    total: float = 0

    def add(self, value: float) -> None:
        """Take a number."""
        self.low = value if not self.count else min(self.low, value)
        self.high = value if not self.count else max(self.high, value)
        self.count += 1
        self.total += value

    def merge(self, other: Span) -> None:
        """Take the numbers of another span."""
        if other.count:
            self.low = other.low if not self.count else min(self.low, other.low)
            self.high = other.high if not self.count else max(self.high, other.high)
            self.count += other.count
            self.total += other.total

    def report(self, *, average: bool = True) -> dict[str, Any]:
        """Return Min, Max and Avg."""
        found: dict[str, Any] = {"Min": self.low, "Max": self.high}
        if average:
            found["Avg"] = self.total / self.count if self.count else 0
        return found


@dataclass(slots=True)
class TypeProfile:
    """Values of one type in a column."""

    count: int = 0
    values: Span = field(default_factory=Span)
    samples: list[str] = field(default_factory=list)
    binary: str = ""

    def add(self, text: str, kind: str) -> None:
        """Take a value of this type."""
        self.count += 1
        if kind in ("Integer", "Float"):
            self.values.add(int(text) if kind == "Integer" else float(text))
        if not text.isascii():
            self.binary = self.binary or text
        elif len(self.samples) < SAMPLES and text not in self.samples:
            self.samples.append(text)

    def merge(self, other: TypeProfile) -> None:
        """Take the values of another profile."""
        self.count += other.count
        self.values.merge(other.values)
        self.binary = self.binary or other.binary
        more = [text for text in other.samples if text not in self.samples]
        self.samples = (self.samples + more)[:SAMPLES]


@dataclass(slots=True)
class ColumnProfile:
    """One column. ``label`` is its title, '' without one."""

    label: str = ""
    count: int = 0
    size: Span = field(default_factory=Span)
    types: dict[str, TypeProfile] = field(default_factory=dict)
    hashes: set[int] = field(default_factory=set)
    limit: int = _TOP
    first: str = ""

    def add(self, text: str) -> None:
        """Take a value; blank ones count for the size only."""
        self.size.add(len(text))
        if not text:
            return
        self.count += 1
        self.first = self.first or text
        kind = type_of(text)
        self.types.setdefault(kind, TypeProfile()).add(text, kind)
        self._add_hash(_hash(text))

    def _add_hash(self, value: int) -> None:
        if value < self.limit:
            self.hashes.add(value)
            if len(self.hashes) > _KEPT:
                self.limit = max(self.hashes)
                self.hashes.remove(self.limit)

    def merge(self, other: ColumnProfile) -> None:
        """Take the values of another profile of the same column."""
        self.label = self.label or other.label
        self.first = self.first or other.first
        self.count += other.count
        self.size.merge(other.size)
        for kind, found in other.types.items():
            self.types.setdefault(kind, TypeProfile()).merge(found)
        self.limit = min(self.limit, other.limit)
        self.hashes = {value for value in self.hashes if value < self.limit}
        for value in other.hashes:
            self._add_hash(value)

    def unique(self) -> int:
        """Return the number of different values, or its estimate."""
        if self.limit == _TOP:
            return len(self.hashes)
        return round(len(self.hashes) / (self.limit / _TOP))

    def letter(self, tolerated: float) -> str:
        """Return the column type that fits all values but ``tolerated`` percent of them."""
        if not self.count:
            return "S"
        kind, found = max(self.types.items(), key=lambda item: item[1].count)
        others = 100 * (self.count - found.count) / self.count
        if others > tolerated:
            return "F" if set(self.types) == {"Integer", "Float"} else "S"
        return self._integer(found.values) if kind == "Integer" else LETTERS[kind]

    @staticmethod
    def _integer(values: Span) -> str:
        if values.low < 0:
            return "IS" if values.low >= -(1 << 31) and values.high < 1 << 31 else "LS"
        return "I" if values.high < 1 << 32 else "L"


def _hash(text: str) -> int:
    import hashlib

    digest = hashlib.blake2b(text.encode("latin-1"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


_MARK = codecs.BOM_UTF8.decode("latin-1")


def column_name(label: str, index: int) -> str:
    """Return a name that a column specification can have."""
    text = label.removeprefix(_MARK).strip()
    name = re.sub(r"[^A-Za-z0-9_]", "_", text, flags=re.ASCII)[:MAX_NAME]
    if not name.strip("_"):
        return f"Col{index}"
    return f"_{name}"[:MAX_NAME] if name[0].isdigit() else name
