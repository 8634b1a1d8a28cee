"""The format of an input, guessed from its first bytes."""

from __future__ import annotations

import codecs
import re
from statistics import mode

from ess_dask.aq.inputs.binary import MAGIC
from ess_dask.dataclass import dataclass

GUESS_BYTES = 256 << 10
_SEPARATORS = ",\t|;:^~ \x01"
"""Tried in this order: the first that splits every line alike wins."""
_LINES = 1000


@dataclass(frozen=True, slots=True)
class Guess:
    """A format by its attribute (``csv``, ``sep``, ``fix``, ``jsn`` ...) and what it needs.

    ``widths`` are the columns of ``fix``; ``quoted`` says whether some fields are in quotes.
    """

    name: str
    separator: str = ","
    quoted: bool = False
    widths: tuple[int, ...] = ()

    def description(self) -> str:
        """Return the line that ``-o_typ`` prints."""
        plain = {
            "jsn": "JSON",
            "xml": "XML",
            "tab": "HTML Table",
            "bin": "Aq Tool Binary",
            "fix": "Fixed-Width",
        }
        if self.name in plain:
            return plain[self.name]
        if self.quoted and self.separator == ",":
            return "CSV"
        return f"{_shown(self.separator)} Separated" + (" CSV" if self.quoted else "")


def _shown(separator: str) -> str:
    if separator in ("\n", "\t"):
        return '"\\n"' if separator == "\n" else "\\t"
    return separator if 32 < ord(separator) < 127 else f"\\x{ord(separator):02x}"


def guess_format(data: bytes) -> Guess:
    """Return the format that the first bytes of an input suggest."""
    if data.startswith(MAGIC):
        return Guess("bin")
    text = data.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    start = text.lstrip()
    if start[:1] in ("{", "[") and re.match(r'[{\[]\s*(?:["{\[\]}\d-]|true|false|null)', start):
        return Guess("jsn")
    if re.search(r"<tr[\s>].*?<td[\s>]", start, re.IGNORECASE | re.DOTALL):
        return Guess("tab")
    if re.match(r"<(?:\?xml|!DOCTYPE|!--|[A-Za-z_])", start):
        return Guess("xml")
    return _by_lines([line.removesuffix("\r") for line in text.split("\n", _LINES)[:_LINES]])


def _by_lines(lines: list[str]) -> Guess:
    lines = [line for line in lines if line]
    if not lines:
        return Guess("sep", "\n")
    best: tuple[float, int, str] | None = None
    for order, separator in enumerate(_SEPARATORS):
        counts = [_count(line, separator) for line in lines]
        usual = mode(counts)
        share = sum(count == usual for count in counts) / len(counts)
        if usual and share > 0.9 and (best is None or (share, -order) > (best[0], -best[1])):
            best = (share, order, separator)
    widths = _fixed_widths(lines)
    if widths and (best is None or best[2] == " "):
        return Guess("fix", widths=widths)
    if best is None:
        return Guess("sep", "\n")
    quoted = any(line.startswith('"') or best[2] + '"' in line for line in lines)
    return Guess("csv" if quoted or best[2] == "," else "sep", best[2], quoted)


def _count(line: str, separator: str) -> int:
    if '"' in line:
        line = re.sub(r'"(?:[^"]|"")*"', "", line)
    return line.count(separator)


def _fixed_widths(lines: list[str]) -> tuple[int, ...]:
    """Return the widths of blank-padded columns, () if the lines have none."""
    size = len(lines[0])
    if len(lines) < 2 or any(len(line) != size for line in lines):
        return ()
    blank = [all(line[at] == " " for line in lines) for at in range(size)]
    starts = [at for at in range(size) if not blank[at] and (at == 0 or blank[at - 1])]
    if len(starts) < 2:
        return ()
    ends = [*starts[1:], size]
    return tuple(end - start for start, end in zip([0, *starts[1:]], ends, strict=True))
