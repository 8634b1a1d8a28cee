"""``-f``, ``-d`` and the options that read tables the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import get_args

from ess_dask.aq.columns import ColumnSpec, SpecItem, looks_like_column, parse_columns
from ess_dask.aq.errors import OptionError
from ess_dask.aq.inputs.keyed import Paths
from ess_dask.aq.parsing.tokens import Option, separator_of
from ess_dask.aq.program import ErrorPolicy, FormatName, InputFormat, InputSpec

_SKIP = re.compile(r"\+(\d{1,18})([brl]?)")
_EOK = re.compile(r"eok(?:=(\d{1,18})(?:/(\d{1,18}))?)?")
_FORMATS = frozenset(get_args(FormatName))

HeaderReader = Callable[[InputSpec], tuple[ColumnSpec, ...]]
"""Returns the columns that a self-describing input begins with."""


def input_spec(
    option: Option, files: Iterable[str], own: frozenset[str] = frozenset()
) -> InputSpec:
    """Return an input without columns; attributes in ``own`` belong to the option itself."""
    skip, unit, extra, quiet, record_bytes = 0, "l", False, None, 65536
    errors = ErrorPolicy()
    rest = []
    for attribute in option.attributes:
        if attribute in own:
            continue
        if match := _SKIP.fullmatch(attribute):
            skip, unit = int(match[1]), match[2] or "l"
        elif match := _EOK.fullmatch(attribute):
            errors = ErrorPolicy(int(match[1]) if match[1] else None, int(match[2] or 0))
        elif match := re.fullmatch(r"qui(?:=(\d{1,18}))?", attribute):
            quiet = int(match[1] or 0)
        elif match := re.fullmatch(r"bz=(\d{1,18})", attribute):
            record_bytes = int(match[1])
        elif attribute == "nox":
            extra = True
        else:
            rest.append(attribute)
    return InputSpec(
        tuple(files) or ("-",),
        _format(rest, option),
        (),
        (),
        skip,
        unit,
        extra,
        ErrorPolicy(errors.limit, errors.rows, quiet),
        record_bytes,
    )


def _format(attributes: list[str], option: Option) -> InputFormat:
    names: list[str] = []
    separator, escape, base = "", False, ""
    for attribute in attributes:
        word, equals, value = attribute.partition("=")
        if word == "sep" and equals:
            separator = separator_of(value, option.text)
        elif word == "base" and equals:
            base = value
        elif attribute == "esc":
            escape = True
        elif attribute in _FORMATS and attribute != "sep":
            names.append(attribute)
        else:
            raise OptionError(f"unknown attribute {attribute!r} in {option.text!r}")
    if len(set(names)) > 1 or (separator and names not in ([], ["csv"])):
        raise OptionError(f"more than one format in {option.text!r}")
    name = names[0] if names else ("sep" if separator else "csv")
    assert name in _FORMATS
    return InputFormat(name, separator or ",", escape, base)  # type: ignore[arg-type]


def column_items(texts: list[str], form: InputFormat) -> tuple[SpecItem, ...]:
    """Return the columns of a specification, checked against the format they are for."""
    items = parse_columns(texts, keyed=form.name in ("jsn", "xml"))
    columns = [item for item in items if isinstance(item, ColumnSpec)]
    if form.name in ("jsn", "xml"):
        Paths.of(tuple(columns), form.base)
    if form.name == "div":
        _check_div(items)
    elif len(columns) != len(items):
        raise OptionError("separators between columns are for the div format", hint="use -f,div")
    if form.name == "fix" and any(not column.length for column in columns):
        raise OptionError("every column of a fix input needs its length", hint="n=LEN")
    if any(column.position for column in columns):
        return _positioned(columns)
    return items


def _positioned(columns: list[ColumnSpec]) -> tuple[SpecItem, ...]:
    placed: dict[int, ColumnSpec] = {}
    following = 1
    for column in columns:
        following = column.position or following
        if following in placed:
            raise OptionError(f"two columns at position {following}")
        placed[following] = column
        following += 1
    skipped = ColumnSpec(None, "")
    return tuple(placed.get(place, skipped) for place in range(1, max(placed) + 1))


def _check_div(items: tuple[SpecItem, ...]) -> None:
    for first, second in pairwise(items):
        if isinstance(first, ColumnSpec) and isinstance(second, ColumnSpec) and not first.length:
            raise OptionError(
                f"a separator is missing between {first.name!r} and {second.name!r}",
                hint="write SEP:'text' between them, or give the first a length n=LEN",
            )


def split_files(
    texts: list[str], words: frozenset[str] = frozenset()
) -> tuple[list[str], list[str]]:
    """Return (files, column specifications); ``words`` are column names without a type."""
    at = 1
    while at < len(texts) and not (
        looks_like_column(texts[at])
        or texts[at].lower() in words
        or texts[at][:4].lower() == "sep:"
    ):
        at += 1
    return texts[:at], texts[at:]


def lookup_columns(
    texts: list[str], words: frozenset[str], form: InputFormat
) -> tuple[SpecItem, ...]:
    """Return the columns of a lookup, in which ``from`` and ``to`` need no type."""
    full = [f"S:{text}" if text.lower() in words else text for text in texts]
    return column_items(full, form)


def column_named(columns: tuple[ColumnSpec, ...], name: str, where: str) -> int:
    """Return the index of the string column ``name``."""
    for at, column in enumerate(columns):
        if column.folded == name and column.kind:
            if column.kind.value != "S":
                raise OptionError(f"column {name!r} in {where!r} must be a string")
            return at
    raise OptionError(f"no column {name!r} in {where!r}", hint=f"mark it {name.upper()}")
