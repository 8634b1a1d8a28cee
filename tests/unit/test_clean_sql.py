"""SQL steps: what they do, what they refuse and when, and that they are a closed room."""

import datetime as dt
import decimal
import os
import pickle
import signal
import threading
import time

import pyarrow as pa
import pytest

from ess_dask.clean import duck
from ess_dask.clean.protocol import ROW_LABEL, StepContext
from ess_dask.clean.running import cancel_all, running
from ess_dask.clean.signals import RowCleanError
from ess_dask.clean.sql import SqlStep
from ess_dask.errors import CleanError, ConfigError, InterruptedRunError

CONTEXT = StepContext()


def records(**columns):
    rows = len(next(iter(columns.values())))
    return pa.table({**columns, ROW_LABEL: pa.array(range(10, 10 + rows), pa.int64())})


SHOP = records(
    id=pa.array([1, 2, 3], pa.int32()),
    name=["a", None, "c"],
    price=[1.5, -1.0, 0.0],
    n=["1", "x", "3"],
)


def run(query, table=SHOP, per="batch", context=CONTEXT):
    return SqlStep(query, per).apply(table, context)


@pytest.mark.parametrize(
    ("query", "names", "labels"),
    [
        ("select * from records where price > 0", ["id", "name", "price", "n"], [10]),
        ("from records", ["id", "name", "price", "n"], [10, 11, 12]),
        ("SELECT id FROM Records;", ["id"], [10, 11, 12]),
        ("select * exclude (n, name) from records", ["id", "price"], [10, 11, 12]),
        (
            "select * replace (id + 1 as id) from records",
            ["id", "name", "price", "n"],
            [10, 11, 12],
        ),
        (
            "select r.id, r.* exclude (id) from records r",
            ["id", "name", "price", "n"],
            [10, 11, 12],
        ),
        ("select * like 'n%' from records", ["name", "n"], [10, 11, 12]),
        ("select columns('^n') from records", ["name", "n"], [10, 11, 12]),
        ("select columns(*) from records", ["id", "name", "price", "n"], [10, 11, 12]),
        ("select columns(lambda c: c <> 'id') from records", ["name", "price", "n"], [10, 11, 12]),
        (
            "with a as (select id, name as x from records) select x from a where id > 1",
            ["x"],
            [11, 12],
        ),
        ("select x from (select *, id * 2 as x from records) where x > 2", ["x"], [11, 12]),
        (
            "select id from records union all select id * 10 from records",
            ["id"],
            [10, 10, 11, 11, 12, 12],
        ),
        (
            "select id from records union all by name select name, id from records",
            ["id", "name"],
            [10, 10, 11, 11, 12, 12],
        ),
        ("select id, unnest([1, 2]) as u from records", ["id", "u"], [10, 10, 11, 11, 12, 12]),
        (
            "select id, i from records, generate_series(1, id) g(i)",
            ["id", "i"],
            [10, 11, 11, 12, 12, 12],
        ),
        ("select id, k from records join (values (1, 'one')) v(i, k) on i = id", ["id", "k"], [10]),
        (
            "select id, k from records left join (values (1, 'one')) v(i, k) on i = id",
            ["id", "k"],
            [10, 11, 12],
        ),
        (
            "select id, k from (values (3, 'x')) v(i, k) right join records on i = id",
            ["id", "k"],
            [10, 11, 12],
        ),
        ("select id from records semi join (values (2)) v(i) on i = id", ["id"], [11]),
        ("select id from records anti join (values (2)) v(i) on i = id", ["id"], [10, 12]),
        ("select id, y from records r, lateral (select r.id + 1 as y)", ["id", "y"], [10, 11, 12]),
        (
            "select id from records where id in (select max(x) from (values (1), (3)) v(x))",
            ["id"],
            [12],
        ),
        ("select a from records r(a)", ["a"], [10, 11, 12]),
        (
            "with w(a, b) as (select id, name from records) select b, a from w",
            ["b", "a"],
            [10, 11, 12],
        ),
        (
            "select case when price < 0 then 'refund' else upper(name) end as k from records",
            ["k"],
            [10, 11, 12],
        ),
    ],
)
def test_rows_are_followed_through_a_query(query, names, labels):
    step = SqlStep(query)
    result = step.apply(SHOP, CONTEXT)
    assert result.column_names == [*names, ROW_LABEL]
    assert result.column(ROW_LABEL).to_pylist() == labels
    described = step.describe(SHOP.schema)
    assert described == result.schema.remove(len(names))
    assert step.describe(SHOP.schema.remove(4)) == described


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("select sum(price) from records", "line 1 column 8: the aggregate sum()"),
        ("select\n  count(*) from records", "line 2 column 3: the aggregate count_star()"),
        ("select geomean(price) from records", "geomean()"),
        ("select string_agg(name, ',') from records", "string_agg()"),
        ("select sum(price) over () from records", "window function sum()"),
        ("select row_number() over (order by id) from records", "row_number()"),
        ("select * from records qualify row_number() over () = 1", "qualify"),
        ("select distinct name from records", "distinct"),
        ("select distinct on (name) name from records", "distinct"),
        ("select id from records order by id", "order by"),
        ("select id from records limit 1", "limit"),
        ("select id from records limit 10%", "limit"),
        ("select id from records offset 1", "offset"),
        ("select name from records group by name", "group by"),
        ("select name from records group by all", "group by"),
        ("select * from records having true", "having"),
        ("select * from records tablesample reservoir(10%) repeatable (1)", "sample"),
        ("select * from records using sample reservoir(3 rows) repeatable (1)", "sample"),
        (
            "select id from records where price > (select avg(price) from records)",
            "sub-query over records",
        ),
        ("select id from records where id in (select id from records)", "sub-query over records"),
        (
            "with m as (select id from records) select (select id from m) from records",
            "sub-query over records",
        ),
        (
            "with m as (select max(id) as x from records) select id from records, m",
            "aggregate max()",
        ),
        ("select a.id from records a join records b using (id)", "join of records with itself"),
        ("with x as (from records) select x.id from x, records", "join of records with itself"),
        ("select id from records union select id from records", "union without all"),
        ("select id from records except all select 1", "except"),
        ("select id from records intersect select 1", "intersect"),
        ("select id from records union all select 0", "rows that are not records"),
        (
            "select id from records right join (values (1)) v(x) on true",
            "rows which are not records",
        ),
        (
            "select id from records full join (values (1)) v(x) on true",
            "rows which are not records",
        ),
        ("select id from records positional join (values (1)) v(x)", "rows which are not records"),
        ("select * from records pivot (sum(price) for id in (1, 2))", "pivot"),
        (
            "with recursive t as (select id from records union all select id + 1 from t) from t",
            "recursive",
        ),
        ("select r from records r", "'r' as the name of a whole row"),
    ],
)
def test_what_needs_several_rows_is_refused_per_batch(query, what):
    with pytest.raises(ConfigError) as caught:
        SqlStep(query)
    assert what in caught.value.message
    assert "per: file" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select sum(id) as s, count(*) as c from records", [{"s": 6, "c": 3}]),
        ("select id from records order by id desc limit 2", [{"id": 3}, {"id": 2}]),
        ("select distinct price > 0 as up from records order by 1", [{"up": False}, {"up": True}]),
        (
            "select id, row_number() over (order by price) as n from records where id < 3",
            [{"id": 2, "n": 1}, {"id": 1, "n": 2}],
        ),
        ("select b.id from records a join records b on a.id = b.id + 2", [{"id": 1}]),
        ("with m as (select max(id) as x from records) from m", [{"x": 3}]),
        ("select id from records where id > (select avg(id) from records)", [{"id": 3}]),
        (
            "from (select id from records) pivot (count(*) for id in (1, 9))",
            [{"1": 1, "9": 0}],
        ),
    ],
)
def test_all_of_it_works_per_file(query, rows):
    result = run(query, per="file")
    if ROW_LABEL in result.column_names:
        result = result.drop_columns([ROW_LABEL])
    assert result.to_pylist() == rows
    assert SqlStep(query, "file").describe(SHOP.schema) == result.schema


