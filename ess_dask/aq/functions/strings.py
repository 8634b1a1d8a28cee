"""Functions over strings: properties, pieces, encodings."""

from __future__ import annotations

import re
from collections.abc import Callable

from ess_dask.aq import codecs
from ess_dask.aq.errors import OptionError
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Type, Value, truncate
from ess_dask.aq.tree import Call
from ess_dask.dataclass import dataclass

_UPPER_TO_LOWER = {code: code + 32 for code in range(65, 91)}
_LOWER_TO_UPPER = {code: code - 32 for code in range(97, 123)}


def lower(text: str) -> str:
    """Return ``text`` with A to Z in lower case and every other byte as it is."""
    return text.lower() if text.isascii() else text.translate(_UPPER_TO_LOWER)


def upper(text: str) -> str:
    """Return ``text`` with a to z in upper case and every other byte as it is."""
    return text.upper() if text.isascii() else text.translate(_LOWER_TO_UPPER)


def string_hash(text: str) -> int:
    """Return the 32-bit DJB2 hash of the lower-cased bytes."""
    value = 5381
    for char in lower(text).encode("latin-1"):
        value = (value * 33 + char) & 0xFFFFFFFF
    return value


def whole(value: Value) -> int:
    """Return a numeric argument as an integer."""
    assert not isinstance(value, str)
    return value if isinstance(value, int) else truncate(value)


def substring(text: str, start: Value, length: Value | None = None) -> str:
    """Return a piece of ``text``; negative start and length count from the end."""
    first = whole(start)
    if first < 0:
        first = max(first + len(text), 0)
    longest = max(len(text) - first, 0)
    size = longest if length is None else whole(length)
    if size < 0:
        size = max(size + longest, 0)
    return text[first : first + min(size, longest)]


@dataclass(frozen=True, slots=True)
class Clip:
    """One element of a clip specification."""

    inverted: bool
    count: int
    drops_last: bool
    forward: bool
    separator: str

    def apply(self, text: str) -> str:
        """Return the clipped (or, inverted, the remaining) part."""
        if not self.forward:
            taken, rest = self._forward(text[::-1])
            taken, rest = taken[::-1], rest[::-1]
        else:
            taken, rest = self._forward(text)
        return rest if self.inverted else taken

    def _forward(self, text: str) -> tuple[str, str]:
        if not self.separator:
            return text[: self.count], text[self.count :]
        at, seen = -1, 0
        while seen < self.count and (found := text.find(self.separator, at + 1)) >= 0:
            at, seen = found, seen + 1
        if seen < self.count:
            return text, ""
        cut = at + 1
        return (text[:at] if self.drops_last and seen else text[:cut]), text[cut:]


_CLIP = re.compile(r"(!?)(\d{1,18})(-?)([<>])(.?)(?:;|\Z)", re.DOTALL)


def parse_clips(spec: str) -> tuple[Clip, ...]:
    """Return the elements of a clip specification."""
    clips, at = [], 0
    while at < len(spec):
        match = _CLIP.match(spec, at)
        if match is None:
            raise OptionError(
                f"bad clip {spec[at:]!r} in {spec!r}", hint="write [!]N[-]>[sep] or [!]N[-]<[sep]"
            )
        separator = match[5]
        if separator == ";" and match.end() < len(spec):
            separator = ""
        clips.append(
            Clip(bool(match[1]), int(match[2]), bool(match[3]), match[4] == ">", separator)
        )
        at = match.end()
    return tuple(clips)


def _clip(call: Call) -> Callable[[str], str]:
    clips = parse_clips(call.constants[0])

    def run(text: str) -> str:
        for clip in clips:
            text = clip.apply(text)
        return text

    return run


def _index(call: Call) -> Callable[[str, str], int]:
    find = str.rfind if "back" in call.attributes else str.find
    if "ncas" in call.attributes:
        return lambda text, part: find(lower(text), lower(part))
    return find


def mask(text: str) -> str:
    """Return an irreversible stand-in: lower-case hexadecimal, as long as ``text`` or longer."""
    import hashlib

    if not text:
        return ""
    size = max((len(text) + 1) // 2, 8)
    digest = hashlib.shake_128(text.encode("latin-1")).hexdigest(size)
    return digest[: max(len(text), 16)]


def _plain(function: Callable[..., Value]) -> Callable[[Call], Callable[..., Value]]:
    return lambda _: function


def _check_clip(call: Call) -> str:
    parse_clips(call.constants[0])
    return ""


_TEXT = (Parameter.TEXT,)
FUNCTIONS = (
    Function("SHash", "SHash(Val)", _TEXT, Type.INT, _plain(string_hash)),
    Function("SLeng", "SLeng(Val)", _TEXT, Type.INT, _plain(len)),
    Function(
        "SubStr",
        "SubStr(Val, Start [, Length])",
        (Parameter.TEXT, Parameter.NUMBER, Parameter.MORE_NUMBER),
        Type.STR,
        _plain(substring),
    ),
    Function(
        "ClipStr",
        'ClipStr(Val, "[!]N[-]DIR[sep];..")',
        (Parameter.TEXT, Parameter.CONSTANT),
        Type.STR,
        _clip,
        check=_check_clip,
    ),
    Function(
        "StrIndex",
        "StrIndex(Val, Str [, ncas|back])",
        (Parameter.TEXT, Parameter.TEXT),
        Type.INT,
        _index,
        attributes=frozenset(("ncas", "back")),
    ),
    Function("ToUpper", "ToUpper(Val)", _TEXT, Type.STR, _plain(upper)),
    Function("ToLower", "ToLower(Val)", _TEXT, Type.STR, _plain(lower)),
    Function("MaskStr", "MaskStr(Val)", _TEXT, Type.STR, _plain(mask)),
    Function("UrlEnc", "UrlEnc(Val)", _TEXT, Type.STR, _plain(codecs.url_encode)),
    Function("UrlDec", "UrlDec(Val)", _TEXT, Type.STR, _plain(codecs.url_decode)),
    Function("Base64Enc", "Base64Enc(Val)", _TEXT, Type.STR, _plain(codecs.base64_encode)),
    Function("Base64Dec", "Base64Dec(Val)", _TEXT, Type.STR, _plain(codecs.base64_decode)),
)
