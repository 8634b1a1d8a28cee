"""MapTo templates: literals and ``%%name[:b64|:url[N]][[:start]:length][,brks]%%``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ess_dask.aq.codecs import base64_decode, url_decode
from ess_dask.aq.errors import OptionError
from ess_dask.aq.text import unescape
from ess_dask.dataclass import dataclass

_VARIABLE = re.compile(
    r"%%(?P<name>\w+)(?P<conversions>(?::(?:b64|url\d{0,2}))*)(?P<cut>:\d{1,9}(?::\d{1,9})?)?(?:,(?P<brks>.*?))?%%",
    re.DOTALL | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable in a template and what is done to its value before it is put in.

    ``length`` is None for all of it; ``urls`` is the number of URL decodings.
    """

    name: str
    start: int = 0
    length: int | None = None
    breaks: str = ""
    urls: int = 0
    base64: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the value is put in as it is."""
        return self == Variable(self.name)

    def apply(self, value: str) -> str:
        """Return what stands in the place of the variable."""
        if self.length is not None:
            value = value[self.start : self.start + self.length]
        if self.breaks:
            value = re.split(f"[{re.escape(self.breaks)}]", value, maxsplit=1)[0]
        for _ in range(self.urls):
            value = url_decode(value)
        return base64_decode(value) if self.base64 else value


Template = tuple[str | Variable, ...]


@lru_cache(maxsize=256)
def parse_template(text: str) -> Template:
    """Return the literals and variables of ``text`` in order."""
    parts: list[str | Variable] = []
    literal, at = "", 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            size = 4 if re.match(r"x[0-9A-Fa-f]{2}", text[at + 1 : at + 4]) else 2
            literal += unescape(text[at : at + size], "%")
            at += size
        elif match := _VARIABLE.match(text, at):
            if literal:
                parts.append(literal)
            parts.append(_variable(match))
            literal, at = "", match.end()
        elif text.startswith("%%", at):
            raise OptionError(f"bad variable at {text[at:]!r} in template {text!r}")
        else:
            literal += text[at]
            at += 1
    return (*parts, literal) if literal else tuple(parts)


def _variable(match: re.Match[str]) -> Variable:
    urls, base64 = 0, False
    for conversion in filter(None, match["conversions"].split(":")):
        if conversion == "b64":
            base64 = True
        else:
            urls = int(conversion[3:] or 1)
    start, length = 0, None
    if match["cut"]:
        numbers = [int(part) for part in match["cut"][1:].split(":")]
        start, length = (numbers[0], numbers[1]) if len(numbers) == 2 else (0, numbers[0])
    return Variable(match["name"], start, length, match["brks"] or "", urls, base64)


def render(template: Template, look_up: Callable[[str], str]) -> str:
    """Return the text of ``template``; ``look_up`` gives the value of a name, '' if unknown."""
    return "".join(
        part if isinstance(part, str) else part.apply(look_up(part.name)) for part in template
    )
