"""Statements over partitions agree with DuckDB on the whole data, whoever works on them."""

import math
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import duckdb
import pyarrow as pa
import pytest

from ess_dask.errors import EssError
from ess_dask.query.sql import coded
from ess_dask.query.sql.compile import compile_statement
from ess_dask.query.sql.model import RESERVED, Side
from ess_dask.query.sql.run import InProcess, Run, work_on
from ess_dask.query.sql.there import Call, answers
from ess_dask.tables.partition import split
from tests.sqlgen import Statement, make_side, make_table

STATEMENTS = int(os.environ.get("ESS_STRESS", "150"))
SEED = int(os.environ.get("ESS_SEED", "0"))
WORLDS = 5


def spread(table, key, partitions):
    parts = dict(split(table, key, partitions))
    tables = tuple(parts.get(at, table.slice(0, 0)) for at in range(partitions))
    return InProcess(tables, key, f"{key}/{partitions}")


class World:
    """Three tables in partitions, and whole in DuckDB."""

    def __init__(self, seed):
        chance = random.Random(seed)
        rows = [0, 7, 60, 400, 90][seed % WORLDS]
        partitions = chance.choice([1, 2, 5, 8])
        self.sources = {
            "t": spread(make_table(chance, rows), ("k",), partitions),
            "u": spread(make_side(chance, rows // 3), ("k",), partitions),
            "v": spread(make_side(chance, rows // 4), ("m",), chance.choice([1, 3])),
        }
        self.duckdb = duckdb.connect(config={"threads": 1})
        self.duckdb.execute("set timezone = 'UTC'")
        for name, source in self.sources.items():
            whole = pa.concat_tables(source.tables)
            self.duckdb.register("whole", whole)
            self.duckdb.execute(f"create table {name} as select * from whole")
            self.duckdb.unregister("whole")

    def find(self, path):
        source = self.sources.get(path[0].lower())
        if source is None or len(path) > 1:
            return None
        name = path[0].lower()
        placed = (source.schema, source.key, source.placement, source.size, len(source.tables))
        return Side(f"{RESERVED}{name}", name, *placed)

    def answer(self, text, way=lambda source: source, *, deals=False):
        """The engine's answer; with ``deals`` no table is small enough to be sent to all."""
        sources = {f"{RESERVED}{name}": way(source) for name, source in self.sources.items()}
        plan = compile_statement(text, self.find, -1 if deals else 1 << 20)
        return Run(plan, sources).rows()

    def expected(self, text):
        return self.duckdb.sql(text).to_arrow_table()


@pytest.fixture(scope="module")
def worlds():
    made = [World(seed) for seed in range(WORLDS)]
    yield made
    for world in made:
        world.duckdb.close()


def plain(value):
    """A value as it is compared: -0.0 is 0.0, floats are rounded, sets of values sorted."""
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        return 0.0 if value == 0 else float(f"{value:.11g}")
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def rows_of(table):
    columns = [column.to_pylist() for column in table.columns]
    return [repr([plain(value) for value in row]) for row in zip(*columns, strict=True)]


def test_some_statements_agree_with_duckdb(worlds):
    check(worlds, range(20))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(5))
def test_statements_agree_with_duckdb(worlds, part):
    check(worlds, range(part, STATEMENTS, 5))


def check(worlds, numbers):
    wrong = []
    for number in numbers:
        statement = Statement(SEED * 1_000_003 + number)
        world = worlds[number // 5 % WORLDS]
        try:
            expected = world.expected(statement.text)
        except duckdb.Error:
            with pytest.raises(EssError):
                world.answer(statement.text)
            continue
        try:
            got = world.answer(statement.text, deals=number % 2 > 0)
        except EssError as error:
            wrong.append((number, statement.text, str(error)))
            continue
        wanted, found = rows_of(expected), rows_of(got)
        if not statement.ordered:
            wanted, found = sorted(wanted), sorted(found)
        if found != wanted or got.column_names != expected.column_names:
            wrong.append((number, statement.text, found[:4], wanted[:4]))
    assert not wrong, "\n".join(map(str, wrong))


CASES = [
    # A name twice: outside, the first of them has it.
    "select k, count(*) from (select n as k, k from t) q group by k",
    "select a.k, count(*) from (select n as k, k from t) a join u b on a.k = b.m group by 1",
    # What a filter leaves out must not look like a row without a match, nor be one to others.
    "select a.n, b.m, c.w from (t a join v b on a.n = b.m) full join u c on c.k = a.k "
    "where b.m is null",
    "select a.n, b.m, c.w from t a join v b on a.n = b.m right join u c on c.k = a.k and c.m > 0 "
    "where b.m is null",
    "select a.n, b.m from u c left join (t a join v b on a.n = b.m) on c.k = a.k where b.m is null",
    "select a.n, b.m from t a asof join u b on a.k = b.k and a.n >= b.m where b.w > 'b'",
    "select a.n, b.m from t a positional join u b where b.m > 0",
    "select count(*) from t tablesample reservoir (3 rows) where n is null or n < 100",
    # Collations.
    "select max(s collate nocase) = 'ÉTÉ', count(*) from t group by s collate nocase",
    "select count(distinct s collate nocase) from t where s collate nocase <> 'A'",
    "select lower(s) from t order by s collate nocase, lower(s) nulls first",
    # Pivots.
    "from t pivot (sum(n) for f in (true, false) group by k)",
    "select count(*), sum(z) from t unpivot (z for name in (n, b)) where z > 0",
    # The columns of the answer by their places.
    "select k, n, s from t where k > 'k' order by #2, #1, #3 limit 20",
    "select n, count(*) from t group by n order by #2, #1",
    # A join on what nothing can be dealt by.
    "select count(*) from (select [n] as l from t) a join (select [m] as l from u) b on a.l = b.l",
    # Values that are equal, but not as texts.
    "select x from t union select w from u",
    # Types that Arrow has under another name, or without all that they say.
    "select s, max(cast(b as bit)) from t group by s",
    "select to_json({'x': z}), typeof(z) from (select distinct to_json({'a': n}) as z from t)",
    "select typeof(z), z.h // 3 from (select distinct {'h': b::hugeint} as z from t)",
    "select min(if(f, timetz '10:00:00+02', timetz '09:00:00+00')) > timetz '08:30:00+00' from t",
    "select any_value(union_value(i := n)), s from t group by s",
    # Columns by the names of clocks.
    "select current_date from (select n as current_date from t) where current_date > 2",
    # Columns without a name.
    "select (select max(m) from u), n in (select m from v as z) from t limit 1",
    "select k, (select count(*) from u where u.k = t.k) from t",
]


@pytest.mark.parametrize("text", CASES)
def test_odd_statements_agree_with_duckdb(worlds, text):
    world = worlds[3]
    expected = world.expected(text)
    for deals in (False, True):
        got = world.answer(text, deals=deals)
        found, wanted = rows_of(got), rows_of(expected)
        if "order by" not in text:
            found, wanted = sorted(found), sorted(wanted)
        assert found == wanted
        assert got.column_names == expected.column_names


@dataclass
class Scattered:
    """The same partitions on some threads, begun and finished in any order."""

    inner: InProcess
    workers: int
    seed: int

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def map(self, work, beside, sides):
        parts = list(zip(self.inner.tables, *(other.inner.tables for other in beside), strict=True))
        order = list(range(len(parts)))
        random.Random(self.seed).shuffle(order)
        with ThreadPoolExecutor(self.workers) as pool:
            begun = {at: pool.submit(work_on, parts[at], work, sides) for at in order}
            for at in range(len(parts)):
                yield begun[at].result()


def bytes_of(table):
    # What stands under a null, and behind the last bit of a bitmap, is nobody's.
    return repr((table.schema, table.to_pydict()))


@pytest.mark.slow
def test_the_answer_has_the_same_bytes_whoever_works(worlds):
    for number in range(min(STATEMENTS // 8, 100)):
        text = Statement(SEED * 1_000_003 + number).text
        world = worlds[number % WORLDS]
        expected = bytes_of(world.answer(text))
        for workers in (1, 2, 3):
            got = world.answer(text, partial(Scattered, workers=workers, seed=number))
            assert bytes_of(got) == expected, text


@dataclass
class InMemory:
    """The same partitions as a worker keeps them, several to a task."""

    inner: InProcess
    pack: int

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def map(self, work, beside, sides):
        rows = (self.inner, *(other.inner for other in beside))
        parts = [list(each) for each in zip(*(source.tables for source in rows), strict=True)]
        call = Call(work, "", (True,) * len(rows), tuple(sides))
        for start in range(0, len(parts), self.pack):
            yield from answers(call, parts[start : start + self.pack], *sides.values())


@pytest.mark.slow
def test_the_answer_has_the_same_bytes_when_texts_are_numbered(worlds, monkeypatch):
    monkeypatch.setattr(coded, "FEWEST_ROWS", 1)
    monkeypatch.setattr(coded, "REPEATED", 1)
    for number in range(min(STATEMENTS // 4, 400)):
        text = Statement(SEED * 1_000_003 + number).text
        world = worlds[number % WORLDS]
        got = world.answer(text, partial(InMemory, pack=1 + number % 3))
        assert bytes_of(got) == bytes_of(world.answer(text)), text
    assert any(pa.types.is_dictionary(column.type) for kept in coded._kept.values()
               for column in kept.values())  # fmt: skip
