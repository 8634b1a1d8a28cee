"""Typed fields of settings and pipeline files: how written text becomes a value.

A model is a frozen dataclass whose fields carry ``metadata`` (description, unit) and one of the
types below; ``ess_dask.documents.checking.check`` makes an instance of it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from ess_dask.dataclass import dataclass
from ess_dask.documents.yaml import Place, Scalar
from ess_dask.errors import ConfigError

FORBID_UNKNOWN: dict[str, Any] = {"extra": "forbid"}
"""Value of ``__pydantic_config__`` of every model: an unknown key is an error."""

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)")
_SIZE_UNITS = {"": 0, "b": 0, "k": 1, "kb": 1, "kib": 1, "m": 2, "mb": 2, "mib": 2}
_SIZE_UNITS |= {"g": 3, "gb": 3, "gib": 3, "t": 4, "tb": 4, "tib": 4}
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_DURATION = re.compile(f"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s?)?")


class FieldError(ConfigError, ValueError):
    """A value does not fit its field. ``place`` or ``key`` (of the mapping) says which one."""

    def __init__(
        self, message: str, *, hint: str = "", place: Place | None = None, key: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.place = place
        self.key = key


@dataclass(frozen=True)
class Before:
    """Marks a type: ``convert`` takes what was written; ``schema`` (or its maker) describes it.

    ``final``: what ``convert`` returns is the value, and is not looked at again.
    """

    convert: Callable[[Any], Any]
    schema: dict[str, Any] | Callable[[], dict[str, Any]]
    final: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Let pydantic call ``convert`` first."""
        from pydantic_core import core_schema

        if self.final:
            return core_schema.no_info_plain_validator_function(self.convert)
        return core_schema.no_info_before_validator_function(self.convert, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> Any:
        """Describe what may be written, not what it becomes."""
        return dict(self.schema() if callable(self.schema) else self.schema)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?``, or the list of known words when none is near."""
    words = list(known)
    near = difflib.get_close_matches(word.lower(), [name.lower() for name in words], 1)
    for name in words:
        if near and name.lower() == near[0]:
            return f"did you mean '{name}'?"
    return f"known are {', '.join(words)}"


def as_text(value: Any) -> Any:
    """A written scalar as text: ``no``, ``010`` and ``12:30:45`` stay what they are."""
    if isinstance(value, Scalar):
        if value.is_null:
            raise FieldError("nothing is written here", hint="write a value or drop the key")
        return value.text
    return value


def as_filled(value: Any) -> Any:
    """A text in which something stands."""
    text = as_text(value)
    if isinstance(text, str) and not text.strip():
        raise FieldError("nothing is written here", hint="write a value")
    return text


def as_whole(value: Any) -> Any:
    """A whole number in decimal digits; refuses ``010``, which YAML readers take in three ways."""
    if not isinstance(value, Scalar):
        return value
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", value.text):
        return int(value.text)
    digits = re.fullmatch(r"(-?)0+([0-9]+)", value.text)
    hint = f"write {digits[1]}{digits[2]}" if digits else "write it in digits, such as 4"
    raise FieldError(f"'{value.shown}' is not a whole number", hint=hint)


def as_truth(value: Any) -> Any:
    """``true`` or ``false``; refuses ``no``, ``off``, ``0``, which are text in YAML 1.2."""
    if not isinstance(value, Scalar):
        return value
    word = value.text.lower()
    if word in ("true", "false"):
        return word == "true"
    meant = {"yes": "true", "on": "true", "1": "true", "y": "true"}.get(word, "")
    meant = meant or {"no": "false", "off": "false", "0": "false", "n": "false"}.get(word, "")
    raise FieldError(
        f"'{value.shown}' is not a truth value", hint=f"write {meant or 'true or false'}"
    )


def as_size(value: Any) -> Any:
    """Bytes: a number, with or without B, KiB, MiB, GiB or TiB (K and KB mean KiB, and so on)."""
    if not isinstance(value, Scalar):
        return value
    match = _SIZE.fullmatch(value.text.strip())
    if match is None or match[2].lower() not in _SIZE_UNITS:
        raise FieldError(f"'{value.shown}' is not a size", hint="write it like 64MiB or 1GiB")
    amount = float(match[1]) * 1024 ** _SIZE_UNITS[match[2].lower()]
    return int(match[1]) if match[2] == "" and match[1].isdigit() else round(amount)


def as_seconds(value: Any) -> Any:
    """Seconds: ``90``, ``90s``, ``1.5m`` or ``1h30m``."""
    if not isinstance(value, Scalar):
        return value
    match = _DURATION.fullmatch(value.text.strip())
    if match is None or not any(match.groups()):
        raise FieldError(
            f"'{value.shown}' is not a duration", hint="write it like 90s, 15m or 1h30m"
        )
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return math.fsum((hours * 3600, minutes * 60, seconds))


def as_list(value: Any) -> Any:
    """One value where a list may stand is a list of one."""
    return [value] if isinstance(value, str | Scalar) else value


def show_size(number: int) -> str:
    """Return a size as ``as_size`` reads it, exactly: ``64MiB``, ``1500B``."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return f"{number}B"


def show_seconds(seconds: float) -> str:
    """Return a duration as ``as_seconds`` reads it, exactly: ``1h``, ``90m``, ``2.5s``."""
    for unit, factor in (("h", 3600), ("m", 60)):
        if seconds and seconds % factor == 0:
            return f"{seconds / factor:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def choice(*words: str) -> Before:
    """Mark of a ``Literal`` field: the message for another word names the nearest one."""

    def convert(value: Any) -> Any:
        text = as_text(value)
        if isinstance(value, Scalar) and text not in words:
            what = f"'{value.shown}' is not one of {', '.join(filter(None, words))}"
            near = difflib.get_close_matches(text.lower(), words, 1)
            raise FieldError(what, hint=f"did you mean '{near[0]}'?" if near else "")
        return text

    return Before(convert, {"type": "string", "enum": list(words)})


_VARIABLE = {"type": "string", "pattern": r"\$\{"}
Text = Annotated[str, Before(as_text, {"type": "string"})]
Filled = Annotated[str, Before(as_filled, {"type": "string", "minLength": 1})]
Whole = Annotated[int, Before(as_whole, {"anyOf": [{"type": "integer"}, _VARIABLE]})]
Truth = Annotated[bool, Before(as_truth, {"anyOf": [{"type": "boolean"}, _VARIABLE]})]
Size = Annotated[
    int,
    Before(
        as_size,
        {
            "anyOf": [
                {"type": "integer"},
                {"type": "string", "pattern": r"^[0-9.]+ *[A-Za-z]*$|\$\{"},
            ]
        },
    ),
]
Seconds = Annotated[
    float,
    Before(
        as_seconds,
        {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9.hms]+$|\$\{"}]},
    ),
]
Texts = Annotated[
    tuple[Filled, ...],
    Before(
        as_list,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    ),
]
