"""The ``%`` words of a stream command (SPEC 2.3), safe for any file name.

A file's own words (``%path %file %FILE``) are not pasted into the command: they become quoted
references to environment variables, so that no file name is ever shell text. Inside a part of the
command that the user put in quotes the reference is written so that the shell still expands it.
Limit: within single quotes the text is handed on literally, so a program in there that is itself a
shell (``bash -c '... %file'``) would read the name as its text; pass it as an argument instead.
``%cols`` outside quotes is one argument per column.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from ess_dask.dataclass import dataclass

WORDS = (
    "path",
    "file",
    "FILE",
    "cols",
    "delim",
    "num_nodes",
    "node_id",
    "num_threads",
    "thread_id",
)
"""All words there are; none is the start of another."""

_WORD = re.compile("%(" + "|".join(WORDS) + ")")


@dataclass(frozen=True, slots=True)
class Command:
    """A shell command and the environment variables that its substitutions refer to."""

    text: str
    env: Mapping[str, str]


def substitute(command: str, values: Mapping[str, str]) -> Command:
    """Replace every ``%word`` that ``values`` knows; other ``%`` stay as they are.

    >>> substitute("echo %file", {"file": "a b"})
    Command(text='echo "$ESS_SUB_file"', env={'ESS_SUB_file': 'a b'})
    """
    out: list[str] = []
    used: dict[str, str] = {}
    quote = ""
    position = 0
    while position < len(command):
        match = _WORD.match(command, position)
        if match and match[1] in values:
            name = f"ESS_SUB_{match[1]}"
            used[name] = values[match[1]]
            out.append(_reference(name, quote, values[match[1]]))
            position = match.end()
            continue
        step = 2 if command[position] == "\\" and quote != "'" else 1
        text = command[position : position + step]
        quote = _quote_after(text, quote)
        out.append(text)
        position += step
    return Command("".join(out), used)


def _quote_after(text: str, quote: str) -> str:
    if text not in ("'", '"'):
        return quote
    if not quote:
        return text
    return "" if quote == text else quote


def _reference(name: str, quote: str, value: str) -> str:
    """Refer to a variable so that it expands to one word in the given quoting."""
    if name.endswith("_cols") and not quote:
        return " ".join(shlex.quote(word) for word in value.split())
    if quote == '"':
        return f"${{{name}}}"
    if quote == "'":
        return f"'\"${{{name}}}\"'"
    return f'"${name}"'


def expand(template: str, values: Mapping[str, str]) -> str:
    """Replace words in a text that is no shell command (the path of ``--s3out``)."""
    return _WORD.sub(lambda match: values.get(match[1], match[0]), template)
