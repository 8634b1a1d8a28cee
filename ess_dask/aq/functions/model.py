"""What a function takes, gives and does."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from ess_dask.aq.kinds import Type
from ess_dask.aq.tree import Call, Node
from ess_dask.dataclass import dataclass

Maker = Callable[[Call], Callable[..., Any]]
"""Makes, once per call in the text, what is called with the values of each row.

Its result is the value of the call; with targets it is ``(value, new values of the targets)``, a
``None`` among these leaves the target as it is. ``EvalError`` says that the evaluation failed.
"""


class Parameter(Enum):
    """One place in a list of arguments."""

    TEXT = "text"
    NUMBER = "number"
    ADDRESS = "address"
    ANY = "any"
    MORE_NUMBER = "number?"
    MORE_ADDRESS = "address?"
    MORE_TEXT = "text?"
    CONSTANT = "constant"
    WORD = "word"
    COLUMN = "column"
    COLUMN_VALUE = "column value"
    TEXT_COLUMN = "text column"
    COLUMN_OR_TYPE = "column or type"
    ATTRIBUTES = "attributes?"
    LOCAL_ATTRIBUTES = "local attributes?"

    @property
    def optional(self) -> bool:
        """Whether the argument may be left out at the end."""
        return self.value.endswith("?")

    @property
    def types(self) -> tuple[Type, ...]:
        """The types a value may have; () for all."""
        base = self.value.rstrip("?")
        return _TYPES.get(base, ())


_TYPES = {
    "text": (Type.STR,),
    "number": (Type.INT, Type.FLOAT),
    "address": (Type.IP,),
}

Gives = Type | Callable[[tuple[Node, ...]], Type]


def _no_complaint(_: Call) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language.

    ``parameters`` come once, ``repeated`` any number of times after them; ``attributes`` are the
    words its last argument may list, None if it takes none. ``check`` returns what is wrong with
    a call, or ''. ``sets``: it has targets, ``all_columns``: they are all there are. ``regex``: its
    pattern is always a regular expression, so that the attributes of ``-rx`` are for it too.
    """

    name: str
    usage: str
    parameters: tuple[Parameter, ...]
    gives: Gives
    make: Maker
    repeated: tuple[Parameter, ...] = ()
    attributes: frozenset[str] | None = None
    check: Callable[[Call], str] = _no_complaint
    all_columns: bool = False
    sets: bool = False
    regex: bool = False

    def result(self, values: tuple[Node, ...]) -> Type:
        """Return the type of the value for these arguments."""
        return self.gives if isinstance(self.gives, Type) else self.gives(values)
