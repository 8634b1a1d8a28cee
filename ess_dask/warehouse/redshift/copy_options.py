"""The options of COPY that ``ess redshift stream`` takes, as they are written behind a COPY.

Rows are read and checked before they reach the cluster, so an option is either about how a
command's output is read, or it has no meaning and is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

_WORD = re.compile(r"""\s*(?:'((?:[^']|'')*)'|([^\s']+))""")
_HARMLESS = ("CSV", "EMPTYASNULL", "BLANKSASNULL", "IGNOREBLANKLINES")
_AUTO = ("DATEFORMAT", "TIMEFORMAT")
_MEANT = ("DELIMITER", "IGNOREHEADER", "MAXERROR", "NULL", "QUOTE", *_AUTO)
_MOST_ERRORS = 100_000


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How the rows of a stream are read. ``header``: the first record of each file is left out.

    ``max_errors`` is the greatest number of rejected rows of a run.
    """

    delimiter: str = ","
    header: bool = False
    max_errors: int = 0


def parse_copy_options(words: Sequence[str]) -> CopyOptions:
    """Return the options that ``words`` say: those of a command line, quoted inside or not.

    Raises ``UsageError`` naming an option that has no meaning here, or a value that cannot be.
    """
    found = CopyOptions()
    rest = _words(words)
    for word in rest:
        name = word.upper()
        if name == "FORMAT":
            name = _value(name, rest).upper()
        if name in _HARMLESS:
            continue
        if name not in _MEANT:
            known = ", ".join((*_MEANT, *_HARMLESS))
            raise UsageError(
                f"the COPY option {name} has no meaning here",
                hint=f"let the command print what COPY is to get; known are {known}",
            )
        found = _with(found, name, _value(name, rest))
    return found


def _words(texts: Sequence[str]) -> Iterator[str]:
    """Yield words and values: a text without blanks and quotes is one as it is."""
    for text in texts:
        if "'" not in text and (not text.strip() or not re.search(r"\s", text)):
            yield text
            continue
        position = 0
        while match := _WORD.match(text, position):
            yield match[2] if match[1] is None else match[1].replace("''", "'")
            position = match.end()
        if text[position:].strip():
            raise UsageError(f"a quote in the COPY options is not closed: {text}")


def _value(name: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is not None and value.upper() == "AS":
        value = next(rest, None)
    if value is None:
        raise UsageError(f"the COPY option {name} has no value")
    return value


def _with(options: CopyOptions, name: str, value: str) -> CopyOptions:
    if name == "DELIMITER":
        return replace(options, delimiter=_delimiter(value))
    if name == "IGNOREHEADER":
        if _number(name, value) > 1:
            raise UsageError(
                f"IGNOREHEADER {value}: one title line at most can be left out",
                hint="cut the lines off in the command: tail -n +N",
            )
        return replace(options, header=value == "1")
    if name == "MAXERROR":
        return replace(options, max_errors=_number(name, value))
    wanted = {"NULL": "", "QUOTE": '"'}.get(name, "auto")
    if value.lower() != wanted:
        raise UsageError(
            f"the COPY option {name} can only be '{wanted}' here, not {value!r}",
            hint="let the command print it so",
        )
    return options


def _delimiter(value: str) -> str:
    text = {"\\t": "\t"}.get(value, value)
    if len(text) != 1 or text in '"\r\n':
        raise UsageError(
            f"DELIMITER {value!r} is not one character", hint=r"write a tab as '\t'; no quotes"
        )
    return text


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,6}", value) or int(value) > _MOST_ERRORS:
        raise UsageError(f"{name} {value}: not a number up to {_MOST_ERRORS:,}")
    return int(value)
