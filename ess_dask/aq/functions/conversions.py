"""Functions from one type to another, query parameters, and setting a column by name."""

from __future__ import annotations

import re
from collections.abc import Callable

from ess_dask.aq.addresses import parse_address
from ess_dask.aq.codecs import url_decode
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import BLANK_ADDRESS, Type, Value, format_float, storing, truncate, wrap64
from ess_dask.aq.text import WRAPPED_DIGITS
from ess_dask.aq.tree import Call
from ess_dask.dataclass import dataclass

_INTEGER = re.compile(r"[ \t\n\r\f\v]*([+-]?)(0[xX][0-9A-Fa-f]+|\d+)", re.ASCII)
_FLOAT = re.compile(
    r"[ \t\n\r\f\v]*[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)",
    re.ASCII | re.IGNORECASE,
)


def to_integer(value: Value) -> int:
    """Return the integer a value begins with, 0 if it begins with none; floats are cut."""
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return truncate(value)
    match = _INTEGER.match(value)
    if match is None:
        return 0
    digits = match[2]
    hexadecimal = digits[:2] in ("0x", "0X")
    number = int(digits, 16) if hexadecimal else int(digits[-WRAPPED_DIGITS:])
    return wrap64(-number if match[1] == "-" else number)


def to_float(value: Value) -> float:
    """Return the number a value begins with, 0 if it begins with none."""
    if not isinstance(value, str):
        return float(value)
    match = _FLOAT.match(value)
    return float(match[0]) if match else 0.0


def to_string(value: Value) -> str:
    """Return a value as the outputs print it."""
    return format_float(value) if isinstance(value, float) else str(value)


def to_address(value: str) -> str:
    """Return the address a text is, the zero address for other text."""
    return parse_address(value.strip(" ")) or BLANK_ADDRESS


@dataclass(frozen=True, slots=True)
class QueryRules:
    """How a query parameter is taken: decodings, a character to trim, cleared first or not."""

    decodings: int = 1
    trim: str = ""
    clears: bool = False
    begin: str = ""

    def refined(self, text: str) -> QueryRules:
        """Return these rules with those of an attribute list on top."""
        rules = self
        for name in filter(None, re.split(r"[|,](?=[a-z])", text)):
            word, _, value = name.partition("=")
            rules = QueryRules(
                int(value or 0) if word == "dec" else rules.decodings,
                value[:1] if word == "trm" else rules.trim,
                rules.clears or word == "zero",
                value[:1] if word == "beg" else rules.begin,
            )
        return rules

    def take(self, raw: str) -> str:
        """Return the value of a parameter as written in a query."""
        for _ in range(self.decodings):
            raw = url_decode(raw)
        if self.trim and raw.startswith(self.trim):
            raw = raw[1:]
        if self.trim and raw.endswith(self.trim):
            raw = raw[:-1]
        return raw


_QUERY_WORD = re.compile(r"zero|dec=\d{1,2}|(?:beg|trm)=.?", re.DOTALL)


def _check_query(call: Call) -> str:
    for text in call.attributes:
        for name in filter(None, re.split(r"[|,](?=[a-z])", text)):
            if not _QUERY_WORD.fullmatch(name):
                return f"no attribute {name!r}; there are beg=c zero dec=N trm=c"
    return "" if len(call.targets) else "needs a column and a key"


def _query(call: Call) -> Callable[[str], tuple[int, tuple[str | None, ...]]]:
    base = QueryRules().refined(call.attributes[0])
    rules = [base.refined(text) for text in call.attributes[1:]]
    keys = call.constants

    def run(text: str) -> tuple[int, tuple[str | None, ...]]:
        if base.begin:
            text = text.partition(base.begin)[2]
        taken: list[str | None] = ["" if rule.clears else None for rule in rules]
        free = list(range(len(keys)))
        count = 0
        for pair in text.split("&"):
            key, _, raw = pair.partition("=")
            key = url_decode(key)
            place = next((at for at in free if keys[at] == key), None)
            if place is not None:
                free.remove(place)
                taken[place] = rules[place].take(raw)
                count += 1
        return count, tuple(taken)

    return run


def _set(call: Call) -> Callable[[Value, Value], tuple[int, tuple[Value | None, ...]]]:
    source = call.values[1].type
    places = {target.name.lower(): at for at, target in enumerate(call.targets)}
    stores = [storing(source, target.kind) for target in call.targets]
    nothing: tuple[Value | None, ...] = (None,) * len(call.targets)

    def run(name: Value, value: Value) -> tuple[int, tuple[Value | None, ...]]:
        at = places.get(str(name).lower(), -1)
        store = stores[at] if at >= 0 else None
        if store is None:
            return 0, nothing
        return 1, (*nothing[:at], store(value), *nothing[at + 1 :])

    return run


def _check_text_or_address(call: Call) -> str:
    if call.values[0].type in (Type.STR, Type.IP):
        return ""
    return f"wants a string or an address, not {call.values[0].type.value}"


def _check_text_or_number(call: Call) -> str:
    return "an address is no number" if call.values[0].type is Type.IP else ""


FUNCTIONS = (
    Function(
        "ToIP",
        "ToIP(Val)",
        (Parameter.ANY,),
        Type.IP,
        lambda _: to_address,
        check=_check_text_or_address,
    ),
    Function(
        "ToF",
        "ToF(Val)",
        (Parameter.ANY,),
        Type.FLOAT,
        lambda _: to_float,
        check=_check_text_or_number,
    ),
    Function(
        "ToI",
        "ToI(Val)",
        (Parameter.ANY,),
        Type.INT,
        lambda _: to_integer,
        check=_check_text_or_number,
    ),
    Function("ToS", "ToS(Val)", (Parameter.ANY,), Type.STR, lambda _: to_string),
    Function(
        "QryDec",
        'QryDec(Val [, attributes], Col, "key" [, attributes] ..)',
        (Parameter.TEXT, Parameter.LOCAL_ATTRIBUTES),
        Type.INT,
        _query,
        repeated=(Parameter.TEXT_COLUMN, Parameter.CONSTANT, Parameter.LOCAL_ATTRIBUTES),
        check=_check_query,
        sets=True,
    ),
    Function(
        "Set",
        "Set(Name, Val)",
        (Parameter.TEXT, Parameter.ANY),
        Type.INT,
        _set,
        all_columns=True,
        sets=True,
    ),
)
