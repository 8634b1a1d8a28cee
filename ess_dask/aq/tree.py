"""Typed expressions: what the parser makes and both ways of running read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ess_dask.aq.kinds import Kind, Type, Value
from ess_dask.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written in the expression."""

    value: Value
    type: Type


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of the row or, with ``variable``, a value that lives over all rows.

    ``slot`` is its place in the row or among the variables.
    """

    slot: int
    name: str
    kind: Kind
    variable: bool = False

    @property
    def type(self) -> Type:
        """The type of its values."""
        return self.kind.type


@dataclass(frozen=True, slots=True)
class Builtin:
    """``$RowNum``, ``$Random``, ``$CurSec`` or ``$CurUSec``; ``name`` is lower case, without $."""

    name: str
    type: Literal[Type.INT] = Type.INT


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, or ``+`` between strings."""

    op: str
    left: Node
    right: Node
    type: Type


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison; 0 or 1. ``op`` is one of == > < >= <= ~== ~> ~< ~>= ~<= != !~= &= !&= !&."""

    op: str
    left: Node
    right: Node
    type: Literal[Type.INT] = Type.INT


@dataclass(frozen=True, slots=True)
class Logic:
    """``&&`` or ``||``; the right side is looked at only if it can matter."""

    op: str
    left: Node
    right: Node
    type: Literal[Type.INT] = Type.INT


@dataclass(frozen=True, slots=True)
class Negation:
    """``!``."""

    of: Node
    type: Literal[Type.INT] = Type.INT


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments sorted by what they are.

    ``values`` are expressions, ``constants`` strings fixed in the text, ``attributes`` words such
    as ``ncas``, ``targets`` the columns the function sets.
    """

    function: str
    values: tuple[Node, ...]
    constants: tuple[str, ...]
    attributes: tuple[str, ...]
    targets: tuple[Reference, ...]
    type: Type


Node = Constant | Reference | Builtin | Binary | Compare | Logic | Negation | Call


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and all below it."""
    yield node
    if isinstance(node, Binary | Compare | Logic):
        yield from walk(node.left)
        yield from walk(node.right)
    elif isinstance(node, Negation):
        yield from walk(node.of)
    elif isinstance(node, Call):
        for value in node.values:
            yield from walk(value)
