"""aq_cnt: unique keys, how often they occur, statistics of numbers along with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from typing import Literal

from ess_dask.aq.errors import OptionError
from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.parsing.outputs import output_format
from ess_dask.aq.parsing.tokens import Option
from ess_dask.aq.program import OutputFormat, OutputSpec, Program, numbered
from ess_dask.aq.programs.common import console
from ess_dask.aq.programs.options import MANY, Taken, columns_of, named, parse_plain
from ess_dask.aq.programs.statistics import MEASURES, Moments
from ess_dask.aq.rows.state import State, Writer
from ess_dask.aq.run import rows_of
from ess_dask.aq.stores import NoStore
from ess_dask.aq.surroundings import complain, print_text
from ess_dask.aq.tree import Reference
from ess_dask.dataclass import dataclass

USAGE = """\
aq_cnt [-verb] [-stat] [-f[,ATR..] FILE.. | -fX[,ATR..] FILE..] [-d COLSPEC..]
  [-k NAME COL..] [-kx[,ATR..] FILE NAME COL..] [-kX[,ATR..] FILE NAME COL.. [STATS:COL..]]
  [-o[,ATR..] FILE]
"""
_OWN = {"-k": MANY, "-kx": MANY, "-kX": MANY, "-o": 1, "-fX": MANY, "-d": MANY}
COUNT = "Count"


@dataclass(slots=True)
class Entry:
    """What is known of one key: occurrences, and the moments of each column with statistics."""

    count: int
    moments: list[Moments]


@dataclass(frozen=True, slots=True)
class Counting:
    """One key to count: where its values are listed, if at all, and of which columns."""

    how: Literal["-k", "-kx", "-kX"]
    name: str
    target: str
    format: OutputFormat
    keys: tuple[Reference, ...]
    measured: tuple[str, ...]
    entries: dict[tuple[Value, ...], Entry] = field(default_factory=dict)


def aq_cnt(arguments: Sequence[str]) -> None:
    """Count keys; errors carry the exit code."""
    if not arguments or "-h" in arguments[:1]:
        print_text(USAGE)
        return
    taken, inputs = Taken(arguments, _OWN), Inputs()
    merging = taken.last("-fX")
    program, stats = _input(taken, inputs, merging)
    state = State.of(program, inputs, NoStore())
    counts = _countings(taken, program, stats, merging=merging is not None)
    slots = {name: column.slot for name, column in columns_of(program).items()}
    total = 0
    for row in rows_of(state):
        total += _add(row, counts, slots, merging=merging is not None)
    _write(state, counts, total, taken)
    if program.statistics:
        complain(f"aq_cnt: rec={state.counts.records} err={state.counts.errors}\n")


def _input(
    taken: Taken, inputs: Inputs, merging: tuple[Option, list[str]] | None
) -> tuple[Program, list[str]]:
    """Return the program that reads the input, and the columns with statistics in it."""
    columns = [text for _, texts in taken.all("-d") for text in texts]
    if merging is None:
        words = ["-d", *columns] if columns else []
        return parse_plain([*taken.rest, *words, "-o", "/dev/null"], inputs), []
    option, files = merging
    head = ["-f" + option.text.removeprefix("-fX"), *files]
    stats = [text.partition(":")[2] for text in columns if is_statistics(text)]
    if columns:
        keys = [text for text in columns if not is_statistics(text)]
        names = [f"F:{hidden_name(name, measure)}" for name in stats for measure in MEASURES]
        words = ["-d", *keys, f"L:{COUNT}", *names]
        return parse_plain([*taken.rest, *head, *words, "-o", "/dev/null"], inputs), stats
    program = parse_plain([*taken.rest, *head, "-o", "/dev/null"], inputs)
    return _without_dots(program)


def is_statistics(text: str) -> bool:
    """Whether a column specification asks for statistics."""
    return text.partition(":")[0].lower() in ("stat", "stats")


def hidden_name(name: str, measure: str) -> str:
    """Return the column that holds one measure of a column when counts are merged."""
    return f"{name}.{measure}"[-31:].replace(".", "_")


def _without_dots(program: Program) -> tuple[Program, list[str]]:
    """Rename the measures of a self-describing input, return them and their columns."""
    spec = program.inputs[0]
    items, stats = [], []
    for column in spec.columns:
        name, _, measure = column.name.partition(".")
        if measure == MEASURES[0]:
            stats.append(name)
        items.append(replace(column, name=hidden_name(name, measure)) if measure else column)
    return replace(program, inputs=(replace(spec, items=tuple(items)),)), stats


def _countings(
    taken: Taken, program: Program, stats: list[str], *, merging: bool
) -> list[Counting]:
    columns = columns_of(program)
    if merging:
        hidden = {COUNT.lower(), *(hidden_name(n, m).lower() for n in stats for m in MEASURES)}
        columns = {name: column for name, column in columns.items() if name not in hidden}
    found = []
    for option, values in taken.options:
        if option.name in ("-k", "-kx", "-kX"):
            found.append(_counting(option, values, columns, stats, merging=merging))
    if merging and not any(c.how in ("-kx", "-kX") for c in found) and not taken.flag("-o"):
        option = Option("-kX", (), "-kX")
        found.append(_counting(option, ["-", "-", "."], columns, stats, merging=True))
    return found


def _counting(
    option: Option,
    values: list[str],
    columns: dict[str, Reference],
    stats: list[str],
    *,
    merging: bool,
) -> Counting:
    listed = option.name != "-k"
    if len(values) < (3 if listed else 2):
        raise OptionError(
            f"{option.text!r} needs " + ("a file, " if listed else "") + "a name and columns"
        )
    target = values.pop(0) if listed else ""
    name, *texts = values
    if merging and texts == ["."]:
        texts = [column.name for column in columns.values()] + [f"stats:{name}" for name in stats]
    measured = tuple(text.partition(":")[2] for text in texts if is_statistics(text))
    keys = tuple(named(columns, text, option.text) for text in texts if not is_statistics(text))
    if not keys or (measured and option.name != "-kX"):
        raise OptionError(f"bad columns in {option.text!r}")
    for column in measured:
        if merging:
            known = column.lower() in (stat.lower() for stat in stats)
        else:
            known = named(columns, column, option.text).kind.type.is_number
        if not known:
            raise OptionError(f"no statistics of column {column!r} in {option.text!r}")
    form = output_format(option) if listed else OutputFormat()
    assert option.name in ("-k", "-kx", "-kX")
    return Counting(option.name, "" if name == "-" else name, target, form, keys, measured)  # type: ignore[arg-type]


def _add(row: list[Value], counts: list[Counting], slots: dict[str, int], *, merging: bool) -> int:
    """Count a row in every key; return how many records it stands for."""
    times = row[slots[COUNT.lower()]] if merging else 1
    assert isinstance(times, int)
    for counting in counts:
        key = tuple(row[column.slot] for column in counting.keys)
        entry = counting.entries.get(key)
        if entry is None:
            entry = counting.entries[key] = Entry(0, [Moments() for _ in counting.measured])
        entry.count += times
        for name, moments in zip(counting.measured, entry.moments, strict=True):
            if merging:
                values = [row[slots[hidden_name(name, m).lower()]] for m in MEASURES]
                moments.merge(Moments.of_measures(times, *map(float, values)))
            else:
                moments.add(float(row[slots[name.lower()]]))
    return times


def _write(state: State, counts: list[Counting], total: int, taken: Taken) -> None:
    _write_summary(state, counts, total, taken)
    for counting in counts:
        if counting.how != "-k":
            writer = Writer(_listing(counting), state.targets, [])
            for row in _rows(counting):
                writer.write(row)
    state.targets.close()


def _write_summary(state: State, counts: list[Counting], total: int, taken: Taken) -> None:
    outputs = [(option, values[0]) for option, values in taken.all("-o")]
    if not outputs and any(counting.how == "-k" for counting in counts):
        outputs = [(Option("-o", (), "-o"), "-")]
    named_counts = [counting for counting in counts if counting.name]
    names = ["row", *(counting.name for counting in named_counts)]
    columns = numbered((name, Kind.L) for name in names)
    for option, target in outputs:
        writer = Writer(OutputSpec(target, output_format(option), columns), state.targets, [])
        writer.write([total, *(len(counting.entries) for counting in named_counts)])


def _listing(counting: Counting) -> OutputSpec:
    columns = [(key.name, key.kind) for key in counting.keys]
    if counting.how == "-kX":
        columns.append((COUNT, Kind.L))
        columns += [(f"{name}.{m}", Kind.F) for name in counting.measured for m in MEASURES]
    return OutputSpec(counting.target, counting.format, numbered(columns))


def _rows(counting: Counting) -> Iterator[list[Value]]:
    for key, entry in counting.entries.items():
        if counting.how == "-kx":
            yield list(key)
        else:
            measures = (value for moments in entry.moments for value in moments.measures())
            yield [*key, entry.count, *measures]


def main() -> int:
    """Be the console script."""
    return console("aq_cnt", aq_cnt)
