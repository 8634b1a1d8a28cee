"""A query keeps the rows that the row interpreter keeps, whatever the dirt and the block size."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ess_dask.aq.inputs.reading import FilePlace, Inputs, good_rows, typed_rows
from ess_dask.aq.rows.chain import compile_chain
from ess_dask.aq.rows.state import State, blank_row
from ess_dask.aq.sql import parse_statement
from ess_dask.aq.stores import NoStore
from ess_dask.catalog.model import Category
from ess_dask.query.plan import make_plan
from ess_dask.query.reading import FileRows

SPECS = [
    "S:s I:i F:f IS:k",
    "I:i",
    "S:s",
    "S:s S:t X S:u",
    "X I,trm:i S,up:s IP:a",
    "L:l LS:k F,trm:f S,trm:s S,lo:t",
    "F:f S:s",
]
FIELDS = {
    "S": ["", "a", "Ab", "x y", " ", "\xe9\xff", "-", "0", 'in"side', "z" * 40],
    "number": ["", "0", "7", "12", "4294967295", "-1", " 3", "4 ", "-", "TBD", "1.5", "+5", "007"],
    "F": [
        "",
        "0",
        "1.5",
        "-0.0",
        "1e300",
        "1e999",
        "nan",
        "inf",
        ".5",
        "5.",
        "x",
        " 2",
        "2 ",
        "1_0",
    ],
    "IP": ["", "1.2.3.4", "001.2.3.4", "1.2.3.400", "::1", "x", "10.0.0.7"],
}
QUOTED = ["", "a,b", 'a""b', "a\nb", "12", "1.5", "TBD", "\xe9", "a\r\nb", "10.0.0.7"]
GARBAGE = [
    "",
    ",",
    '"',
    'a"b',
    '"a"b,1',
    '"open',
    ",,,,,,,,",
    "\r",
    "a\rb",
    'a"b,"c',
    'x,"',
    '"d",2',
    '"d"",2',
    'e"",f"',
    "1,2,3,4,5,6,7",
    "\xff",
]
FILTERS = {
    "i": ["i > 3", "i / k > 1", "i &= 1", "i / (i - 7) < 2"],
    "s": ['s == "a"', 'PatCmp(s, "*b*", ncas)', "s", "! s", 'SLeng(s) > 2 || s ~== "AB"'],
    "f": ["f >= 1.5", "f != f", "Floor(f) == 1"],
    "k": ["k < 0", "$RowNum % 2 == 0", "k"],
    "a": ["a == 10.0.0.7", "a"],
}


def fields_of(item):
    letter = item.partition(":")[0].partition(",")[0]
    return FIELDS.get(letter, FIELDS["number"] if letter in ("I", "IS", "L", "LS") else FIELDS["S"])


def make_text(rng, spec):
    """Return mostly regular text: the lines of a file as they come from careless programs."""
    kinds, lines = [fields_of(item) for item in spec.split()], []
    dirt = rng.choice([0, 0.02, 0.2])
    for _ in range(rng.randint(0, 60)):
        if rng.random() < dirt:
            lines.append(rng.choice(GARBAGE))
            continue
        fields = [
            f'"{rng.choice(QUOTED)}"' if rng.random() < dirt / 2
            else rng.choice(values[: None if rng.random() < dirt else 4])
            for values in kinds
        ]  # fmt: skip
        if rng.random() < dirt / 2:
            fields = rng.choice([fields[:-1], [*fields, "more"], fields[:1]])
        lines.append(",".join(fields))
    end = rng.choice(["\n", "\n", "\r\n"])
    return (end.join(lines) + rng.choice(["", end])).encode("latin-1")


def plan_of(spec, where, columns):
    text = f"select {columns} from c:*:*" + (f" where {where}" if where else "")
    return make_plan(parse_statement(text), Category("c", ("*",), columnspec=spec))


def interpreted(plan, data):
    """Return the needed values of the rows that are kept, and the counts, one row at a time."""
    spec, blank = plan.program.inputs[0], blank_row(plan.program.kinds)
    state, kept = State.of(plan.program, Inputs(), NoStore()), []
    chain = compile_chain(plan.program.rules, state, kept.append)
    for row in good_rows(typed_rows(spec, (data,), blank), spec, state.counts, FilePlace("")):
        chain(row)
    rows = [tuple(row[column.slot] for column in plan.needed) for row in kept]
    return rows, state.counts.records, state.counts.errors, state.failed


def read(plan, data, size, pieces):
    reader, rows = FileRows(plan.program, plan.needed), []
    blocks = [data[at : at + pieces] for at in range(0, len(data), pieces)]
    for frame in reader.frames(blocks, size):
        rows += frame.select(f"s{column.slot}" for column in plan.needed).rows()
    return rows, reader.records, reader.bad, reader.failed


def comparable(result):
    """NaN is not equal to itself, and 0 is to -0."""
    return repr(result)


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 1 << 30), st.sampled_from([30, 200, 1000, 1 << 20]), st.sampled_from([7, 999])
)
def test_any_text_at_any_block_size(seed, size, pieces):
    rng = random.Random(seed)
    spec = rng.choice(SPECS)
    names = [item.partition(":")[2] for item in spec.split() if item.partition(":")[2]]
    known = [w for n in names for w in FILTERS.get(n, []) if "k" in names or "k " not in f"{w} "]
    where = rng.choice(["", *known])
    if "/ k" in where and "k" not in names:
        where = ""
    plan = plan_of(spec, where, ", ".join(rng.sample(names, rng.randint(1, len(names)))))
    data = make_text(rng, spec)
    assert comparable(read(plan, data, size, pieces)) == comparable(interpreted(plan, data))


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1 << 30), st.sampled_from([30, 200, 1 << 20]), st.sampled_from([7, 999]))
def test_the_first_rows_of_any_text(seed, size, pieces):
    rng = random.Random(seed)
    spec = rng.choice(SPECS)
    names = [item.partition(":")[2] for item in spec.split() if item.partition(":")[2]]
    where = rng.choice(["", *(w for n in names for w in FILTERS.get(n, []) if "/ k" not in w)])
    plan = plan_of(spec, where, "*")
    data, most = make_text(rng, spec), rng.randint(1, 40)
    every, records, bad, failed = interpreted(plan, data)
    reader = FileRows(plan.program, plan.needed)
    blocks = [data[at : at + pieces] for at in range(0, len(data), pieces)]
    found = reader.first(blocks, most, size)
    if found is None:
        assert len(data) >= size
        return
    rows = [tuple(row[column.slot] for column in plan.needed) for row in found]
    assert comparable(rows) == comparable(every[:most])
    if len(every) < most:
        assert (reader.records, reader.bad, reader.failed) == (records, bad, failed)


def test_the_first_rows_are_given_up_in_the_middle_of_an_endless_line():
    plan, read = plan_of("S:s I:i", "", "s"), []
    endless = (read.append(at) or b"a,1\n" * (not at) + b"x" * 100 for at in range(1000))
    assert FileRows(plan.program, plan.needed).first(endless, 2, 1000) is None
    assert len(read) < 20


def test_counts_hold_over_all_of_a_block():
    plan = plan_of("S:s I:i", "", "s")
    data = b"a,1\nb,TBD\n\nc\nd,2,3\ne,\n"
    assert read(plan, data, 1 << 20, 999) == ([("a",), ("d",), ("e",)], 6, 3, 0)


@pytest.mark.parametrize("name", ["s", "*"])
def test_a_filter_that_cannot_be_worked_out_leaves_the_row_out(name):
    plan = plan_of("S:s I:i", "6 / i > 1", name)
    rows, records, bad, failed = read(plan, b"a,3\nb,0\nc,x\nd,6\n", 1 << 20, 999)
    assert [row[0] for row in rows] == ["a"]
    assert (records, bad, failed) == (4, 1, 1)
