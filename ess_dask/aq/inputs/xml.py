"""XML inputs: any number of root elements one after another, walked into rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

from ess_dask.aq.inputs.keyed import Candidates, Paths, Row
from ess_dask.aq.inputs.records import Broken, Record
from ess_dask.aq.program import InputSpec

_PROLOG = re.compile(rb"<\?|<!DOCTYPE")
_TYPE_END = re.compile(rb"[>\[]")
_REFERENCE = re.compile(rb"&#(?:0*(\d{1,7})|[xX]0*([0-9A-Fa-f]{1,6}));")
_HOLD = 4096
"""Bytes at the end of a block in which an unfinished reference or declaration may stand."""


class XmlReader:
    """Records of ``xml`` inputs. Declarations of entities and types are not taken."""

    def __init__(self, spec: InputSpec) -> None:
        self._paths = Paths.of(spec.columns, spec.format.base)

    def records(self, blocks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the rows of a stream; it ends where it is no longer well formed."""
        walk = _Walk(self._paths)
        parser = expat.ParserCreate("iso-8859-1")
        parser.buffer_text = True
        parser.StartElementHandler = walk.start
        parser.EndElementHandler = walk.end
        parser.CharacterDataHandler = walk.text
        try:
            parser.Parse(b"<documents>", False)
            for block in _plain(blocks):
                parser.Parse(block, False)
                yield from walk.take()
            parser.Parse(b"</documents>", True)
        except expat.ExpatError as error:
            yield from walk.take()
            yield Broken(f"bad XML: {expat.ErrorString(error.code)}")
        yield from walk.take()


def _plain(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Drop prologs, and write references beyond ASCII as the bytes of UTF-8."""
    tail = b""
    for block in blocks:
        data = _without_prologs(tail + block)
        held = _whole(data)
        tail = data[held:]
        yield _REFERENCE.sub(_character, data[:held])
    yield _REFERENCE.sub(_character, tail)


def _without_prologs(data: bytes) -> bytes:
    """Drop processing instructions and type declarations; what has no end stays."""
    parts, at, begin = [], 0, _PROLOG.search(data)
    while begin:
        if begin[0] == b"<?":
            end = data.find(b"?>", begin.end()) + 2
            last = end if end > 1 else None
        else:
            match = _TYPE_END.search(data, begin.end())
            last = match.end() if match else None
        # Where one finds no end, no later one does: looking again would cost the square.
        if last is None:
            break
        if data[last - 1 : last] == b">":
            parts.append(data[at : begin.start()])
            at = last
        begin = _PROLOG.search(data, last)
    return b"".join((*parts, data[at:])) if parts else data


def _whole(data: bytes) -> int:
    """Return how much of ``data`` ends before an unfinished reference or declaration."""
    cut = max(data.rfind(b"&"), data.rfind(b"<"))
    if cut < max(len(data) - _HOLD, 0):
        return len(data)
    return cut if (b";" if data[cut : cut + 1] == b"&" else b">") not in data[cut:] else len(data)


def _character(match: re.Match[bytes]) -> bytes:
    number = int(match[1]) if match[1] else int(match[2], 16)
    if number < 128 or number > 0x10FFFF or 0xD800 <= number < 0xE000:
        return match[0]
    return chr(number).encode()


class _Walk:
    """Handlers of the parser: a stack of open elements and the rows made so far."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._row = Row(paths)
        self._rows: list[Record] = []
        self._stack: list[tuple[Candidates, dict[str, int], list[str]]] = []

    def take(self) -> list[Record]:
        """Return the rows made since the last time."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, _: dict[str, str]) -> None:
        """An element begins."""
        if not self._stack:
            self._stack.append((self._paths.all_columns(), {}, []))
            return
        candidates, counts, _texts = self._stack[-1]
        folded = name.lower()
        index = counts.get(folded, 0)
        counts[folded] = index + 1
        named = self._paths.enter(candidates, f".{folded}")
        self._stack.append((named + self._paths.enter_element(named, index), {}, []))

    def text(self, text: str) -> None:
        """Text within an element."""
        self._stack[-1][2].append(text)

    def end(self, _: str) -> None:
        """An element ends."""
        candidates, _counts, texts = self._stack.pop()
        if not self._stack:
            return
        text = "".join(texts)
        if candidates:
            self._row.set(candidates, text if not text.isspace() else "")
            self._rows.extend(self._row.leave_element(candidates))
        if len(self._stack) == 1:
            self._rows.extend(self._row.leave_record())