def test_per_file_keeps_the_lines_where_rows_stay_rows():
    assert run("select id from records order by id desc limit 2", per="file")[
        ROW_LABEL
    ].to_pylist() == [12, 11]
    assert ROW_LABEL not in run("select max(id) from records", per="file").column_names


@pytest.mark.parametrize("per", ["batch", "file"])
@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("select * from read_csv('/etc/passwd')", "column 15: read_csv() is not allowed"),
        ("select * from READ_TEXT('/etc/passwd')", "is not allowed"),
        ("select * from '/etc/passwd'", "there is no table '/etc/passwd'"),
        ("select * from 'lake.parquet'", "there is no table 'lake.parquet'"),
        ("from records where id in (from 'x.csv')", "there is no table 'x.csv'"),
        ("with a as (from glob('/*')) select * from records, a", "glob() is not allowed"),
        ("from sniff_csv('x')", "is not allowed"),
        ("from duckdb_settings()", "is not allowed"),
        ("from query('select 1')", "is not allowed"),
        ("from query_table('records')", "is not allowed"),
        ("from json_execute_serialized_sql('{}')", "is not allowed"),
        ("select * from other", "there is no table 'other'"),
        ("select * from information_schema.tables", "there is no table 'tables'"),
        ("select * from main.records", "there is no table 'records'"),
        ("select * from pg_class", "there is no table 'pg_class'"),
        ("copy records to '/tmp/x.csv'", "only a SELECT"),
        ("copy (select * from records) to '/tmp/x.csv'", "only a SELECT"),
        ("attach '/tmp/x.db'", "only a SELECT"),
        ("install httpfs", "only a SELECT"),
        ("load httpfs", "only a SELECT"),
        ("pragma version", "only a SELECT"),
        ("set threads = 8", "only a SELECT"),
        ("drop table records", "only a SELECT"),
        ("delete from records", "only a SELECT"),
        ("insert into records values (1)", "only a SELECT"),
        ("create table t as from records", "only a SELECT"),
        ("explain from records", "only a SELECT"),
        ("describe records", "only a SELECT"),
        ("summarize records", "only a SELECT"),
        ("call pragma_version()", "only a SELECT"),
        ("from records; from records", "not 2 statements"),
        ("from records; drop table records", "only a SELECT"),
        ("", "not 0 statements"),
        ("  -- nothing", "not 0 statements"),
        ("selec * from records", 'syntax error at or near "selec"'),
        ("select * from records where", "column 23: syntax error"),
        ("select 'é', * fro records", "column 19"),
        ("select random() from records", "random() changes from run to run"),
        ("select uuid() from records", "uuid() changes"),
        ("select now() from records", "now() changes"),
        ("select current_date from records", "current_date changes"),
        ("from records where name < current_timestamp::varchar", "current_timestamp changes"),
        ("select current_setting('threads') from records", "changes"),
        ("select getvariable('x') from records", "changes"),
        ("select $1 from records", "no parameters"),
        ("select ? from records", "no parameters"),
        ("select _ess_row from records", "reserved"),
        ("select id as _ESS_ROW from records", "reserved"),
        ("with records as (select 1) from records", "a CTE may not be named records"),
    ],
)  # fmt: skip
def test_only_one_harmless_select_is_taken(query, what, per):
    with pytest.raises(ConfigError) as caught:
        SqlStep(query, per)
    assert what in caught.value.message
    assert caught.value.hint


