"""Models whose fields are all single values, made without the library that checks the others.

That library takes a fifth of the time of a short command to import. Nothing is decided here: what
is not plainly right is left to it, with its messages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ess_dask.documents.fields import Before, FieldError
from ess_dask.documents.yaml import Map, Scalar

Model = TypeVar("Model")

_LIMITS = frozenset(("ge", "le"))
_KNOWN = frozenset(("description", "json_schema_extra")) | _LIMITS


class _NotPlainError(Exception):
    """The value is wrong, or more than this module knows."""


def make_flat(kind: type[Model], node: Map) -> Model | None:
    """Return ``kind`` made from what was written; None when that is not plainly right."""
    try:
        return kind(**dict(_values(kind, node)))
    except (_NotPlainError, FieldError):
        return None


def _values(kind: type, node: Map) -> Iterator[tuple[str, Any]]:
    hints = _hints(kind)
    limits = {each.name: each.metadata for each in dataclasses.fields(kind)}
    if any(_is_required(each) and each.name not in node for each in dataclasses.fields(kind)):
        raise _NotPlainError
    for name, written in node.items():
        if name not in limits or not isinstance(written, Scalar):
            raise _NotPlainError
        yield name, _value(hints[name], written, limits[name])


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _value(hint: Any, written: Scalar, limits: Mapping[str, Any]) -> Any:
    if get_origin(hint) is not Annotated or not limits.keys() <= _KNOWN:
        raise _NotPlainError
    base, *marks = get_args(hint)
    if len(marks) != 1 or not isinstance(marks[0], Before) or marks[0].final:
        raise _NotPlainError
    value = marks[0].convert(written)
    if not _is_a(base, value) or not _fits(value, limits):
        raise _NotPlainError
    return value


def _is_a(base: Any, value: Any) -> bool:
    if get_origin(base) is Literal:
        return value in get_args(base)
    return base in (str, int, float, bool) and type(value) is base


def _fits(value: Any, limits: Mapping[str, Any]) -> bool:
    if not _LIMITS & limits.keys():
        return True
    return bool(limits.get("ge", value) <= value <= limits.get("le", value))
