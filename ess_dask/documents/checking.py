"""Makes a model from what was written and reports every problem at once, each with its place."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from ess_dask.documents.fields import FieldError, did_you_mean
from ess_dask.documents.flat import make_flat
from ess_dask.documents.yaml import Map, Place, Scalar, Sequence
from ess_dask.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Model = TypeVar("Model")


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return pydantic's view of a model, made once."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _adapter_of(kind: Any) -> TypeAdapter[Any]:
    # mypy holds the class of a type variable for unhashable: the cache is asked with Any.
    return adapter(kind)


def check(kind: type[Model], node: Map) -> Model:
    """Return ``kind`` made from what was written.

    Raises one ``ConfigError`` with a line ``place: what`` for each problem, in the order of places.
    """
    made = make_flat(kind, node)
    return _checked(kind, node) if made is None else made


def _checked(kind: type[Model], node: Map) -> Model:
    from pydantic import ValidationError

    try:
        result: Model = _adapter_of(kind).validate_python(node)
    except ValidationError as error:
        raise _summary(_problems(error, node, kind)) from None
    return result


def problems(kind: type, node: Map) -> list[FieldError]:
    """Return what is wrong with ``node`` as a ``kind``, each with its place, in that order."""
    from pydantic import ValidationError

    try:
        adapter(kind).validate_python(node)
    except ValidationError as error:
        return _problems(error, node, kind)
    return []


def _problems(error: ValidationError, node: Map, kind: type) -> list[FieldError]:
    found = [_problem(item, node, kind) for item in error.errors(include_url=False)]
    return sorted(found, key=lambda problem: _order(problem.place))


def _summary(found: list[FieldError]) -> ConfigError:
    if len(found) == 1:
        return ConfigError(f"{found[0].place}: {found[0].message}", hint=found[0].hint)
    lines = [
        f"{problem.place}: {problem.message}" + (f" ({problem.hint})" if problem.hint else "")
        for problem in found
    ]
    return ConfigError("\n  ".join(lines))


def _order(place: Place | None) -> tuple[int, int]:
    return (place.line, place.column) if place else (0, 0)


def _problem(item: Any, root: Map, kind: type) -> FieldError:
    """Translate one of pydantic's error entries."""
    path = [part for part in item["loc"] if part != "[key]"]
    raised = item.get("ctx", {}).get("error")
    if isinstance(raised, FieldError):
        if item["loc"][-1:] == ("[key]",):
            where = _key_place(root, path)
            return FieldError(
                f"{_dotted(path[:-1])}: {raised.message}", hint=raised.hint, place=where
            )
        return _named(raised, path, root)
    what, hint = _words(item, path, kind)
    if item["type"] == "unexpected_keyword_argument":
        return FieldError(what, hint=hint, place=_key_place(root, path))
    return FieldError(f"{_dotted(path)}: {what}", hint=hint, place=_place(root, path))


def _named(raised: FieldError, path: list[Any], root: Map) -> FieldError:
    path = [*path, raised.key] if raised.key else path
    name = f"{_dotted(path)}: " if path else ""
    place = raised.place or _place(root, path)
    return FieldError(f"{name}{raised.message}", hint=raised.hint, place=place)


def _words(item: Any, path: list[Any], kind: type) -> tuple[str, str]:
    """Return what is wrong and what to do, in a user's words."""
    error, context = item["type"], item.get("ctx") or {}
    if error == "unexpected_keyword_argument":
        known = [each.name for each in dataclasses.fields(_section(kind, path[:-1]))]
        return f"unknown key '{path[-1]}'", did_you_mean(str(path[-1]), known)
    simple = {
        "missing": "this key is missing",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "too_short": f"must hold at least {context.get('min_length')} entry",
    }
    if error in simple:
        return simple[error], ""
    expected = {"dataclass_type": "a mapping", "dict_type": "a mapping", "tuple_type": "a list"}
    return f"must be {expected.get(error, 'one value')}, not {_what_is(item['input'])}", ""


def _what_is(value: Any) -> str:
    if isinstance(value, Scalar):
        return "empty" if value.is_null else f"'{value.shown}'"
    if isinstance(value, Map):
        return "a mapping"
    return "a list" if isinstance(value, Sequence) else f"'{value}'"


def _section(kind: Any, path: list[Any]) -> Any:
    """Return the model that stands at ``path`` below ``kind``."""
    for part in path:
        hint = get_type_hints(kind)[part]
        options = get_args(hint) or (hint,)
        kind = next(option for option in options if dataclasses.is_dataclass(option))
    return kind


def _dotted(path: list[Any]) -> str:
    return ".".join(str(part) for part in path)


def _place(root: Any, path: list[Any]) -> Place:
    """Place of the value at ``path``, or of the nearest mapping around it."""
    node = root
    for part in path:
        try:
            node = node[part]
        except (KeyError, TypeError):
            break
    place = getattr(node, "place", root.place)
    assert isinstance(place, Place)
    return place


def _key_place(root: Map, path: list[Any]) -> Place:
    node: Any = root
    for part in path[:-1]:
        node = node[part]
    place = node.key_places[path[-1]]
    assert isinstance(place, Place)
    return place