def test_a_query_that_reads_nothing_is_refused():
    with pytest.raises(ConfigError, match="does not read records"):
        SqlStep("select 1")


def test_a_pattern_that_meets_the_hidden_column_is_refused():
    with pytest.raises(ConfigError, match="hidden"):
        SqlStep("select columns('.*') from records")


@pytest.mark.parametrize(
    "query",
    [
        "select getenv('HOME') from records",
        "select read_text('/etc/passwd') from records",
        "select no_such_function(id) from records",
        "select nope from records",
        "select id from records where nmae = 'a'",
        "select (select sum(id)) from records",
        "select sum(id + 'x') from (select 1 as id), records",
    ],
)
def test_what_does_not_fit_the_columns_is_found_before_any_row_is_read(query):
    with pytest.raises(ConfigError) as caught:
        SqlStep(query).describe(SHOP.schema)
    assert "aggregate" in caught.value.message or "id, name, price, n" in caught.value.hint
    assert "LINE 1" not in str(caught.value)
    assert ROW_LABEL not in caught.value.hint


def test_python_variables_are_not_tables():
    secret = pa.table({"a": [1]})  # noqa: F841 - DuckDB would find it by its name
    with pytest.raises(ConfigError, match="there is no table 'secret'"):
        SqlStep("from records, secret")


