"""SQL over a table in memory: against DuckDB on the same rows, and what is refused."""

import logging

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import ess_dask as ess
from ess_dask.query.sql.memory import MemoryRows
from ess_dask.query.sql.model import Work
from ess_dask.query.sql.room import Limits
from ess_dask.testing.clusters import private_cluster

COLUMNS = {"k": "string", "n": "int32", "price": "float64", "day": "date"}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    for day in range(1, 5):
        lines = [
            f"{'abcdefgh'[i % 8] if i % 9 else ''},{i * day},{i / 7},2020-01-0{day}"
            for i in range(100)
        ]
        (folder / f"f_2020010{day}.csv").write_text("k,n,price,day\n" + "\n".join(lines) + "\n")
    with private_cluster(tmp_path_factory.mktemp("home")), ess.connect():
        selection = ess.select(str(folder)).category("f", "f_*.csv", columns=COLUMNS).all()
        with selection.into("q.rows", key="k", sort="n") as made:
            yield made


STATEMENTS = [
    "select k, count(*) as c, sum(n) as s from this group by k order by k nulls first",
    "select count(*) from this",
    "select * from this order by n, day, k limit 7",
    "select max(price) - min(price) as d, count(distinct K) from this where DAY > '2020-01-02'",
    "with top as (select k, sum(price) as p from this group by k) "
    "select * from top where p > (select avg(p) from top) order by 1",
    "select a.k, count(*) from this a join this b using (k) where a.n < b.n group by 1 order by 1",
    "select t.n, row_number() over (partition by k order by n, day) r from this t order by 1, 2",
    "select #1, #2 from this order by 1, 2",
    "select a from this as t(a, b, c, d) order by all",
    "select this from this order by this limit 3",
    "select distinct k from this where n in (select n from this where price > 10) order by k",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_answer_is_that_of_duckdb_on_all_rows(table, statement):
    this = table.to_arrow()
    expected = duckdb.from_arrow(this).query("this", statement).to_arrow_table()
    got = table.sql(statement).to_arrow()
    assert got.column_names == expected.column_names
    assert got.to_pylist() == expected.to_pylist()


def test_an_answer_comes_in_every_form(table):
    answer = table.sql("select k, n from this where n > 290 order by n")
    assert len(answer) == answer.to_pandas().shape[0] == answer.to_polars().height > 0
    assert pl.DataFrame(answer).equals(answer.to_polars())
    assert pa.table(answer).equals(answer.to_arrow())
    assert "<table" in answer._repr_html_()
    assert "291" in repr(answer)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("drop table this", "only a SELECT may ask a table"),
        ("select 1; select 2", "one SELECT is needed, not 2"),
        ("select * from read_csv('/etc/passwd')", r"read_csv\(\) is not allowed"),
        ("select * from '/etc/passwd'", "there is no table '/etc/passwd'"),
        ("select * from other", "there is no table 'other'"),
        ("select nope from this", "nope"),
        ("select k::int from this", "Could not convert|Conversion"),
        ("selec k from this", "sql line 1"),
    ],
)
def test_what_is_no_question_is_refused(table, statement, words):
    with pytest.raises(ess.EssError, match=words):
        table.sql(statement)


def test_more_than_the_memory_allowed_is_refused(table, monkeypatch):
    monkeypatch.setenv("ESS_MEMORY_LIMIT", "4KiB")
    with pytest.raises(ess.UsageError, match=r"columns k, n, price, day of q\.rows take"):
        table.sql("select * from this")
    assert len(table.sql("select sum(n) from this")) == 1


def test_what_travels_is_reduced_where_it_lies(table):
    run = table.sql("select n, sum(price) from this where k = 'a' group by n").run
    (done,) = run.done
    assert done.stage.columns == (("k", "n", "price"),)
    assert 0 < done.moved_rows < 60
    assert done.moved_bytes < table.to_arrow().nbytes / 4
    told = table.sql("select k, median(price) from this group by k").explain()
    assert "q.rows (k, price)" in told
    assert "32 partitions by k" in told


def test_tables_of_one_key_are_joined_where_they_lie(table):
    statement = "select a.k, count(*) c from this a join q.rows b using (k) where a.n < b.n"
    answer = table.sql(f"{statement} group by 1 order by 1")
    assert [done.stage.sources for done in answer.run.done] == [("__ess_t0", "__ess_t1")]
    expected = duckdb.from_arrow(table.to_arrow()).query(
        "this", f"{statement.replace('q.rows', 'this')} group by 1 order by 1"
    )
    assert answer.to_arrow().to_pylist() == expected.to_arrow_table().to_pylist()


