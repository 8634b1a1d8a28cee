"""Names, types, dates and the sorting of files: what a plan is made from, without a warehouse."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.catalog.bounds import Bounds
from ess_dask.errors import ConfigError, ConflictError, UsageError
from ess_dask.records.spec import DataType
from ess_dask.records.types import parse_type
from ess_dask.testing.loads import columns, every_type
from ess_dask.warehouse.changes import classify, names
from ess_dask.warehouse.dates import date_text, file_order, parse_date, within
from ess_dask.warehouse.duckdb.types import DIALECT, parse_sql_type, sql_type
from ess_dask.warehouse.model import LoadFile, Target
from ess_dask.warehouse.protocol import LedgerEntry
from ess_dask.warehouse.quote import TableName, escape_glob, fold, parse_table, quote
from ess_dask.warehouse.schema import (
    TableState,
    from_arrow,
    plan_ddl,
    stored,
    widens,
)

# --- names


@pytest.mark.parametrize(
    ("text", "schema", "table"),
    [
        ("sales", "main", "sales"),
        ("shop.sales", "shop", "sales"),
        ('"a.b"', "main", "a.b"),
        ('shop."a.b"', "shop", "a.b"),
        ('"x""y"."z"', 'x"y', "z"),
        ("two words.żółw", "two words", "żółw"),
    ],
)
def test_table_names(text, schema, table):
    assert parse_table(text) == TableName(schema, table)


@pytest.mark.parametrize("text", ["", ".", ".a", "a.", "a..b", "a.b.c", '"a', 'a"b', '""', "a\0b"])
def test_bad_table_names(text):
    with pytest.raises(ConfigError):
        parse_table(text)


@pytest.mark.slow
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
@settings(max_examples=50)
def test_any_name_survives_quoting(name):
    assert parse_table(quote(name)).table == name or fold(name).startswith("_ess_")
    with duckdb.connect() as connection:
        result = connection.execute(f"SELECT 1 AS {quote(name)}")
        assert result.description[0][0] == name


def test_names_fold_as_the_warehouse_does():
    assert fold("SalesÉİ") == "salesÉİ"
    assert str(TableName("Main", "SALES")) == "main.sales"


def test_schema_named_as_its_database_is_written_out():
    assert TableName("s", "t", "db").sql == '"s"."t"'
    assert TableName("Shop", "t", "shop").sql == '"shop"."Shop"."t"'


def test_globs_are_literal(tmp_path):
    for name in ("a[b]*?.csv", "[[]", "plain", "*"):
        (tmp_path / name).write_text(f"{name}\n")
        with duckdb.connect() as connection:
            path = escape_glob(str(tmp_path / name))
            found = connection.execute("SELECT content FROM read_text(?)", [[path]]).fetchall()
        assert found == [(f"{name}\n",)]


# --- types


def test_types_and_their_names_in_sql():
    for column in every_type():
        assert parse_sql_type(sql_type(column.type)) == stored(column.type)
    assert parse_sql_type("INTEGER[]").name == "INTEGER[]"
    assert sql_type(DataType("ip")) == "VARCHAR"


def test_types_and_arrow():
    from ess_dask.records.types import arrow_type

    for column in every_type():
        assert stored(from_arrow("c", arrow_type(column.type))) == stored(column.type)


WIDER = [
    ("int8", "int16"),
    ("int32", "int64"),
    ("uint8", "int16"),
    ("uint32", "int64"),
    ("uint32", "uint64"),
    ("float32", "float64"),
    ("decimal(5,2)", "decimal(7,2)"),
    ("decimal(5,2)", "decimal(9,4)"),
]
NEVER = [
    ("int64", "uint64"),
    ("uint64", "int64"),
    ("int32", "float64"),
    ("int32", "string"),
    ("decimal(5,2)", "decimal(6,4)"),
    ("decimal(5,2)", "float64"),
    ("date", "timestamp"),
    ("timestamp", "timestamp[%Y, UTC]"),
    ("string", "binary"),
]


@pytest.mark.parametrize(("narrow", "wide"), WIDER)
def test_widening(narrow, wide):
    assert widens(parse_type(narrow), parse_type(wide))
    assert not widens(parse_type(wide), parse_type(narrow))


@pytest.mark.parametrize(("one", "other"), NEVER)
def test_no_widening(one, other):
    assert not widens(parse_type(one), parse_type(other))
    assert not widens(parse_type(other), parse_type(one))


def test_formats_and_zones_are_no_difference():
    assert widens(parse_type("timestamp[%Y]"), parse_type("timestamp"))
    assert widens(parse_type("timestamp[%Y, UTC]"), parse_type("timestamp[%m, Europe/Berlin]"))
    assert widens(DataType("ip"), DataType("string"))


def test_ddl_of_an_evolving_table():
    ours = columns(_ess_load="string", _ess_file="string")
    state = TableState(TableName("main", "Sales"), True, (*columns(ID="int16"), *ours))
    assert plan_ddl(state, columns(id="int8"), DIALECT) == ()
    assert plan_ddl(state, columns(id="int32", note="string"), DIALECT) == (
        'ALTER TABLE "main"."Sales" ALTER COLUMN "ID" TYPE INTEGER',
        'ALTER TABLE "main"."Sales" ADD COLUMN "note" VARCHAR',
    )
    with pytest.raises(ConflictError) as caught:
        plan_ddl(state, columns(note="string"), DIALECT)
    assert "ID (SMALLINT) is not in the data" in caught.value.message


# --- dates


@given(st.none() | st.integers(0, 10**12) | st.datetimes())
def test_dates_read_back(date):
    assert parse_date(date_text(date)) == date


def test_bounds_are_inclusive():
    day = datetime(2014, 9, 2)  # noqa: DTZ001
    for bounds, inside in (
        (None, True),
        (Bounds(), True),
        (Bounds(day, day), True),
        (Bounds(None, day), True),
        (Bounds(day.replace(day=3), None), False),
        (Bounds(None, day.replace(day=1)), False),
        (Bounds(1, 99_999_999), False),
    ):
        assert within("2014-09-02", bounds) is inside
    assert within("10", Bounds(9, 11))
    assert not within("10", Bounds(day, None))
    assert within("", Bounds())
    assert not within("", Bounds(None, day))


def test_file_order_is_by_number_and_moment():
    files = [("2014-09-10", "a"), ("2014-09-02T05:00:00", "z"), ("2014-09-02", "b"), ("", "x")]
    assert sorted(files, key=lambda file: file_order(*file)) == files[::-1]
    ids = [("10", "c"), ("10", "b"), ("9", "z")]
    assert sorted(ids, key=lambda file: file_order(*file)) == ids[::-1]


# --- new, done, changed


def entry(uri, etag, part=""):
    at = datetime(2014, 9, 1)  # noqa: DTZ001
    file = LoadFile(uri, etag, part=part, rows_loaded=7)
    return LedgerEntry("main.sales", "shop", file, "load", "digest", at)


def kinds(mode, policy, *files, entries=()):
    target = Target("", "sales", "shop", mode=mode, on_change=policy)
    found = classify(target, files, entries)
    return {
        kind: [(file.uri, file.etag, file.part) for file in getattr(found, kind)]
        for kind in ("new", "done", "changed", "ignored")
        if getattr(found, kind)
    }


def test_files_by_the_ledger():
    known = [entry("a", "1"), entry("b", "1"), entry("b", "1", "replay")]
    files = [LoadFile("a", "2"), LoadFile("b", "1"), LoadFile("c", "1")]
    changed = {"new": [("c", "1", "")], "done": [("b", "1", "")], "changed": [("a", "2", "")]}
    assert kinds("append", "fail", *files, entries=known) == changed
    assert kinds("upsert", "reprocess", *files, entries=known) == changed
    ignored = {"new": [("c", "1", "")], "done": [("b", "1", "")], "ignored": [("a", "2", "")]}
    assert kinds("append", "ignore", *files, entries=known) == ignored
    every = {"new": [("a", "2", ""), ("b", "1", ""), ("c", "1", "")]}
    assert kinds("replace", "fail", *files, entries=known) == every


def test_parts_of_a_version():
    known = [entry("a", "1")]
    replay = LoadFile("a", "1", part="r1")
    assert kinds("append", "fail", replay, entries=known) == {"new": [("a", "1", "r1")]}
    both = [*known, entry("a", "1", "r1")]
    assert kinds("append", "fail", replay, entries=both) == {"done": [("a", "1", "r1")]}


def test_done_files_carry_what_was_loaded():
    target = Target("", "sales", "shop")
    (done,) = classify(target, [LoadFile("a", "1")], [entry("a", "1")]).done
    assert done.rows_loaded == 7


def test_one_uri_once():
    with pytest.raises(UsageError, match="a is named twice"):
        kinds("replace", "fail", LoadFile("a", "1"), LoadFile("a", "2"))


def test_long_lists_are_cut():
    assert names([LoadFile(f"f{n}", "") for n in range(12)]).endswith("f9 and 2 more")