def test_the_engine_is_closed_even_when_the_check_is_passed_by(tmp_path):
    """The second wall: the same queries given to the connection itself."""
    import duckdb

    from ess_dask.clean import duck

    (tmp_path / "x.csv").write_text("a\n1\n")
    for query in (
        f"from read_csv('{tmp_path}/x.csv')",
        f"from '{tmp_path}/x.csv'",
        f"copy (select 1) to '{tmp_path}/y.csv'",
        f"attach '{tmp_path}/z.db'",
        "install httpfs",
        "set threads = 8",
        "set enable_external_access = true",
    ):
        with pytest.raises(duckdb.Error):
            duck.run(query, SHOP)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv"]


def test_a_value_that_cannot_be_cast_names_the_step_and_the_row():
    with pytest.raises(RowCleanError) as caught:
        run("select id, n::int as n from records")
    assert caught.value.label == 11
    assert "'x'" in caught.value.message
    assert "select id, n::int as n from records" in caught.value.message
    assert "try_cast" in caught.value.hint
    assert "LINE 1" not in str(caught.value)


def test_per_file_the_same_is_an_error_of_the_file():
    with pytest.raises(CleanError, match="Could not convert string 'x'"):
        run("select sum(n::int) from records", per="file")


def test_try_cast_gives_null():
    assert run("select try_cast(n as int) as n from records")["n"].to_pylist() == [1, None, 3]


def test_moments_do_not_depend_on_where_a_worker_stands():
    assert duck.rows("select current_setting('TimeZone')") == [("UTC",)]


def test_types_come_back_as_they_went_in():
    moment = dt.datetime(2014, 9, 1, 12, tzinfo=dt.UTC)
    table = records(
        s=pa.array(["x"], pa.string()),
        i=pa.array([1], pa.int8()),
        u=pa.array([2**64 - 1], pa.uint64()),
        f=pa.array([1.5], pa.float32()),
        b=pa.array([True]),
        d=pa.array([dt.date(2014, 9, 1)]),
        t=pa.array([dt.datetime(2014, 9, 1, 1, 2, 3, 4)], pa.timestamp("us")),  # noqa: DTZ001
        z=pa.array([moment], pa.timestamp("us", "Europe/Paris")),
        m=pa.array([decimal.Decimal("1.25")], pa.decimal128(10, 2)),
        y=pa.array([b"\x00\xff"]),
    )
    assert run("from records", table).equals(table)


def test_types_of_other_engines_are_made_standard():
    table = records(
        large=pa.array(["x"], pa.large_string()),
        view=pa.array(["x"], pa.string_view()),
        coded=pa.array(["x"]).dictionary_encode(),
        nothing=pa.nulls(1),
    )
    result = run(
        "select *, 'a'::enum('a', 'b') as e, null as v, "
        "uuid '6ccd780c-baba-1026-9564-5b8c656024db' as u from records",
        table,
    )
    assert {field.type for field in result.schema if field.name != ROW_LABEL} == {pa.string()}
    assert result["u"].to_pylist() == ["6ccd780c-baba-1026-9564-5b8c656024db"]


def test_column_names_are_exact():
    table = records(**{'odd "name"': [1], "Größe": [2], "select": [3]})
    assert run('select "odd ""name""", "Größe", "select" from records', table).column_names[:3] == [
        'odd "name"',
        "Größe",
        "select",
    ]


def test_no_rows_give_the_same_columns():
    result = run("select id, price * 2 as twice from records", SHOP.slice(0, 0))
    assert result.num_rows == 0
    assert result.schema.names == ["id", "twice", ROW_LABEL]


def test_it_travels_without_being_parsed_again():
    step = pickle.loads(pickle.dumps(SqlStep("select id from records", timeout=5)))
    assert step == SqlStep("select id from records", timeout=5)
    assert step.apply(SHOP, CONTEXT)["id"].to_pylist() == [1, 2, 3]
    assert step.name == "sql: select id from records"


def test_threads_do_not_see_each_others_records():
    step, wrong = SqlStep("select id from records"), []

    def work(base):
        table = records(id=list(range(base, base + 50)))
        for _ in range(20):
            if step.apply(table, CONTEXT)["id"].to_pylist() != table["id"].to_pylist():
                wrong.append(base)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


