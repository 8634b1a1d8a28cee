"""Conversion between character sets."""

from __future__ import annotations

import codecs
from collections.abc import Callable

from ess_dask.aq.errors import EvalError
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Type
from ess_dask.aq.tree import Call
from ess_dask.dataclass import dataclass

_ALIASES = {"sjis": "shift_jis", "ujis": "euc_jp", "eucjp": "euc_jp"}


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    partial: bool


def _sources(spec: str) -> list[_Source]:
    found = []
    for item in spec.split(";"):
        name, *attributes = [part.strip() for part in item.split(",")]
        found.append(_Source(_ALIASES.get(name.lower(), name), "eok" in attributes))
    return found


def _convert(call: Call) -> Callable[[str], str]:
    sources = _sources(call.constants[0])
    target = _ALIASES.get(call.constants[1].lower(), call.constants[1])

    def run(text: str) -> str:
        best: tuple[int, str] | None = None
        for source in sources:
            if source.name in (".", "-"):
                return best[1] if best and best[0] else (text if source.name == "." else "")
            done, result = _one(text, source.name, target)
            if done == len(text):
                return result
            if source.partial and (best is None or done > best[0]):
                best = (done, result)
        if best is None:
            raise EvalError(f"IConv() cannot convert {text!r}")
        return best[1]

    return run


def _one(text: str, source: str, target: str) -> tuple[int, str]:
    """Return (bytes converted, result) of as much as converts from the front."""
    raw = text.encode("latin-1")
    try:
        return len(raw), raw.decode(source).encode(target).decode("latin-1")
    except UnicodeDecodeError as error:
        good = error.start
    except UnicodeEncodeError as error:
        good = len(error.object[: error.start].encode(source))
    try:
        return good, raw[:good].decode(source).encode(target).decode("latin-1")
    except UnicodeError:
        return 0, ""


def _check(call: Call) -> str:
    names = [source.name for source in _sources(call.constants[0]) if source.name not in (".", "-")]
    for name in (*names, _ALIASES.get(call.constants[1].lower(), call.constants[1])):
        try:
            codecs.lookup(name)
        except LookupError:
            return f"unknown character set {name!r}"
    return ""


FUNCTIONS = (
    Function(
        "IConv",
        'IConv(Val, "from;from..", "to")',
        (Parameter.TEXT, Parameter.CONSTANT, Parameter.CONSTANT),
        Type.STR,
        _convert,
        check=_check,
    ),
)
