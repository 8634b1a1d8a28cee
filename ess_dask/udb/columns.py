"""``-c`` of aq_udb: which columns a result has, and under which titles."""

from __future__ import annotations

import re

from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.outputs import printf_format
from ess_dask.aq.program import OutputColumn
from ess_dask.aq.tree import Reference
from ess_dask.tables.spec import same
from ess_dask.udb.names import StageNames

_SELECTION = re.compile(r"([\^~]?)([^:+]+)(?::([^+]*))?(?:\+(.*))?", re.DOTALL)
_GROUP = re.compile(r"(?:([^.]+)\.)?([*+])", re.DOTALL)


def counted() -> tuple[OutputColumn, ...]:
    """Return the columns of a count."""
    return (
        OutputColumn(Reference(0, "field", Kind.S), "field"),
        OutputColumn(Reference(1, "count", Kind.L), "count"),
    )


def selected(texts: list[str], names: StageNames, where: str) -> tuple[OutputColumn, ...]:
    """Return the columns that a ``-c`` selects; raise ``OptionError`` for an unknown one."""
    chosen: list[OutputColumn] = []
    for at, text in enumerate(texts):
        if group := _GROUP.fullmatch(text):
            chosen += names.everything(group[1] or "", key=group[2] == "*", where=where)
            continue
        match = _SELECTION.fullmatch(text)
        if match is None:
            raise OptionError(f"bad column selection {text!r}")
        mark, name, title, form = match.groups()
        if mark and at == 0:
            chosen += names.everything("", key=True, where=where)
        reference = names.need(name, where)
        if mark == "~":
            chosen = [column for column in chosen if not _is_same(column, reference)]
            continue
        column = OutputColumn(
            reference, title or reference.name, printf_format(form or "", reference.kind, text)
        )
        if mark == "^":
            chosen = [column if _is_same(old, reference) else old for old in chosen]
        else:
            chosen.append(column)
    if not chosen:
        raise OptionError(f"nothing to write: {where!r} selects no columns")
    return tuple(chosen)


def _is_same(column: OutputColumn, reference: Reference) -> bool:
    return same(column.source.name, reference.name)
