"""POSIX regular expressions, basic and extended, to the syntax of Python's engines.

Bytes are characters 0 to 255. The language's own escapes (``\\n``, ``\\xHH`` ...) are known too.
"""

from __future__ import annotations

import re

from ess_dask.aq.errors import OptionError
from ess_dask.aq.text import SEQUENCES

_CLASSES = {
    "alpha": "A-Za-z",
    "digit": "0-9",
    "alnum": "A-Za-z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r" \t\n\r\f\v",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "print": " -~",
    "graph": "!-~",
    "cntrl": r"\x00-\x1f\x7f",
    "xdigit": "0-9A-Fa-f",
}
_INTERVAL = re.compile(r"\d*(?:,\d*)?")
_GNU = {
    "w": r"\w",
    "W": r"\W",
    "s": r"\s",
    "S": r"\S",
    "<": r"\b(?=\w)",
    ">": r"\b(?<=\w)",
    "`": r"\A",
    "'": r"\Z",
}


def translate(pattern: str, *, extended: bool, newline: bool) -> str:
    """Return the Python pattern that matches what the POSIX ``pattern`` does."""
    return _Translation(pattern, extended, newline).run()


class _Translation:
    """One pass over a pattern; ``_out`` holds finished pieces, the last one may be repeated."""

    def __init__(self, pattern: str, extended: bool, newline: bool) -> None:
        self._pattern = pattern
        self._extended = extended
        self._newline = newline
        self._out: list[str] = []
        self._at = 0
        self._groups: list[int] = []
        self._atom = False
        self._repeated = False

    def run(self) -> str:
        while self._at < len(self._pattern):
            self._step()
        if self._groups:
            raise self._error("unbalanced group")
        return "".join(self._out)

    def _error(self, why: str) -> OptionError:
        return OptionError(f"{why} in regular expression {self._pattern!r}")

    def _step(self) -> None:
        char = self._pattern[self._at]
        self._at += 1
        if char == "\\":
            self._escaped()
        elif char == "[":
            self._put(self._bracket())
        elif char == ".":
            self._put("[^\\n]" if self._newline else ".")
        elif char == "*":
            self._star()
        elif char == "^":
            self._circumflex()
        elif char == "$":
            self._dollar()
        elif self._extended and char in "+?(){|":
            self._operator(char)
        else:
            self._put(re.escape(char))

    def _put(self, piece: str) -> None:
        self._out.append(piece)
        self._atom, self._repeated = True, False

    def _mark(self, piece: str) -> None:
        """Append what cannot be repeated."""
        self._out.append(piece)
        self._atom = self._repeated = False

    def _star(self) -> None:
        if self._atom:
            self._repeat("*")
        elif self._extended and not self._out:
            self._put(r"\*")
        else:
            self._put(r"\*")

    def _repeat(self, how: str) -> None:
        if not self._atom:
            self._put(re.escape(how))
            return
        if self._repeated:
            # Two in a row would mean lazy or possessive to Python.
            self._out[-1] = f"(?:{self._out[-1]})"
        self._out[-1] += how
        self._repeated = True

    def _circumflex(self) -> None:
        starts = not self._out or self._out[-1] in ("(", "|")
        if self._extended or starts:
            self._mark("(?m:^)" if self._newline else r"\A")
        else:
            self._put(r"\^")

    def _dollar(self) -> None:
        rest = self._pattern[self._at :]
        ends = not rest or rest.startswith((r"\)", r"\|"))
        if self._extended or ends:
            self._mark("(?m:$)" if self._newline else r"\Z")
        else:
            self._put(r"\$")

    def _operator(self, char: str) -> None:
        if char in "+?":
            self._repeat(char)
        elif char == "(":
            self._open()
        elif char == ")":
            if self._groups:
                self._close()
            else:
                self._put(r"\)")
        elif char == "|":
            self._mark("|")
        elif char == "{":
            self._interval("}")
        else:
            self._put(re.escape(char))

    def _open(self) -> None:
        self._groups.append(len(self._out))
        self._mark("(")

    def _close(self) -> None:
        if not self._groups:
            raise self._error("unbalanced group")
        start = self._groups.pop()
        group = "".join(self._out[start:]) + ")"
        del self._out[start:]
        self._put(group)

    def _interval(self, end: str) -> None:
        match = _INTERVAL.match(self._pattern, self._at)
        assert match
        text = match[0]
        if not text or text == "," or not self._pattern.startswith(end, match.end()):
            if not self._extended:
                raise self._error("bad interval")
            self._put(r"\{")
            return
        self._at = match.end() + len(end)
        self._repeat("{" + ("0" + text if text.startswith(",") else text) + "}")

    def _escaped(self) -> None:
        if self._at >= len(self._pattern):
            raise self._error("trailing backslash")
        char = self._pattern[self._at]
        self._at += 1
        if not self._extended and char in "(){|+?":
            self._basic_operator(char)
        elif char in "123456789":
            self._put("\\" + char)
        elif char == "x" and re.match(r"[0-9A-Fa-f]{2}", self._pattern[self._at :]):
            self._put(re.escape(chr(int(self._pattern[self._at : self._at + 2], 16))))
            self._at += 2
        elif char in SEQUENCES and char not in '\\"':
            if char != "\n":
                self._put(re.escape(SEQUENCES[char]))
        elif char in _GNU:
            self._put(_GNU[char])
        else:
            self._put(re.escape(char))

    def _basic_operator(self, char: str) -> None:
        if char == "(":
            self._open()
        elif char == ")":
            self._close()
        elif char == "{":
            self._interval(r"\}")
        elif char == "|":
            self._mark("|")
        else:
            self._repeat(char)

    def _bracket(self) -> str:
        start, text = self._at, self._pattern
        negated = text.startswith("^", self._at)
        self._at += negated
        parts: list[str] = []
        while True:
            if self._at >= len(text):
                raise self._error(f"unbalanced [ at {text[start - 1 :]!r}")
            char = text[self._at]
            if char == "]" and parts:
                break
            parts.append(self._member(char))
        self._at += 1
        exclude = r"\n" if negated and self._newline else ""
        return "[" + ("^" if negated else "") + "".join(parts) + exclude + "]"

    def _member(self, char: str) -> str:
        text = self._pattern
        for opening, closing in (("[:", ":]"), ("[.", ".]"), ("[=", "=]")):
            end = text.find(closing, self._at + 2)
            if text.startswith(opening, self._at) and end > 0:
                name = text[self._at + 2 : end]
                self._at = end + 2
                return self._class(name) if opening == "[:" else re.escape(name)
        if char == "\\" and (found := self._bracket_escape()):
            return found
        self._at += 1
        if char == "-" and not text.startswith("]", self._at) and text[self._at - 2] not in "[^":
            return "-"
        return "\\" + char if char in r"\]^-[&|~" else char

    def _class(self, name: str) -> str:
        if name not in _CLASSES:
            raise self._error(f"unknown class [:{name}:]")
        return _CLASSES[name]

    def _bracket_escape(self) -> str:
        body = self._pattern[self._at + 1 : self._at + 4]
        if re.match(r"x[0-9A-Fa-f]{2}", body):
            self._at += 4
            return re.escape(chr(int(body[1:3], 16)))
        if body[:1] and body[0] in 'nrtvf"':
            self._at += 2
            return re.escape(SEQUENCES[body[0]])
        return ""
