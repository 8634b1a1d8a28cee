"""Comparisons of a string with literals and patterns; the result is 0 or 1."""

from __future__ import annotations

import re
from collections.abc import Callable

from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Type
from ess_dask.aq.patterns.glob import compile_glob
from ess_dask.aq.patterns.regex import REGEX_ATTRIBUTES, compile_regex, is_regex
from ess_dask.aq.tree import Call

Test = Callable[[str], bool]
PLACES: dict[str, Callable[[str], Test]] = {
    "BEG": lambda part: lambda text: text.startswith(part),
    "END": lambda part: lambda text: text.endswith(part),
    "SUB": lambda part: lambda text: part in text,
}


def listed(constant: str) -> list[str]:
    """Return the substrings of a list separated by comma and newline."""
    return re.split(r",\r?\n", constant)


def parts_of(call: Call) -> tuple[tuple[str, str], ...]:
    """Return the (literal, place) pairs that a comparison looks for."""
    name = call.function
    if name.startswith("Mixed"):
        places = (place.upper() for place in call.constants[1::2])
        return tuple(zip(call.constants[::2], places, strict=True))
    if name.startswith("Contain"):
        return tuple((part, "SUB") for part in listed(call.constants[0]))
    return tuple((part, name[:3].upper()) for part in call.constants)


def _make(call: Call) -> Callable[[str], int]:
    tests = [PLACES[place](part) for part, place in parts_of(call)]
    join = all if call.function.endswith("All") else any
    return lambda text: int(join(test(text) for test in tests))


def _check_places(call: Call) -> str:
    wrong = [place for place in call.constants[1::2] if place.upper() not in PLACES]
    return f"unknown place {wrong[0]!r}, use BEG, END or SUB" if wrong else ""


def _glob(call: Call) -> Callable[[str], int]:
    if is_regex(call.attributes):
        return _regex(call)
    match = compile_glob(call.constants[0], ncas="ncas" in call.attributes).fullmatch
    return lambda text: int(match(text) is not None)


def _regex(call: Call) -> Callable[[str], int]:
    search = compile_regex(call.constants[0], call.attributes).search
    return lambda text: int(search(text) is not None)


def _check_regex(call: Call) -> str:
    if call.function == "RxCmp" or is_regex(call.attributes):
        compile_regex(call.constants[0], call.attributes)
    return ""


def _literals(name: str) -> Function:
    return Function(
        name,
        f"{name}(Val, Str [, Str ..])",
        (Parameter.TEXT, Parameter.CONSTANT),
        Type.INT,
        _make,
        repeated=(Parameter.CONSTANT,),
    )


def _mixed(name: str) -> Function:
    pair = (Parameter.CONSTANT, Parameter.WORD)
    return Function(
        name,
        f"{name}(Val, Str, BEG|END|SUB ..)",
        (Parameter.TEXT, *pair),
        Type.INT,
        _make,
        repeated=pair,
        check=_check_places,
    )


def _contain(name: str) -> Function:
    return Function(
        name, f'{name}(Val, "str,\\nstr..")', (Parameter.TEXT, Parameter.CONSTANT), Type.INT, _make
    )


FUNCTIONS = (
    _literals("BegCmp"),
    _literals("EndCmp"),
    _literals("SubCmp"),
    _literals("SubCmpAll"),
    _mixed("MixedCmp"),
    _mixed("MixedCmpAll"),
    _contain("Contain"),
    _contain("ContainAll"),
    Function(
        "PatCmp",
        "PatCmp(Val, Pattern [, ncas])",
        (Parameter.TEXT, Parameter.CONSTANT),
        Type.INT,
        _glob,
        attributes=REGEX_ATTRIBUTES,
        check=_check_regex,
    ),
    Function(
        "RxCmp",
        "RxCmp(Val, Pattern [, attributes])",
        (Parameter.TEXT, Parameter.CONSTANT),
        Type.INT,
        _regex,
        attributes=REGEX_ATTRIBUTES,
        check=_check_regex,
        regex=True,
    ),
)
