"""Every function by its name, old spellings included."""

from __future__ import annotations

from functools import cache

from ess_dask.aq.functions import (
    agents,
    charsets,
    comparisons,
    conversions,
    dates,
    geography,
    keys,
    numbers,
    regexes,
    strings,
)
from ess_dask.aq.functions.model import Function

_OLD_NAMES = {"kdec": "keydec", "qryparmext": "qrydec"}


@cache
def all_functions() -> dict[str, Function]:
    """Return the functions by lower-case name."""
    rooms = (
        strings,
        numbers,
        comparisons,
        regexes,
        conversions,
        dates,
        charsets,
        keys,
        agents,
        geography,
    )
    return {function.name.lower(): function for room in rooms for function in room.FUNCTIONS}


def find_function(name: str) -> Function | None:
    """Return the function called ``name`` in any case; None if there is none."""
    folded = name.lower()
    return all_functions().get(_OLD_NAMES.get(folded, folded))