def test_tables_that_are_too_large_to_send_are_dealt_anew(table, monkeypatch):
    monkeypatch.setattr("ess_dask.api.sql.limits", lambda: Limits(side=0))
    statement = "select a.n, count(*) c, max(b.k) k from this a join q.rows b on a.n = b.n"
    answer = table.sql(f"{statement} where b.price > 1 group by a.n order by a.n")
    dealt, other, joined = answer.run.done
    assert (dealt.stage.deal.key, other.stage.deal.key) == (("n",), ("n",))
    assert joined.partitions == 16
    assert "dealt anew by n into 16 partitions" in answer.explain()
    expected = duckdb.from_arrow(table.to_arrow()).query(
        "this",
        f"{statement.replace('q.rows', 'this')} where b.price > 1 group by a.n order by a.n",
    )
    assert answer.to_arrow().to_pylist() == expected.to_arrow_table().to_pylist()


def test_a_key_is_looked_up_in_its_partition(table):
    answer = table.sql("select n from this where k = 'c' and n < 20 order by n")
    (done,) = answer.run.done
    assert done.partitions == 1
    assert answer.to_arrow().column("n").to_pylist() == sorted(
        n
        for n, k in zip(*table.to_arrow().select(["n", "k"]).to_pydict().values(), strict=True)
        if k == "c" and n < 20
    )


def no_task(*asked, **named):
    raise AssertionError("a task was begun")


def spilled(dask_worker):
    """Put what the worker holds on disk; return whether nothing stays."""
    while dask_worker.data.fast:
        dask_worker.data.evict()
    return not dask_worker.data.fast


def test_a_look_up_takes_no_task_unless_its_partition_is_on_disk(table, monkeypatch):
    client, text = table.memory.client, "select n from this where k = 'd' order by n"
    expected = [row["n"] for row in table.to_arrow().to_pylist() if row["k"] == "d"]
    monkeypatch.setattr(client, "submit", no_task)
    assert table.sql(text).to_arrow().column("n").to_pylist() == sorted(expected)
    assert all(client.run(spilled).values())
    with pytest.raises(AssertionError, match="a task"):
        table.sql(text)
    monkeypatch.undo()
    assert table.sql(text).to_arrow().column("n").to_pylist() == sorted(expected)


def test_a_look_up_that_finds_much_gives_all_of_it(table, caplog):
    """A message of more than 64 MiB is sent in parts, which the scheduler does not put together."""
    logging.getLogger("distributed.protocol.core").addHandler(caplog.handler)
    rows = MemoryRows(table.memory)
    text = "select repeat('x', 1000000) || i as t from range(90) r(i), t where k = 'd' limit 90"
    (found,) = rows.map(Work(text, ("t",), (("k",),), at=("d",)), (), {})
    assert len(found) == 90
    assert {len(t) for t in found.column("t").to_pylist()} <= {1_000_001, 1_000_002}
    assert caplog.text == ""


def test_what_goes_wrong_in_a_look_up_is_told_as_in_any_question(table):
    told = []
    for where in ("k = 'd'", "k >= 'd'"):
        with pytest.raises(ess.EssError) as error:
            table.sql(f"select cast(k as integer) from this where {where}")
        told.append((type(error.value), error.value.message, error.value.hint))
    assert told[0] == told[1]


def test_a_text_key_that_equals_a_number_is_looked_for_everywhere(table, tmp_path):
    texts = ["5", "05", "5.0", "+5", "50", " 5", "6"]
    (tmp_path / "k_20200101.csv").write_text("\n".join(["k", *texts]) + "\n")
    keys = ess.select(str(tmp_path)).category("k", "k_*.csv", columns={"k": "string"}).all()
    with keys.into("q.texts", key="k") as made:
        answer = made.sql("select k from this where k = 5 order by k").to_arrow()
        assert answer.column("k").to_pylist() == [" 5", "+5", "05", "5", "5.0"]
        assert made.sql("select k from this where k = '5'").to_arrow().num_rows == 1


@pytest.mark.parametrize(
    "statement",
    [
        "select t from this t order by n, day limit 2",
        "select to_json(t) from this as T where n > 295 order by n",
        "select count(*) from this t1 join this t2 on t1 = t2",
        "select t.n from this t where t.k = 'a' order by 1",
        "select this.n from this where this.k = 'a' order by 1",
    ],
)
def test_a_row_of_a_table_is_all_of_it(table, statement):
    this = table.to_arrow()
    expected = duckdb.from_arrow(this).query("this", statement).to_arrow_table()
    assert table.sql(statement).to_arrow().to_pylist() == expected.to_pylist()


def test_a_wrong_column_is_told_with_those_there_are(table):
    with pytest.raises(ess.UsageError, match="the columns are: k, n, price, day"):
        table.sql("select nosuch from this")
