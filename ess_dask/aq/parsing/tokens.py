"""A cursor over an argument list, and attribute lists of options."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ess_dask.aq.errors import OptionError
from ess_dask.aq.text import unescape
from ess_dask.dataclass import dataclass


def as_bytes_text(argument: str) -> str:
    """Return an argument of the process as one character for each of its bytes.

    Raises ``OptionError`` for a text that no bytes stand for (it cannot come from a shell).
    """
    try:
        return argument if argument.isascii() else os.fsencode(argument).decode("latin-1")
    except UnicodeEncodeError:
        raise OptionError(f"{argument!r} is no text") from None


def as_path(text: str) -> str:
    """Return the path that bytes-as-characters name."""
    return text if text.isascii() else os.fsdecode(text.encode("latin-1"))


@dataclass(frozen=True, slots=True)
class Option:
    """An option with its attributes, as in ``-f,+1,sep=;``."""

    name: str
    attributes: tuple[str, ...]
    text: str

    def flag(self, name: str) -> bool:
        """Whether attribute ``name`` is given."""
        return name in self.attributes


def split_option(token: str) -> Option:
    """Return name and attributes; a separator may itself be a comma, as in ``sep=,``."""
    name, _, rest = token.partition(",")
    attributes = []
    while rest:
        if rest.startswith("sep=,"):
            attribute, rest = "sep=,", rest[6:] if rest[5:6] == "," else rest[5:]
        else:
            attribute, _, rest = rest.partition(",")
        if attribute:
            attributes.append(attribute)
    return Option(name, tuple(attributes), token)


def is_option(token: str) -> bool:
    """Whether a token is an option; a lone dash is a file, ``-,label`` too."""
    return len(token) > 1 and token[0] == "-" and token[1] != ","


def separator_of(text: str, where: str) -> str:
    """Return the byte that ``sep=`` names."""
    char = unescape(text)
    if len(char) != 1:
        raise OptionError(
            f"bad separator {text!r} in {where!r}", hint="one byte, as it is or as \\xHH"
        )
    return char


class Tokens:
    """The arguments not yet read."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._tokens = [as_bytes_text(argument) for argument in arguments]
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._tokens)

    def option(self) -> Option:
        """Return the next token as an option."""
        token = self._tokens[self._at]
        if not is_option(token):
            raise OptionError(f"unexpected argument {token!r}", hint="options begin with a dash")
        self._at += 1
        return split_option(token)

    def peek(self) -> str:
        """Return the name of the next option, '' if there is none."""
        if not self or not is_option(self._tokens[self._at]):
            return ""
        return split_option(self._tokens[self._at]).name

    def following(self) -> str:
        """Return the next token without reading it, '' at the end."""
        return self._tokens[self._at] if self else ""

    def value(self, option: Option, what: str) -> str:
        """Return the next token, whatever it looks like."""
        if not self:
            raise OptionError(f"option {option.text!r} needs {what}")
        self._at += 1
        return self._tokens[self._at - 1]

    def values(self, option: Option, what: str, *, required: bool = True) -> list[str]:
        """Return the tokens up to the next option."""
        start = self._at
        while self and not is_option(self._tokens[self._at]):
            self._at += 1
        found = self._tokens[start : self._at]
        if required and not found:
            raise OptionError(f"option {option.text!r} needs {what}")
        return found

    def until(self, end: str, option: Option) -> list[str]:
        """Return the tokens up to ``end``, and step over it."""
        try:
            stop = self._tokens.index(end, self._at)
        except ValueError:
            raise OptionError(f"option {option.text!r} needs {end!r} at its end") from None
        found = self._tokens[self._at : stop]
        self._at = stop + 1
        return found
