"""aq_sess: sessions of events that come in the order of their time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ess_dask.aq.errors import InputDataError, OptionError
from ess_dask.aq.inputs.reading import Inputs, Row
from ess_dask.aq.kinds import Kind, Type, Value
from ess_dask.aq.program import OutputColumn, OutputSpec
from ess_dask.aq.programs.common import console
from ess_dask.aq.programs.options import MANY, Taken, columns_of, named, number, parse_plain
from ess_dask.aq.rows.state import State, Writer
from ess_dask.aq.run import rows_of
from ess_dask.aq.stores import NoStore
from ess_dask.aq.surroundings import complain, print_text
from ess_dask.aq.tree import Reference
from ess_dask.dataclass import dataclass

USAGE = """\
aq_sess [-verb] [-stat] [-bz N] [-f[,ATR..] FILE..] -d COLSPEC.. -t COL -k COL.. -tout GAP
  [-ttol TOLERANCE] [-trim] [-o[,ATR..] FILE]
"""
_OWN = {"-t": 1, "-k": MANY, "-tout": 1, "-ttol": 1, "-trim": 0, "-bz": 1}
_SWEEP_EVERY = 1 << 16
"""Events between two looks for sessions that are over."""
Key = tuple[Value, ...]


@dataclass(slots=True)
class Session:
    """An open session: times of its first and last event, number of events."""

    begin: int
    end: int
    views: int = 1


class Sessions:
    """Takes events, gives the rows of sessions that are over."""

    def __init__(self, gap: int, tolerance: int, *, trim: bool) -> None:
        self._gap = gap
        self._tolerance = tolerance
        self._trim = trim
        self._open: dict[Key, Session] = {}
        self._first: int | None = None
        self._last = 0
        self._events = 0

    def event(self, key: Key, time: int) -> list[Row]:
        """Take an event; a session ends when the gap before it was longer than allowed."""
        if self._first is None:
            self._first = self._last = time
        if self._last - time > self._tolerance:
            raise InputDataError(
                f"time {time} comes {self._last - time} behind {self._last}",
                hint="sort the input, or allow more with -ttol",
            )
        time = self._last = max(time, self._last)
        self._events += 1
        over = self._sweep(time) if self._events % _SWEEP_EVERY == 0 else []
        session = self._open.get(key)
        if session and time - session.end <= self._gap:
            session.end, session.views = time, session.views + 1
            return over
        if session:
            over += self._row(key, session)
        self._open[key] = Session(time, time)
        return over

    def _sweep(self, time: int) -> list[Row]:
        done = [key for key, session in self._open.items() if time - session.end > self._gap]
        return [row for key in done for row in self._row(key, self._open.pop(key))]

    def rest(self) -> list[Row]:
        """Return the sessions that the end of the input closes."""
        if self._trim:
            self._open = {k: s for k, s in self._open.items() if self._last - s.end > self._gap}
        return [row for key, session in self._open.items() for row in self._row(key, session)]

    def _row(self, key: Key, session: Session) -> list[Row]:
        assert self._first is not None
        if self._trim and session.begin - self._first <= self._gap:
            return []
        return [[*key, session.begin, session.end, session.end - session.begin, session.views]]


def aq_sess(arguments: Sequence[str]) -> None:
    """Count sessions; errors carry the exit code."""
    if not arguments or "-h" in arguments[:1]:
        print_text(USAGE)
        return
    taken, inputs = Taken(arguments, _OWN), Inputs()
    program = parse_plain(taken.rest, inputs)
    size = taken.last("-bz")
    if size:
        specs = (replace(spec, record_bytes=number(size[1][0], size[0])) for spec in program.inputs)
        program = replace(program, inputs=tuple(specs))
    columns = columns_of(program)
    time = named(columns, _needed(taken, "-t")[0], "-t")
    if time.kind.type is not Type.INT:
        raise OptionError(f"time column {time.name!r} must be an integer")
    keys = [named(columns, name, "-k") for name in _needed(taken, "-k")]
    gap = number(_needed(taken, "-tout")[0], taken.all("-tout")[-1][0])
    late = taken.last("-ttol")
    tolerance = number(late[1][0], late[0]) if late else 0
    sessions = Sessions(gap, tolerance, trim=taken.flag("-trim"))
    state = State.of(program, inputs, NoStore())
    _run(state, sessions, keys, time)
    if program.statistics:
        counts = state.counts
        complain(f"aq_sess: rec={counts.records} err={counts.errors} out={state.written}\n")


def _run(state: State, sessions: Sessions, keys: list[Reference], time: Reference) -> None:
    spec = state.program.outputs[0]
    writer = Writer(_output(spec, keys), state.targets, [])
    try:
        for row in rows_of(state):
            moment = row[time.slot]
            assert isinstance(moment, int)
            for done in sessions.event(tuple(row[key.slot] for key in keys), moment):
                writer.write(done)
                state.written += 1
    finally:
        for done in sessions.rest():
            writer.write(done)
            state.written += 1
        state.targets.close()


def _output(spec: OutputSpec, keys: list[Reference]) -> OutputSpec:
    names = [key.name for key in keys] + ["TBeg", "TEnd", "DT", "PV"]
    kinds = [key.kind for key in keys] + [Kind.L] * 4
    columns = tuple(
        OutputColumn(Reference(at, name, kind), name)
        for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )
    return replace(spec, columns=columns)


def _needed(taken: Taken, name: str) -> list[str]:
    found = taken.last(name)
    if found is None:
        raise OptionError(f"aq_sess needs {name}")
    return found[1]


def main() -> int:
    """Be the console script."""
    return console("aq_sess", aq_sess)