ENDLESS = (
    "select sum(a.range * b.range) as s from records, range(10_000_000) a, range(10_000_000) b"
)


def test_a_query_that_takes_too_long_is_ended():
    with pytest.raises(CleanError, match=r"longer than 0\.2 s"):
        SqlStep(ENDLESS, "file", timeout=0.2).apply(SHOP, CONTEXT)
    with pytest.raises(CleanError, match=r"longer than 0\.2 s"):
        run(ENDLESS, per="file", context=StepContext(timeout=0.2))
    assert run("select id from records").num_rows == 3


def test_a_query_can_be_cancelled_from_another_thread():
    caught = []

    def work():
        try:
            run(ENDLESS, per="file")
        except InterruptedRunError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < deadline:
        cancel_all()
        thread.join(0.02)
    assert len(caught) == 1
    assert len(running) == 0


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"query": "from records", "per": "row"}, "per must be batch or file"),
        ({"query": "from records", "pre": "file"}, "unknown option 'pre'"),
        ({"per": "file"}, "needs a text under 'query'"),
        ({"query": "from records", "timeout": -1}, "timeout"),
        ({"query": "from records", "timeout": True}, "timeout"),
        ({"query": " "}, "needs a text"),
        ("", "needs a text"),
        (["from records"], "must be a text or a mapping"),
        (None, "must be a text or a mapping"),
    ],
)
def test_a_wrong_pipeline_value_is_refused(value, what):
    with pytest.raises(ConfigError, match=what):
        SqlStep.from_pipeline(value, ".")


def test_an_option_misspelt_is_guessed():
    with pytest.raises(ConfigError) as caught:
        SqlStep.from_pipeline({"query": "from records", "timout": 3}, ".")
    assert caught.value.hint == "did you mean 'timeout'?"


def test_a_column_that_comes_out_twice_is_refused():
    for query in ("select id, id from records", "select *, price * 2 as id from records"):
        with pytest.raises(ConfigError, match="column 'id' comes out twice"):
            SqlStep(query).describe(SHOP.schema)
        with pytest.raises(CleanError, match="column 'id' comes out twice"):
            run(query)


def test_a_query_that_does_not_fit_these_rows_is_an_error_of_them():
    with pytest.raises(CleanError, match="sql: select nope from records: Binder Error"):
        run("select nope from records")


def test_nested_types_keep_what_duckdb_makes_of_them():
    table = records(id=[1, 2], items=pa.array([[1], [2, 3]], pa.list_(pa.int32())))
    step = SqlStep("select * from records where id > 1")
    got = step.apply(table, CONTEXT)
    assert got.schema.remove(2) == step.describe(table.schema)
    assert got["items"].to_pylist() == [[2, 3]]


def test_an_internal_error_ends_one_query_and_no_other():
    import duckdb

    from ess_dask.query.sql.room import answer

    broken = pa.table({"at": pa.array([2**62], pa.timestamp("s"))})
    good = pa.table({"n": [1]})
    for run in (duck.run, lambda query, table: answer(query, {"records": table})):
        assert run("select n from records", good).to_pylist() == [{"n": 1}]
        with pytest.raises(duckdb.InternalException, match="Could not convert Timestamp"):
            run('select cast("at" as varchar) from records', broken)
        assert run("select n + 1 as n from records", good).to_pylist() == [{"n": 2}]
        assert duck.rows("select 3") == [(3,)]


def test_an_internal_error_ends_no_query_of_another_thread():
    import duckdb

    good, broken = pa.table({"n": [1]}), pa.table({"at": pa.array([2**62], pa.timestamp("s"))})
    went, may = threading.Event(), threading.Event()
    found = []

    def other():
        duck.run("select n from records", good)
        went.set()
        may.wait(30)
        found.append(duck.run("select n from records", good).num_rows)

    thread = threading.Thread(target=other)
    thread.start()
    went.wait(30)
    with pytest.raises(duckdb.InternalException):
        duck.run('select cast("at" as varchar) from records', broken)
    may.set()
    thread.join()
    assert found == [1]


def test_ctrl_c_in_a_question_of_our_own_is_one():
    stop = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    stop.start()
    with pytest.raises(KeyboardInterrupt):
        duck.rows("select sum(i) from range(100_000_000_000) as t(i) where i % 7 = 3")
