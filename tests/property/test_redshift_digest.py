"""The digest of a column: exact for all values, additive, and the same by Arrow and by SQL."""

from __future__ import annotations

import hashlib
import math
import re
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.records.spec import Column
from ess_dask.records.types import arrow_type, parse_type
from ess_dask.testing.loads import every_type
from ess_dask.testing.redshift.postgres import postgres
from ess_dask.warehouse.digest import compare
from ess_dask.warehouse.redshift.digest import combine, digest_sql, read_digest, table_digest
from ess_dask.warehouse.redshift.digest_measures import SMALLEST
from ess_dask.warehouse.redshift.types import sql_type, stored

FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001


def decimals(precision, scale):
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-scale, CONTEXT))


CONTEXT = Context(prec=60)
EDGES = [math.nan, math.inf, -math.inf, 5e-324, 1e-270, -1e-271, 1.7976931348623157e308, -0.0]
VALUES = {
    **{f"int{b}": st.integers(-(2 ** (b - 1)), 2 ** (b - 1) - 1) for b in (8, 16, 32, 64)},
    **{f"uint{b}": st.integers(0, 2**b - 1) for b in (8, 16, 32, 64)},
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "decimal(5,2)": decimals(5, 2),
    "decimal(26,6)": decimals(26, 6),
    "decimal(27,0)": decimals(27, 0),
    "decimal(38,0)": decimals(38, 0),
    "decimal(38,37)": decimals(38, 37),
    "decimal(37,37)": decimals(37, 37),
    "boolean": st.booleans(),
    "date": st.dates(),
    "timestamp": st.datetimes(FIRST, LAST),
    "timestamp[, UTC]": st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    "string": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "binary": st.binary(),
}


@st.composite
def tables(draw, kinds=tuple(VALUES)):
    """Draw columns of some types, and a table with nulls."""
    rows = draw(st.integers(0, 8))
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6))
    found = tuple(Column(f"c{n}", parse_type(kind)) for n, kind in enumerate(chosen))
    arrays = []
    for column, kind in zip(found, chosen, strict=True):
        values = st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows)
        arrays.append(pa.array(draw(values), arrow_type(column.type)))
    return found, pa.table(arrays, names=[column.name for column in found])


def model(values, column):
    """Return (measure, value) as plain Python counts them."""
    name = column.type.name
    if name in {"string", "binary"}:
        data = [v.encode() if name == "string" else v for v in values]
        heads = sum(int(hashlib.md5(v).hexdigest()[:8], 16) for v in data)
        return [("bytes", sum(map(len, data)))] + [("md5 sum", heads)] * (name == "string")
    if name.startswith("float"):
        finite = [v for v in values if math.isfinite(v)]
        total = sum(Fraction(v) for v in finite if abs(v) >= SMALLEST)
        return [("finite values", len(finite)), ("float sum", float(total / 2**100))]
    if name == "date":
        return [("sum", sum((v - date(1970, 1, 1)).days for v in values))]
    if name == "timestamp":
        return [("sum", sum(stamp(v) for v in values))]
    total = sum((Fraction(v) for v in values), Fraction(0))
    return [("sum", total)]


def stamp(v):
    text = f"{v.year:04}{v.month:02}{v.day:02}{v.hour:02}{v.minute:02}{v.second:02}"
    return int(f"{text}{v.microsecond:06}")


@given(tables())
@settings(max_examples=60)
def test_every_measure_is_what_python_counts(drawn):
    columns, table = drawn
    digest = table_digest(table, columns, text=True)
    assert digest.rows == table.num_rows
    for column, found in zip(columns, digest.columns, strict=True):
        values = [v for v in table[column.name].to_pylist() if v is not None]
        (label, count), *rest = found.measures
        assert (found.name, label, count) == (column.name, "non-null values", len(values))
        for (name, value), (wanted, expected) in zip(rest, model(values, column), strict=True):
            assert name == wanted
            if name == "float sum":
                assert abs(value - expected) <= 1e-12 * found.magnitude
            else:
                assert Fraction(value) == expected


@pytest.mark.slow
@given(tables(), st.lists(st.integers(0, 8), max_size=4))
@settings(max_examples=100)
def test_parts_combine_to_the_whole(drawn, cuts):
    columns, table = drawn
    cuts = sorted(min(cut, table.num_rows) for cut in cuts)
    stops = [*cuts, table.num_rows]
    slices = [table.slice(a, b - a) for a, b in zip([0, *cuts], stops, strict=True)]
    parts = [table_digest(part, columns, text=True) for part in slices]
    whole = table_digest(pa.concat_tables(slices), columns, text=True)
    assert compare(combine(parts), whole) == ()
    assert (
        compare(combine([combine(parts[:1]), combine(parts[1:])] if parts[1:] else parts), whole)
        == ()
    )


@pytest.mark.slow
@given(tables())
@settings(max_examples=50)
def test_another_value_is_noticed(drawn):
    columns, table = drawn
    if not table.num_rows:
        return
    before = table_digest(table, columns, text=True)
    for place, column in enumerate(columns):
        nulled = pa.concat_arrays(
            [table[place].slice(1).combine_chunks(), pa.nulls(1, table[place].type)]
        )
        if table[place][0].is_valid:
            other = table.set_column(place, column.name, nulled)
            assert compare(before, table_digest(other, columns, text=True))


