"""Names and places of SQL statements, what is Essentia's, and what no statement may do."""

from datetime import date

import polars as pl
import pyarrow as pa
import pytest

from ess_dask.errors import UsageError
from ess_dask.query.sql.compile import compile_statement
from ess_dask.query.sql.dialect import is_beyond
from ess_dask.query.sql.flat import frame_rows
from ess_dask.query.sql.model import Side
from ess_dask.query.sql.names import spoken
from ess_dask.query.sql.room import answer

SCHEMA = pa.schema({"k": pa.string(), "n": pa.int32(), "x": pa.float64()})


def find(path):
    if path in (("t",), ("c:*:*",), ("wood:t",)):
        return Side(f"__ess_{abs(hash(path))}", ".".join(path), SCHEMA, ("k",), "p/4")
    return None


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("select a::date from c:2014-09-01:* p, wood:t", ['"c:2014-09-01:*"', '"wood:t"']),
        ("select 1 from (wood:t) join c:*:* using (k)", ['"wood:t"', '"c:*:*"']),
        ("select 1 from c:2014-09-01 05:10:2014-09-02 06:20 q", ['"c:2014-09-01 05:10:2014']),
        (r"select 'a\' from c:*:* where a$b$c = 'x' and d$b$e", ['"c:*:*"']),
        ("select 1 FROM\n c:'2014-09-01 05':* where {'a':1} = b", ["\"c:'2014-09-01 05':*\""]),
    ],
)
def test_sources_are_quoted(text, quoted):
    found = spoken(text)
    assert [word for word in quoted if word not in found.text] == []
    assert found.written == text


@pytest.mark.parametrize(
    "text",
    [
        "select 'from a:1:2'",
        "select x[1:2] from t -- from a:1:2",
        "select a::int from t",
        "select $x$ from a:*:* $$ $x$, $$ from a:*:* $x$ $$, $ö1$ from a:*:* $ö1$",
        r"select e'it\'s from a:*:*', E'\\', ' from a:*:*'",
    ],
)
def test_what_is_no_source_stays(text):
    assert spoken(text).text == text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("select nosuch from c:*:*", "line 1 column 8"),
        ("select n from c:*:* where nosuch = 1", "line 1 column 27"),
        ("select w.n\nfrom c:*:* join wood:t w using (k)\nwhere w.zz = 1", "line 3 column 7"),
        ("select é, nosuch from (select 1 as é from wood:t)", "line 1 column 11"),
        ("select n from t where n = ", "line 1"),
    ],
)
def test_errors_tell_the_place_as_it_was_written(text, place):
    with pytest.raises(UsageError, match=place):
        compile_statement(text, find)


@pytest.mark.parametrize(
    "text",
    [
        "select * from c:*:*",
        "select a, b from c:2014:* where a > 1 and b = 'x' order by a desc limit 3",
        "select count(*), count(distinct a) from c:*:*",
        "select a, count(*) from c:*:* group by a",
        "select who from c:*:* group by who",
        "select * from c",
        "select * form c:*:*",
    ],
)
def test_essentias_form(text):
    assert not is_beyond(text)


