"""JSON inputs: values one after another, or an array of them, walked into rows."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator

from ess_dask.aq.inputs.keyed import Candidates, Paths, Row
from ess_dask.aq.inputs.records import Broken, Record
from ess_dask.aq.program import InputSpec


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


class _Members(list[tuple[str, object]]):
    """The members of an object in their order, repeated names and all."""

    __slots__ = ()


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_int=_Number,
    parse_float=_Number,
    parse_constant=_Number,
    strict=False,
)
_BLANKS = re.compile(r"[\s,\ufeff]*")
"""What may stand between values: also the mark that some programs begin a file with."""
_NEXT_RECORD = re.compile(r"\n\s*[{\[]")
_NEXT_ARRAY = re.compile(r"\n\s*\[")
_PIECE = 1 << 16
_UNFINISHED = 1 << 17
"""An error this near to the end of what was read may be only a value that goes on."""
_IN_STRING = "Unterminated string"
"""How the decoder's message begins for a string that goes on, told from where it began."""


class JsonReader:
    """Records of ``jsn`` inputs."""

    def __init__(self, spec: InputSpec) -> None:
        self._paths = Paths.of(spec.columns, spec.format.base)
        self._unwraps = not self._paths.start_in_array
        self._rows_are_elements = self._unwraps or self._paths.start_in_every

    def records(self, blocks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the rows of a stream."""
        row = Row(self._paths)
        start = self._paths.all_columns()
        for value in _Values(blocks, by_element=self._rows_are_elements).values():
            if isinstance(value, Broken):
                row = Row(self._paths)
                yield value
            elif isinstance(value, _Element):
                yield from self._element(value, start, row)
            else:
                yield from self._walk(value, start, row)
                yield from row.leave_record()

    def _element(self, element: _Element, start: Candidates, row: Row) -> Iterator[list[str]]:
        """Yield the rows of an element of a top-level array, or of the array's end."""
        if element.ends:
            if not self._unwraps:
                yield from row.leave_record()
        elif self._unwraps:
            yield from self._walk(element.value, start, row)
            yield from row.leave_record()
        else:
            inner = self._paths.enter_element(start, element.index)
            yield from self._walk(element.value, inner, row)
            yield from row.leave_element(inner)

    def _walk(self, value: object, candidates: Candidates, row: Row) -> Iterator[list[str]]:
        if not candidates:
            return
        if isinstance(value, _Members):
            for key, member in value:
                yield from self._walk(
                    member, self._paths.enter(candidates, f".{_folded(key)}"), row
                )
        elif isinstance(value, list):
            for index, element in enumerate(value):
                inner = self._paths.enter_element(candidates, index)
                yield from self._walk(element, inner, row)
                yield from row.leave_element(inner)
        else:
            row.set(candidates, _text(value))


def _folded(key: str) -> str:
    return key.encode("utf-8", "surrogateescape").decode("latin-1").lower()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return (
        str(value)
        .encode("utf-8", "surrogatepass" if _has_pair(value) else "surrogateescape")
        .decode("latin-1")
    )


def _has_pair(value: object) -> bool:
    return any("\ud800" <= char < "\udc80" for char in str(value))


class _Element:
    """An element of a top-level array; ``ends`` marks the end of the array instead."""

    __slots__ = ("ends", "index", "value")

    def __init__(self, value: object, index: int, *, ends: bool = False) -> None:
        self.value = value
        self.index = index
        self.ends = ends


def _pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut large blocks: an error in a value costs a look at all of the text that is at hand."""
    for block in blocks:
        for at in range(0, len(block), _PIECE):
            yield block[at : at + _PIECE]


class _Values:
    """The top-level values of a stream; a top-level array gives its elements one by one.

    With ``by_element`` an element that is bad leaves the others of its array as they are, else
    the whole array is bad.
    """

    def __init__(self, blocks: Iterable[bytes], *, by_element: bool) -> None:
        self._blocks = _pieces(blocks)
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text = ""
        self._at = 0
        self._ended = False
        self._index = -1
        self._by_element = by_element
        self._doubtful = False
        """Whether something in the array was bad, so that its end may have been passed over."""

    def _more(self) -> bool:
        """Read as much again as is there; False at the end."""
        if self._ended:
            return False
        wanted = max(len(self._text) - self._at, 1)
        parts, size = [self._text[self._at :]], 0
        while size < wanted:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                parts.append(self._decode(b"", True))
                break
            parts.append(self._decode(block))
            size += len(parts[-1])
        self._text, self._at = "".join(parts), 0
        return True

    def values(self) -> Iterator[object]:
        """Yield values, ``_Element`` for those of a top-level array, ``Broken`` for bad ones."""
        while self._skip_blanks():
            char = self._text[self._at]
            if self._index < 0 and char == "[":
                self._at += 1
                self._index, self._doubtful = 0, False
            elif self._index >= 0 and char == "]":
                self._at += 1
                yield _Element(None, self._index, ends=True)
                self._index = -1
            else:
                yield self._value()
        if self._index >= 0 and not self._doubtful:
            yield Broken("bad JSON: the input ends within an array")

    def _skip_blanks(self) -> bool:
        while True:
            match = _BLANKS.match(self._text, self._at)
            assert match
            self._at = match.end()
            if self._at < len(self._text):
                return True
            if not self._more():
                return False

    def _value(self) -> object:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                goes_on = error.pos >= len(self._text) - _UNFINISHED
                if (goes_on or error.msg.startswith(_IN_STRING)) and self._more():
                    continue
                return self._resume(str(error.msg))
            except RecursionError:
                return self._resume("nested too deeply")
            if end == len(self._text) and self._more():
                continue
            self._at = end
            if self._index < 0:
                return value
            self._index += 1
            return _Element(value, self._index - 1)

    def _resume(self, reason: str) -> Broken:
        """Go on with the next line that begins like a record."""
        whole_array = self._index >= 0 and not self._by_element
        begin = _NEXT_ARRAY if whole_array else _NEXT_RECORD
        self._doubtful = True
        while True:
            match = begin.search(self._text, self._at)
            if match:
                self._at = match.end() - 1
                in_array = self._index >= 0 and match[0].endswith("{")
                self._index = self._index + 1 if in_array else -1
                break
            self._at = max(self._at, len(self._text) - 1)
            if not self._more():
                self._at = len(self._text)
                break
        return Broken(f"bad JSON: {reason}")
