"""aq_cat: inputs one after another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ess_dask.aq.columns import MAX_COLUMNS
from ess_dask.aq.errors import OptionError
from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.inputs.records import lines
from ess_dask.aq.outputs.targets import Targets
from ess_dask.aq.parsing.inputs import input_spec
from ess_dask.aq.parsing.outputs import output_format
from ess_dask.aq.parsing.tokens import Option
from ess_dask.aq.program import InputSpec
from ess_dask.aq.programs.common import console
from ess_dask.aq.programs.options import MANY, Taken, parse_plain
from ess_dask.aq.run import run_program
from ess_dask.aq.stores import NoStore
from ess_dask.aq.surroundings import complain, print_text

USAGE = """\
aq_cat [-verb] [-stat] [-f[,ATR..] FILE..] [-d COLSPEC..] [-o[,ATR..] FILE] [-c COL|N|N-M ..]
"""
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def aq_cat(arguments: Sequence[str]) -> None:
    """Concatenate the inputs; errors carry the exit code."""
    if "-h" in arguments[:1]:
        print_text(USAGE)
        return
    typed = any(word == "-d" or re.match(r"-f,(.*,)?aq(,|$)", word) for word in arguments)
    records, errors, written = _typed(arguments) if typed else _text(arguments)
    if "-stat" in arguments:
        complain(f"aq_cat: rec={records} err={errors} out={written}\n")


def _typed(arguments: Sequence[str]) -> tuple[int, int, int]:
    inputs = Inputs()
    state = run_program(parse_plain(arguments, inputs), inputs, NoStore())
    return state.counts.records, state.counts.errors, state.written


def _text(arguments: Sequence[str]) -> tuple[int, int, int]:
    taken = Taken(arguments, {"-f": MANY, "-o": 1, "-c": MANY, "-stat": 0, "-verb": 0})
    if taken.rest:
        raise OptionError(f"unexpected argument {taken.rest[0]!r}")
    files = taken.last("-f")
    spec = input_spec(*(files or (Option("-f", (), "-f"), [])))
    if spec.format.name not in ("csv", "sep"):
        raise OptionError(f"format {spec.format.name} needs columns", hint="give -d")
    targets = Targets()
    writers = _writers(taken, spec, targets)
    records = 0
    for record in _records(spec):
        records += 1
        for write in writers:
            write(record)
    targets.close()
    return records, 0, records * len(writers)


def _writers(taken: Taken, spec: InputSpec, targets: Targets) -> list[Callable[[str], None]]:
    writers: list[Callable[[str], None]] = []
    pending: tuple[Option, str] | None = None
    for option, values in taken.options:
        if option.name in ("-o", "-c") and pending and option.name != "-c":
            writers.append(_writer(pending, [], spec, targets))
            pending = None
        if option.name == "-o":
            pending = (option, values[0])
        elif option.name == "-c":
            writers.append(_writer(pending, values, spec, targets))
            pending = None
    if pending or not writers:
        writers.append(_writer(pending, [], spec, targets))
    return writers


def _writer(
    output: tuple[Option, str] | None, columns: list[str], spec: InputSpec, targets: Targets
) -> Callable[[str], None]:
    option, file = output or (Option("-o", (), "-o"), "-")
    target = targets.get(file, append=output_format(option).append)
    if not columns:
        return lambda record: target.write((record + "\n").encode("latin-1"))
    chosen = column_numbers(columns)
    separator, quoted = spec.format.separator, spec.format.name == "csv"

    def write(record: str) -> None:
        fields = raw_fields(record, separator, quoted=quoted)
        texts = (fields[at] if at < len(fields) else "" for at in chosen)
        target.write((separator.join(texts) + "\n").encode("latin-1"))

    return write


def column_numbers(texts: list[str]) -> list[int]:
    """Return the 0-based columns of numbers and ranges such as ``5-3 1``."""
    found: list[int] = []
    for text in texts:
        match = _RANGE.fullmatch(text)
        if match is None or not int(match[1]) or match[2] == "0":
            raise OptionError(f"bad column number {text!r}", hint="numbers and ranges from 1 on")
        first, last = int(match[1]), int(match[2] or match[1])
        step = 1 if first <= last else -1
        if len(found) + abs(last - first) >= MAX_COLUMNS:
            raise OptionError(f"too many columns with {text!r}", hint=f"at most {MAX_COLUMNS}")
        found.extend(range(first - 1, last - 1 + step, step))
    return found


def raw_fields(record: str, separator: str, *, quoted: bool) -> list[str]:
    """Return the fields of a record as written, quotes and all."""
    if not quoted or '"' not in record:
        return record.split(separator)
    mark = re.escape(separator)
    pattern = rf'((?:"(?:[^"]|"")*")?[^{mark}]*)(?:{mark}|\Z)'
    fields = [match[1] for match in re.finditer(pattern, record, re.DOTALL)]
    # Behind the last field the pattern matches nothing once more.
    return fields if record.endswith(separator) else fields[:-1]


def _records(spec: InputSpec) -> Iterator[str]:
    """Yield the records as text; in CSV a quoted field may hold line ends."""
    inputs = Inputs()
    for file in spec.files:
        found = lines(inputs.blocks(replace(spec), file))
        if spec.format.name == "csv":
            found = _joined(found)
        for at, record in enumerate(found):
            if spec.skip_unit != "r" or at >= spec.skip:
                yield record


def _joined(found: Iterator[str]) -> Iterator[str]:
    for line in found:
        record = line
        while record.count('"') % 2 and (more := next(found, None)) is not None:
            record += "\n" + more
        yield record


def main() -> int:
    """Be the console script."""
    return console("aq_cat", aq_cat)
