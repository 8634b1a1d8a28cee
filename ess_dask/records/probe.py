"""What a sample of a file looks like: delimiter, title line, columns and their types.

The types are those Essentia's probe gives (``S:userID I:articleID``): a column that is partly blank
or holds anything but one kind of value is S, whole numbers are I (L where they need 64 bits, IS
and LS where some are negative), other numbers F, addresses IP. A column with whole numbers that
would not come back is S, too: codes that begin with zeros, 2**53 + 1 among decimals.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime

from ess_dask.dataclass import dataclass
from ess_dask.records.cast import cast
from ess_dask.records.columnspec import LETTERS, MAX_NAME, spec_names
from ess_dask.records.spec import DataType
from ess_dask.records.split import Layout, Records, split
from ess_dask.records.text import utf8_blocks
from ess_dask.records.title import DELIMITERS, split_fields

SAMPLE_BYTES = 256 << 10
"""How much of a file is worth looking at."""

_MAX_RECORDS = 10_000
_MAX_RECORD_BYTES = 1 << 20
_INTEGER = re.compile(r"[+-]?[0-9]+")
_PADDED = re.compile(r"[+-]?0[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class ProbedColumn:
    """A column of the sample: a name fit for a column spec, the title as written, Essentia's
    letter and the product's type name (``string``, ``int64``, ``timestamp`` ...)."""

    name: str
    title: str
    letter: str
    type_name: str


@dataclass(frozen=True, slots=True)
class Probe:
    """The structure of a sample. ``header``: its first record is a title line."""

    delimiter: str
    header: bool
    columns: tuple[ProbedColumn, ...]

    @property
    def columnspec(self) -> str:
        """The columns as an Essentia column spec, ``S:userID I:articleID``."""
        return " ".join(f"{column.letter}:{column.name}" for column in self.columns)

    def to_type_names(self) -> dict[str, str]:
        """Return the product's type name by title, for a pipeline file."""
        return {column.title or column.name: column.type_name for column in self.columns}


def probe_bytes(sample: bytes) -> Probe:
    """Return the structure of ``sample``, the plain bytes at the start of a file.

    Its last record is left out of the count when it may be cut off. An empty sample has no columns.
    """
    _, blocks = utf8_blocks([sample[:SAMPLE_BYTES]], "utf-8")
    text = b"".join(blocks)
    eol = "\r" if b"\r" in text and b"\n" not in text else "\n"
    if not text.endswith(eol.encode()):
        complete = text.rfind(eol.encode()) + 1
        cut = len(sample) >= SAMPLE_BYTES and complete
        text = text[:complete] if cut else text + eol.encode()
    if not text.strip():
        return Probe(",", False, ())
    guesses = [(delimiter, _records(text, delimiter, ord(eol))) for delimiter in DELIMITERS]
    delimiter, rows = max(guesses, key=lambda guess: _regularity(guess[1]))
    return _structure(delimiter, rows) if rows else Probe(",", False, ())


def _records(text: bytes, delimiter: str, eol: int) -> list[list[str]]:
    """Return the fields of the well-formed records that are not blank."""
    found = split(text, Layout(ord(delimiter), eol, _MAX_RECORD_BYTES), final=True)
    return [split_fields(raw, delimiter) for raw in _texts(text, found)]


def _texts(text: bytes, found: Records) -> list[str]:
    spans = zip(found.starts.tolist(), found.stops.tolist(), found.faults.tolist(), strict=True)
    good = [text[start:stop] for start, stop, fault in spans if not fault and stop > start]
    return [raw.decode(errors="replace") for raw in good[:_MAX_RECORDS]]