@pytest.mark.parametrize(
    "text",
    [
        "select a + 1 from c:*:*",
        "select sum(a) from c:*:*",
        "select a as b from c:*:*",
        "select * from wood:allsales",
        "select * from wood.allsales",
        "select * from 'x/*.parquet'",
        "select * from c:*:* where a between 1 and 2",
        "select * from c:*:* where a like 'x%'",
        "select distinct a from c:*:*",
        "select * from c:*:* limit 3 offset 1",
        "with x as (select 1) select * from x",
        "select a from c:*:* union select b from c:*:*",
    ],
)
def test_what_is_beyond_it(text):
    assert is_beyond(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drop table t", "only a SELECT"),
        ("select 1; select 2", "not 2 statements"),
        ("select * from read_parquet('x')", r"read_parquet\(\) is not allowed"),
        ("select * from glob('*')", r"glob\(\) is not allowed"),
        ("select * from query('select 1')", "not allowed"),
        ("select * from duckdb_secrets()", "not allowed"),
        ("select * from pg_catalog.pg_tables", "pg_catalog.pg_tables"),
        ("select current_setting('threads')", "current_setting"),
        ("select pg_sleep(1000)", r"pg_sleep\(\) is not allowed"),
        ("select json_serialize_plan('select current_setting(1)')", "json_serialize_plan"),
        ("with a as (delete from t returning n) select * from a", "only a SELECT is allowed"),
        ("with a as (insert into t values (1)) select 1", "only a SELECT is allowed"),
        ("select * from t where n = $1", "no parameters"),
        ("select n as __ess_x from t", "may not begin"),
        ("describe t", "only a SELECT|no table"),
        ("select " + "+".join(["n"] * 5000) + " from t", "deep|depth"),
    ],
)
def test_what_no_statement_may_do(text, words):
    with pytest.raises(UsageError, match=words):
        compile_statement(text, find)


def test_dates_do_not_depend_on_where_a_worker_stands():
    found = answer("select current_setting('TimeZone') as zone", {})
    assert found.to_pylist() == [{"zone": "UTC"}]


def test_clocks_are_read_once_and_chance_stays_in_one_place():
    plan = compile_statement("select count(*) from t where now() > timestamptz '2014-01-01'", find)
    assert "now()" not in plan.stages[0].map
    assert not plan.unsplit
    assert compile_statement("select random() from t", find).unsplit == "random()"


KEYS = {
    "text": pa.string(), "whole": pa.int32(), "number": pa.float64(), "day": pa.date32(),
    "flag": pa.bool_(),
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "condition", "value"),
    [
        ("text", "text = 'it''s'", "it's"),
        ("text", "'5' = TEXT and n > 1", "5"),
        ("text", "text = 5", None),
        ("text", "text = 5.0", None),
        ("text", "text = true", None),
        ("text", "text = null", None),
        ("text", "text = 'a' or n = 1", None),
        ("whole", "whole = 5", 5),
        ("whole", "whole = '5'", 5),
        ("whole", "whole = -5.0", -5),
        ("number", "number = 5", 5.0),
        ("number", "number = '1e3'", 1000.0),
        ("day", "day = '2014-09-01'", date(2014, 9, 1)),
        ("flag", "flag = true", True),
        ("whole", "whole = 5e0", None),
        ("number", "number = 5e0", 5.0),
        ("day", "day = 'infinity'", None),
        ("day", "day = '12000-01-01'", None),
    ],
)
def test_a_key_that_equals_a_constant_is_looked_up(key, condition, value):
    schema = pa.schema({key: KEYS[key], "n": pa.int32()})
    side = Side("__ess_t0", "t", schema, (key,), "p/4", partitions=4)
    plan = compile_statement(f"select n from t where {condition}", lambda path: side, 1 << 20)
    assert plan.stages[0].at == (None if value is None else (value,))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pa.table([[1], [2]], names=["a", "a"]), "two columns a"),
        (pa.table({"": [1]}), "a column without a name"),
        (pa.table({}), "no columns"),
        (pa.table({"a": pa.array([1.5], pa.float16())}), "column a is halffloat"),
    ],
)
def test_a_frame_that_sql_cannot_hold_is_refused(frame, words):
    with pytest.raises(UsageError, match=words):
        frame_rows("f", frame)


def test_columns_that_differ_by_case_alone_are_not_brought_together():
    schema = pa.schema({"a": pa.int32(), "A": pa.int32()})
    with pytest.raises(UsageError, match="two columns of one name"):
        compile_statement(
            "select max(columns(*)) from t", lambda path: Side("__ess_t", "t", schema)
        )


def test_categories_of_polars_are_texts():
    frame = pl.DataFrame({"c": pl.Series(["x", None, "y", "x"], dtype=pl.Categorical)})
    assert frame_rows("f", frame).tables[0].to_pydict() == {"c": ["x", None, "y", "x"]}
