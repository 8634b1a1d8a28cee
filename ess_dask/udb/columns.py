"""``-c`` of aq_udb: which columns a result has, and under which titles."""

from __future__ import annotations

import re

from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.outputs import select
from ess_dask.aq.program import OutputColumn, numbered
from ess_dask.udb.names import StageNames

_GROUP = re.compile(r"(?:([^.]+)\.)?([*+])", re.DOTALL)


def counted() -> tuple[OutputColumn, ...]:
    """Return the columns of a count."""
    return numbered([("field", Kind.S), ("count", Kind.L)])


def selected(texts: list[str], names: StageNames, where: str) -> tuple[OutputColumn, ...]:
    """Return the columns that a ``-c`` selects; raise ``OptionError`` for an unknown one."""

    def group(text: str) -> list[OutputColumn] | None:
        match = _GROUP.fullmatch(text)
        if match is None:
            return None
        return names.everything(match[1] or "", key=match[2] == "*", where=where)

    chosen = select(texts, names.need, group, where)
    if not chosen:
        raise OptionError(f"nothing to write: {where!r} selects no columns")
    return chosen
