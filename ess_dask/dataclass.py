"""``dataclass`` of the standard library, made in half the time.

The standard library compiles six methods for each class (1 ms with Python 3.11), and a command
imports some hundred of them. Here all classes share those that tell, compare and hash their values.
Unlike there, one that is inherited looks at all fields of the object, and later versions of Python
compare as 3.11 does: a NaN is equal to itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Type checkers know this one.
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: Any = None, /, **options: Any) -> Any:
        """Make a class a dataclass; see ``dataclasses.dataclass`` for the options."""
        if cls is None:
            return partial(dataclass, **options)
        if options.keys() - {"frozen", "slots", "repr"}:
            return dataclasses.dataclass(cls, **options)
        _share(cls, **options)
        return dataclasses.dataclass(cls, **{**options, "repr": False, "eq": False})


def _share(cls: Any, **options: bool) -> None:
    """Give a class the methods that it does not have itself, as the standard library would."""
    own = vars(cls)
    # Beside an ``__eq__`` of the class itself Python sets None.
    hashes = "__hash__" in own and not (own["__hash__"] is None and "__eq__" in own)
    if options.get("repr", True) and "__repr__" not in own:
        cls.__repr__ = _repr
    if "__eq__" not in own:
        cls.__eq__ = _eq
    if not hashes:
        cls.__hash__ = _hash if options.get("frozen") else None


@cache
def _names(cls: Any, use: str) -> tuple[str, ...]:
    """Return the fields of a class that are shown, compared or hashed."""
    return tuple(each.name for each in dataclasses.fields(cls) if _serves(each, use))


def _serves(field: dataclasses.Field[Any], use: str) -> bool:
    if use == "hash" and field.hash is not None:
        return field.hash
    return field.repr if use == "show" else field.compare


@cache
def _getter(cls: Any, use: str) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gives the values of these fields."""
    names = _names(cls, use)
    if not names:
        return lambda given: ()
    get = attrgetter(*names)
    # Of one name it gives the value alone.
    return get if len(names) > 1 else lambda given: (get(given),)


@recursive_repr()
def _repr(self: Any) -> str:
    cls: Any = type(self)
    shown = (f"{name}={getattr(self, name)!r}" for name in _names(cls, "show"))
    return f"{cls.__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: object) -> Any:
    cls: Any = type(self)
    if other.__class__ is not self.__class__:
        return NotImplemented
    values = _getter(cls, "compare")
    return values(self) == values(other)


def _hash(self: Any) -> int:
    cls: Any = type(self)
    return hash(_getter(cls, "hash")(self))