def test_sums_of_extremes_do_not_overflow():
    columns = (Column("n", parse_type("int64")), Column("d", parse_type("decimal(38,0)")))
    most = Decimal("9" * 38)
    table = pa.table(
        {
            "n": pa.chunked_array([[2**63 - 1] * 3000, [2**63 - 1] * 3000]),
            "d": pa.array([most] * 6000, pa.decimal128(38, 0)),
        }
    )
    digest = combine([table_digest(table, columns, text=False)] * 1000)
    assert digest.columns[0].measures[1] == ("sum", 6_000_000 * (2**63 - 1))
    assert digest.columns[1].measures[1] == ("sum", Decimal(6_000_000 * (10**38 - 1)))


def test_nothing_has_a_digest_too():
    columns = tuple(Column(f"c{n}", parse_type(kind)) for n, kind in enumerate(VALUES))
    empty = pa.table({c.name: pa.array([], arrow_type(c.type)) for c in columns})
    digest = table_digest(empty, columns, text=True)
    sql = digest_sql("nothing", columns, text=True)
    answer = [
        0 if part.startswith("count") else None
        for part in sql[7:].split(", ")
        if part.startswith(("count", "sum("))
    ]
    assert read_digest(answer, columns, text=True) == digest
    assert combine([digest, digest]) == digest
    assert combine([]).rows == 0


def test_names_are_quoted():
    columns = (Column('we"ird', parse_type("int32")),)
    assert digest_sql('"t"', columns, text=False) == (
        'SELECT count(*), count("we""ird"), sum("we""ird"::decimal(38,0)) FROM "t"'
    )


@pytest.mark.parametrize("kind", ["large_string", "string_view", "dictionary"])
def test_columns_are_taken_as_they_are_stored(kind):
    columns = (Column("s", parse_type("string")), Column("u", parse_type("uint8")))
    texts = pa.array(["a", None, "żó"])
    other = texts.dictionary_encode() if kind == "dictionary" else texts.cast(getattr(pa, kind)())
    numbers = pa.array([1, 2, 255], pa.uint8())
    plain = table_digest(pa.table({"s": texts, "u": numbers}), columns, text=True)
    assert table_digest(pa.table({"s": other, "u": numbers}), columns, text=True) == plain


STRTOL = """
create function pg_temp.strtol(text, int) returns bigint language sql immutable
as $$ select ('x' || lpad($1, 16, '0'))::bit(64)::bigint $$
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Give a connection to a PostgreSQL of our own, with Redshift's ``strtol``."""
    with postgres(tmp_path_factory.mktemp("pg")) as server:
        connection = server.connect("postgres")
        with connection:
            connection.execute("set standard_conforming_strings = on")
            connection.execute(STRTOL)
            connection.prepare_threshold = None
            yield connection


def by_sql(database, columns, table):
    """Return the digest that the database has of the rows."""
    kinds = [re.sub(r"VARBYTE.*", "BYTEA", sql_type(column.type)) for column in columns]
    kinds = ["TEXT" if kind.startswith("VARCHAR") else kind for kind in kinds]
    described = ", ".join(f"{c.name} {kind}" for c, kind in zip(columns, kinds, strict=True))
    database.execute("drop table if exists pg_temp.rows")
    database.execute(f"create temp table rows ({described})")
    values = [table[c.name].cast(arrow_type(stored(c.type))).to_pylist() for c in columns]
    marks = ", ".join(["%s"] * len(columns))
    with database.cursor() as cursor:
        cursor.executemany(f"insert into rows values ({marks})", list(zip(*values, strict=True)))
    sql = digest_sql("rows", columns, text=True).replace("strtol(", "pg_temp.strtol(")
    return read_digest(database.execute(sql).fetchone(), columns, text=True)


@pytest.mark.slow
@given(drawn=tables())
@settings(max_examples=150)
def test_sql_and_arrow_agree(database, drawn):
    columns, table = drawn
    assert compare(table_digest(table, columns, text=True), by_sql(database, columns, table)) == ()


@pytest.mark.slow
def test_sql_and_arrow_agree_on_the_extremes_of_every_type(database):
    values = every_type()
    table = pa.table({c.name: pa.array(v, arrow_type(c.type)) for c, v in values.items()})
    columns = tuple(values)
    assert by_sql(database, columns, table) == table_digest(table, columns, text=True)


@pytest.mark.slow
@given(floats=st.lists(st.none() | st.floats() | st.sampled_from(EDGES), max_size=30))
@settings(max_examples=100)
def test_sql_takes_floats_of_every_kind(database, floats):
    columns = (Column("f", parse_type("float64")),)
    table = pa.table({"f": pa.array(floats, pa.float64())})
    staged, loaded = table_digest(table, columns, text=False), by_sql(database, columns, table)
    assert compare(staged, loaded) == ()
