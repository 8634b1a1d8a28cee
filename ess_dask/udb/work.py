"""A request at work on a worker: over one partition of every object, or over all of them.

Only plain Arrow tables, lists of them and small values come here and go from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ess_dask.aq.kinds import Value
from ess_dask.aq.vector.blocks import column_type
from ess_dask.dataclass import dataclass
from ess_dask.tables.spec import KEYS
from ess_dask.udb.effects import changed_objects, looked_at
from ess_dask.udb.frames import CHOSEN, HELD, KEY, PLACE, Frames, column, make_frames, stored_table
from ess_dask.udb.interpreter import Interpreter, KeyRows, rule_state
from ess_dask.udb.model import Request
from ess_dask.udb.outcome import Done, Outcome, Report, plain_arrow, result_column
from ess_dask.udb.specs import Entity
from ess_dask.udb.vectored import run_by_columns

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Job:
    """A request, the variables at its beginning, and the partitions of what it changes."""

    request: Request
    variables: tuple[Value, ...]
    partitions: int


def run_job(job: Job, names: tuple[str, ...], parts: list[list[pa.Table]]) -> Outcome:
    """Run a request over the objects ``names``, of each of which ``parts`` has the partitions."""
    import pyarrow as pa

    tables = {name: pa.concat_tables(part) for name, part in zip(names, parts, strict=True)}
    return run_request(job, tables)


def run_request(job: Job, tables: dict[str, pa.Table]) -> Outcome:
    """Run a request over objects that lie here: by columns if that gives the same."""
    frames = make_frames(job.request, looked_at(job.request), tables)
    done = run_by_columns(job.request, job.variables, frames)
    if done is None:
        done = _run_by_rows(job, frames)
    report, result, changed = done
    return report, result, _split(job, changed)


def _split(job: Job, changed: dict[str, pl.DataFrame]) -> dict[str, list[pa.Table]]:
    """Return the changed rows of each object by partition."""
    from ess_dask.tables.partition import split

    objects = looked_at(job.request)
    done = {}
    for name, frame in changed.items():
        table = stored_table(objects[name], frame)
        if job.partitions == 1:
            done[name] = [table]
            continue
        key = tuple(field.name for field in objects[name].key)
        found = dict(split(table, key, job.partitions))
        empty = table.slice(0, 0)
        done[name] = [found.get(number, empty) for number in range(job.partitions)]
    return done


def _run_by_rows(job: Job, frames: Frames) -> Done:
    request = job.request
    state = rule_state(request, list(job.variables))
    interpreter = Interpreter(request, state)
    changed = changed_objects(request)
    kept: list[KeyRows] = []
    for key in _keys(request, frames):
        if key.chosen:
            interpreter.run(key)
        if changed and not key.removed:
            kept.append(key)
    objects = looked_at(request)
    report = Report(
        interpreter.counted_keys,
        interpreter.counted_rows,
        state.failed,
        state.reason,
        tuple(state.variables),
    )
    result = _result(request, interpreter)
    return report, result, {name: _changed(objects[name], kept) for name in changed}


def _result(request: Request, interpreter: Interpreter) -> pa.Table:
    import polars as pl

    emitted = interpreter.emitted
    columns = {
        KEY: pl.Series(emitted.keys, dtype=pl.Int64),
        PLACE: pl.Series(emitted.places, dtype=pl.Int64),
    }
    results = request.results if request.action == "exp" else ()
    for at, reference in enumerate(results):
        values = [row[at] for row in emitted.values]
        columns[result_column(at)] = pl.Series(values, dtype=column_type(reference.kind))
    return plain_arrow(pl.DataFrame(columns))


def _keys(request: Request, frames: Frames) -> Iterator[KeyRows]:
    """Yield every key with its rows."""
    if request.main.entity.role == "variables":
        yield KeyRows(0, [], {}, {}, {})
        return
    keys = frames.keys
    columns = [keys[column(at)].to_list() for at in range(len(request.database.key))]
    places, chosen = keys[KEY].to_list(), keys[CHOSEN].to_list()
    takers = {
        name: _Taker(entity, frames.objects[name])
        for name, entity in looked_at(request).items()
        if entity.role != "keys"
    }
    for place, is_chosen, *values in zip(places, chosen, *columns, strict=True):
        key = KeyRows(place, values, {}, {}, {}, is_chosen)
        for name, taker in takers.items():
            key.rows[name], key.places[name], key.held[name] = taker.take(place)
        yield key


class _Taker:
    """Hands out the rows of one object, key by key in their order."""

    def __init__(self, entity: Entity, frame: pl.DataFrame) -> None:
        own = range(len(entity.key), len(entity.columns))
        columns = [frame[column(at)].to_list() for at in own]
        self._rows: list[list[Value]] = (
            [list(row) for row in zip(*columns, strict=True)]
            if columns
            else [[] for _ in range(frame.height)]
        )
        self._places = frame[PLACE].to_list()
        self._keys = frame[KEY].to_list()
        self._held = frame[HELD].to_list()
        self._at = 0

    def take(self, place: int) -> tuple[list[list[Value]], list[int], int]:
        start = end = self._at
        while end < len(self._keys) and self._keys[end] == place:
            end += 1
        self._at = end
        return self._rows[start:end], self._places[start:end], sum(self._held[start:end])


def _changed(entity: Entity, keys: list[KeyRows]) -> pl.DataFrame:
    """Return the rows of an object as they are now."""
    import polars as pl

    rows: list[list[Any]] = []
    for key in keys:
        if entity.name == KEYS:
            rows.append([*key.values, key.place])
            continue
        found = zip(key.rows[entity.name], key.places[entity.name], strict=True)
        rows.extend([*key.values, *own, place] for own, place in found)
    kinds = [column_type(field.kind) for field in entity.columns]
    series = [
        pl.Series(column(at), [row[at] for row in rows], dtype=kind)
        for at, kind in enumerate(kinds)
    ]
    return pl.DataFrame([*series, pl.Series(PLACE, [row[-1] for row in rows], dtype=pl.Int64)])
