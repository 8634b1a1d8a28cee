"""Fills ``${VAR}`` and ``${VAR:-default}`` into the values of a YAML document."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from ess_dask.documents.yaml import Map, Node, Place, Scalar, Sequence, fault

_VARIABLE = re.compile(r"\$\$|\$\{([^{}]*)\}|\$\{")
_REFERENCE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:-)(.*))?", re.DOTALL)


def expand(node: Node, environment: Mapping[str, str] | None = None) -> Node:
    """Return the node with ``${VAR}`` and ``${VAR:-default}`` filled in; ``$$`` is a ``$``.

    Keys are left alone. Raises ``ConfigError`` with the position of a variable that is not set.
    """
    values = os.environ if environment is None else environment
    if isinstance(node, Scalar):
        text = _VARIABLE.sub(lambda match: _value(match, node, values), node.text)
        if text == node.text:
            return node
        return replace(node, text=text, written=node.text, plain=node.plain and bool(text))
    if isinstance(node, Sequence):
        return Sequence(node.place, [expand(item, values) for item in node])
    result = Map(node.place)
    for key, value in node.items():
        result.put(key, expand(value, values), node.key_places[key])
    return result


def _value(match: re.Match[str], node: Scalar, environment: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    reference = _REFERENCE.fullmatch(match[1] or "")
    if reference is None:
        hint = "write ${NAME} or ${NAME:-default}; a literal ${ is written $${"
        raise fault(_inside(node, match), f"'{match[0]}' is not a variable", hint)
    name, has_default, default = reference.groups()
    value = environment.get(name, "")
    if value or has_default:
        return value or default
    if name in environment:
        return ""
    hint = f"export {name}=..., or write ${{{name}:-default}}; a literal ${{ is written $${{"
    raise fault(_inside(node, match), f"the variable {name} is not set", hint)


def _inside(node: Scalar, match: re.Match[str]) -> Place:
    """Place of a variable: exact in a plain value of one line, else where the value begins."""
    if node.place.line and node.plain and "\n" not in node.text:
        return replace(node.place, column=node.place.column + match.start())
    return node.place