def _regularity(rows: list[list[str]]) -> tuple[bool, bool, int, int]:
    """Return how well a delimiter fits: most records have as many fields, the first one too.

    The first record counts for more than the share: in ``time,user`` over ``00:00:07,121`` the
    colon is more regular than the comma as soon as some rows are ragged.
    """
    counts = Counter(len(row) for row in rows)
    if not counts:
        return (False, False, 0, 0)
    width, share = max(counts.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
    fits = width > 1 and share * 10 >= len(rows) * 9
    return (True, len(rows[0]) == width, share, width) if fits else (False, False, 0, 0)


def _structure(delimiter: str, rows: list[list[str]]) -> Probe:
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    body = [row for row in rows[1:] if len(row) == width]
    header = _is_title(rows[0], body)
    titles = [title.strip() for title in rows[0]] if header else [""] * width
    if not header:
        body = [row for row in rows if len(row) == width]
    columns = tuple(zip(*body, strict=True)) if body else ((),) * width
    named = zip(spec_names(titles), titles, columns, strict=True)
    return Probe(
        delimiter,
        header,
        tuple(
            ProbedColumn(name, title, _safe_letter(values), _type_name(values))
            for name, title, values in named
        ),
    )


def _is_title(first: list[str], body: list[list[str]]) -> bool:
    """Whether a first record is labels: none blank, doubled or a value, unlike what follows."""
    labels = [label.strip() for label in first]
    folded = {label.casefold() for label in labels}
    if not all(labels) or len(folded) < len(labels):
        return False
    if any(_kind(label) != "S" or len(label) > 4 * MAX_NAME for label in labels):
        return False
    widths = {len(row) for row in body}
    if body and len(first) not in widths:
        return False
    typed = any(_letter(values) != "S" for values in zip(*body, strict=True))
    return typed or all(re.match(r"[^\W\d][\w .#/()-]*\Z", label) for label in labels)


def _kind(value: str) -> str:
    if _INTEGER.fullmatch(value):
        return "I"
    if _DECIMAL.fullmatch(value):
        return "F"
    if _ADDRESS.fullmatch(value) and all(int(part) < 256 for part in value.split(".")):
        return "IP"
    return "S"


def _letter(values: tuple[str, ...]) -> str:
    """Return Essentia's letter for a column of values."""
    kinds = {_kind(value) for value in values}
    if not kinds or "S" in kinds or (len(kinds) > 1 and "IP" in kinds):
        return "S"
    if kinds == {"I"}:
        return _integer_letter([int(value) for value in values])
    return "F" if "F" in kinds else "IP"


def _integer_letter(values: list[int]) -> str:
    least, most = min(values), max(values)
    ranges = {
        "I": (0, 2**32),
        "IS": (-(2**31), 2**31),
        "L": (0, 2**64),
        "LS": (-(2**63), 2**63),
    }
    return next((k for k, (low, high) in ranges.items() if low <= least and most < high), "S")


def _type_name(values: tuple[str, ...]) -> str:
    """Return the product's type for a column, blanks (nulls) left aside."""
    present = tuple(value for value in values if value.strip())
    letter = _safe_letter(present)
    if letter in ("I", "IS", "LS"):
        return "int64"
    if letter != "S":
        return {"IP": "string"}.get(letter, LETTERS[letter])
    if present and _all(present, _ISO_DATE.fullmatch, date.fromisoformat):
        return "date"
    return "timestamp" if present and _are_timestamps(present) else "string"


def _safe_letter(values: tuple[str, ...]) -> str:
    """Return Essentia's letter for a column, S where another one would change a value."""
    letter = _letter(values)
    return "S" if letter != "S" and any(_is_changed(each, letter) for each in values) else letter


def _is_changed(number: str, letter: str) -> bool:
    """Whether a whole number would not come back: a code that begins with zeros, one that a column
    of floats rounds."""
    if not _INTEGER.fullmatch(number):
        return False
    return bool(_PADDED.fullmatch(number)) or (letter == "F" and float(number) != int(number))


def _all(
    values: tuple[str, ...], looks: Callable[[str], object], parse: Callable[[str], date | datetime]
) -> bool:
    try:
        return all(looks(value) and parse(value) for value in values)
    except ValueError:
        return False


def _are_timestamps(values: tuple[str, ...]) -> bool:
    # Polars takes a quarter of a second to import.
    if not all(_ISO_DATE.match(value.strip(" \t")) for value in values):
        return False
    import polars as pl

    return not cast(pl.Series(values), DataType("timestamp"), "null").failed.any()
