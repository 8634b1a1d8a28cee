"""``-o``, ``-c`` and ``-ovar``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.scope import Scope
from ess_dask.aq.parsing.tokens import Option, separator_of
from ess_dask.aq.program import OutputColumn, OutputFormat, OutputSpec
from ess_dask.aq.tree import Reference

_FormatName = Literal["csv", "sep", "jsn", "bin", "aq"]
_FORMATS: dict[str, _FormatName] = {"csv": "csv", "jsn": "jsn", "bin": "bin", "aq": "aq"}
_SELECTION = re.compile(r"([\^~]?)([^:+]+)(?::([^+]*))?(?:\+(.*))?", re.DOTALL)
_PRINTF = re.compile(
    r"%([-+ #0']*)(\d{0,5})(?:\.(\d{1,5}))?(?:hh|h|ll|l|q|j|z|t|L)?([diouxXcfFeEgGaA])"
)


def output_format(option: Option) -> OutputFormat:
    """Return the format that the attributes of an option ask for."""
    names: set[_FormatName] = set()
    separator = ""
    flags = {"notitle": False, "fmt_g": False, "esc": False, "app": False, "nodelay": False}
    for attribute in option.attributes:
        if attribute.startswith("sep="):
            separator = separator_of(attribute[4:], option.text)
        elif attribute in _FORMATS:
            names.add(_FORMATS[attribute])
        elif attribute in flags:
            flags[attribute] = True
        elif attribute != "fvar":
            raise OptionError(f"unknown attribute {attribute!r} in {option.text!r}")
    if len(names) > 1 or (separator and names - {"csv"}):
        raise OptionError(f"more than one format in {option.text!r}")
    name: _FormatName = names.pop() if names else ("sep" if separator else "csv")
    return OutputFormat(
        name,
        separator or ",",
        not flags["notitle"],
        flags["fmt_g"],
        flags["esc"],
        flags["app"],
        flags["nodelay"],
    )


def output_spec(
    option: Option, target: str, columns: tuple[OutputColumn, ...], scope: Scope
) -> OutputSpec:
    """Return an output; with ``fvar`` its target is a variable."""
    follows = None
    if option.flag("fvar"):
        follows = scope.need(target, option.text)
        if not follows.variable or follows.kind is not Kind.S:
            raise OptionError(f"{target!r} in {option.text!r} must be a string variable")
    if not columns:
        raise OptionError(f"nothing to write: {option.text!r} has no columns")
    return OutputSpec(target, output_format(option), columns, follows)


def select(
    texts: list[str],
    need: Callable[[str, str], Reference],
    group: Callable[[str], list[OutputColumn] | None],
    where: str,
) -> tuple[OutputColumn, ...]:
    """Return the columns that a ``-c`` selects.

    ``need`` finds a column by name; ``group`` gives the columns of a text such as ``*``, None for
    one that stands for a single column. Raises ``OptionError`` for an unknown one.
    """
    chosen: list[OutputColumn] = []
    for at, text in enumerate(texts):
        several = group(text)
        if several is not None:
            chosen.extend(several)
            continue
        match = _SELECTION.fullmatch(text)
        if match is None:
            raise OptionError(f"bad column selection {text!r}")
        mark, name, title, form = match.groups()
        if mark and at == 0:
            chosen.extend(group("*") or ())
        reference = need(name, where)
        if mark == "~":
            chosen = [column for column in chosen if not _is_of(column, reference)]
            continue
        shape = printf_format(form or "", reference.kind, text)
        if mark == "^":
            # What is not given stays as it was selected.
            chosen = [
                replace(old, title=title or old.title, print_format=shape or old.print_format)
                if _is_of(old, reference)
                else old
                for old in chosen
            ]
        else:
            chosen.append(OutputColumn(reference, title or reference.name, shape))
    return tuple(chosen)


def _is_of(column: OutputColumn, reference: Reference) -> bool:
    return column.source.name.lower() == reference.name.lower()


def printf_format(text: str, kind: Kind, where: str) -> str:
    """Return C's format as Python's: one conversion that fits the column."""
    if not text:
        return ""
    if not kind.type.is_number:
        raise OptionError(f"print format in {where!r} is for numbers")
    conversions = re.findall(r"%[^%]?", text.replace("%%", ""))
    match = _PRINTF.search(text.replace("%%", "\0\0"))
    if len(conversions) != 1 or match is None:
        raise OptionError(
            f"bad print format {text!r} in {where!r}", hint="one conversion, as in %08.2f"
        )
    flags, width, digits, letter = match.groups()
    integer = letter in "diouxXc"
    if integer == (kind is Kind.F) or letter in "aA":
        raise OptionError(f"print format {text!r} does not fit the type of the column in {where!r}")
    body = "%" + flags.replace("'", "") + width + (f".{digits}" if digits else "")
    return text[: match.start()] + body + ("d" if letter in "iu" else letter) + text[match.end() :]
