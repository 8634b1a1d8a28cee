"""A shell command cut into the stages of its pipeline, and those of plain words understood here.

Plain is what means the same to every shell: words, quotes, ``|``. As soon as a command asks for
more (variables, patterns of file names, lists, groups) it is bash's alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ess_dask.dataclass import dataclass
from ess_dask.engine.substitute import WORDS, expand

_PIECE = re.compile(
    r"""
    (?P<blank> [ \t]+)
    | ' (?P<single> [^']*) '
    | " (?P<double> (?: [^"\\`$] | \\. | \$ (?![\w{(@*#?$!%-]) )*) "
    | \\ (?P<escaped> .)
    | % (?P<word> """
    + "|".join(WORDS)
    + r""")
    | (?P<plain> [^\s'"\\`$*?[\]{}<>~;&|()] | \$ (?![\w{(@*#?$!%'"-]) )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_IN_DOUBLE = re.compile(r'\\([$`"\\])|\\\n|\\.|%(?:' + "|".join(WORDS) + ")", re.DOTALL)
_TO_THE_BAR = re.compile(
    r"""(?: [^'"\\`;&()|\n] | \\. | '[^']*' | " (?: [^"\\`] (?<!\$\() | \\. )* " )+""",
    re.VERBOSE | re.DOTALL,
)
_COMPOUND = re.compile(
    r"\s*(if|then|else|elif|fi|for|while|until|do|done|case|esac|select|function|time|coproc"
    r"|\[\[|[{}!])(?!\S)|\s*$"
)
_COMMENT = re.compile(r"(?<!\S)#")


@dataclass(frozen=True, slots=True)
class Stages:
    """A pipeline: leading stages as words, substitutions made, and the shell text behind them."""

    words: tuple[tuple[str, ...], ...]
    rest: str = ""


def leading_stages(
    command: str, values: Mapping[str, str], takes: Callable[[Sequence[str]], object]
) -> Stages:
    """Return the leading stages that are plain and whose words are taken; there may be none.

    ``values`` are those of the ``%`` words. ``rest`` is part of ``command`` as it is.
    """
    texts = _pipeline(command)
    taken: list[tuple[str, ...]] = []
    for text in texts:
        words = _words(text, values)
        if not words or not takes(words):
            break
        taken.append(tuple(words))
    return Stages(tuple(taken), "|".join(texts[len(taken) :]) if taken else command)


def _pipeline(command: str) -> list[str]:
    """Return the texts between the bars of a command that is one simple pipeline, else nothing."""
    texts, at = [], 0
    while match := _TO_THE_BAR.match(command, at):
        texts.append(match[0])
        at = match.end() + 1
        if match.end() < len(command) and command[match.end()] != "|":
            return []
    simple = at == len(command) + 1 and not any(map(_COMPOUND.match, texts))
    return texts if simple and not any(map(_COMMENT.search, texts)) else []


def _words(text: str, values: Mapping[str, str]) -> list[str]:
    """Return the words of a stage, nothing if they are not plain."""
    words: list[list[str]] = [[]]
    at = 0
    while match := _PIECE.match(text, at):
        at = match.end()
        if match["blank"]:
            words.append([])
        elif match["word"] == "cols" and "cols" in values:
            # Outside of quotes each column is a word.
            columns = values["cols"].split()
            words[-1] += columns[:1]
            words += [[column] for column in columns[1:]]
        elif match["escaped"] != "\n":
            words[-1].append(_meant(match, values))
    return ["".join(word) for word in words if word] if at == len(text) else []


def _meant(match: re.Match[str], values: Mapping[str, str]) -> str:
    """Return what a piece stands for."""
    if match["double"] is not None:
        return _IN_DOUBLE.sub(lambda found: _in_double(found, values), match["double"])
    if match["escaped"] is not None:
        return match["escaped"]
    return expand(match["single"] if match["single"] is not None else match[0], values)


def _in_double(match: re.Match[str], values: Mapping[str, str]) -> str:
    if match[0].startswith("%"):
        return expand(match[0], values)
    return match[1] or ("" if match[0] == "\\\n" else match[0])
