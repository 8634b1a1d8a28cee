"""SQL over files from outside: categories, Parquet, the warehouse, frames; what is refused."""

import gzip
import io
import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ess_dask as ess
from ess_dask.errors import ReadError, UsageError
from ess_dask.testing.clusters import wait_until
from tests.conftest import User

DAYS = 6


@pytest.fixture(scope="module")
def shop(tmp_path_factory, warm):
    """Give a user with a category ``sale`` (6 days, 3 good records and a bad one each), Parquet
    files and a DuckDB warehouse."""
    someone = User(tmp_path_factory.mktemp("home"), warm)
    lake = someone.folder / "lake"
    lake.mkdir()
    for day in range(1, DAYS + 1):
        rows = [f"ann,{day},0.5", f"bob,{day * 10},1.25", f"ann,0,{day}", f"cid,TBD{day},1"]
        text = "who,n,price\n" + "\n".join(rows) + "\n"
        (lake / f"sale_201409{day:02}.csv.gz").write_bytes(gzip.compress(text.encode()))
    for part in range(2):
        table = pa.table(
            {"who": ["ann", "bob", "eve"][part:], "city": ["Rom", "Köln", "Oslo"][part:]}
        )
        pq.write_table(table, lake / f"people_{part}.parquet")
    with duckdb.connect(str(someone.folder / "warehouse.duckdb")) as connection:
        connection.execute("create table goals as select 'ann' as who, 7 as goal")
    someone.ess("select", "lake")
    someone.ess("category", "add", "sale", "sale_*.gz", "--columnspec", "S:who I:n F:price")
    return someone


def test_a_range_of_a_category(shop):
    text = (
        "select who, sum(n) as total, count(distinct price) as prices, max(price) as top "
        "from sale:2014-09-02:2014-09-04 where price < 4 group by who having count(*) > 1 "
        "order by total desc"
    )
    done = shop.ess("query", text)
    assert done.stdout == '"who","total","prices","top"\n"bob",90,1,1.25\n"ann",9,3,3\n'
    assert done.stderr == "3 records do not fit the columns and were left out\n"
    # Only the columns that matter are typed.
    text = "select upper(who) w, count(*) from sale:*:* group by w"
    done = shop.ess("query", text, "--format", "json")
    assert json.loads(done.stdout)[-1] == {"w": "CID", "count_star()": 6}
    assert done.stderr == ""


def test_explain_tells_what_ran_where(shop):
    text = "select who, avg(n) from sale:*:2014-09-02 group by who"
    planned = shop.ess("query", text, "--check", "--explain")
    assert planned.stdout == ""
    assert "2 files of the range (4 pruned by date), " in planned.stderr
    assert "on every partition of sale:*:2014-09-02 (who, n)" in planned.stderr
    done = shop.ess("query", text, "--explain", "--format", "ndjson")
    assert [json.loads(line)["who"] for line in done.stdout.splitlines()] == ["ann", "bob"]
    for words in ("read 2 files", "2 rejected", "moved", " s; 1 partition answered"):
        assert words in done.stderr


def test_delimited_files_by_pattern(shop):
    path = shop.folder / "lake" / "goals.tsv"
    path.write_text("who\tgoal\tday\nann\t7\t2014-09-01\nbob\tx\t2014-09-02\neve\t1\t2014-09-03\n")
    text = "select who, day from '*.tsv' where day > date '2014-09-01' order by day desc"
    done = shop.ess("query", text)
    assert done.stdout == '"who","day"\n"eve",2014-09-03\n"bob",2014-09-02\n'


def test_a_first_delimited_file_that_holds_nothing_is_passed_over(tmp_path):
    for name, text in (("a", ""), ("b", "\n\n"), ("c", "n,s\n1,x\n"), ("d", "s,n\ny,2\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    answer = ess.select(str(tmp_path)).sql("select sum(n) as n, max(s) as s from '[acd].csv'")
    assert answer.to_arrow().to_pylist() == [{"n": 3, "s": "y"}]
    with pytest.raises(UsageError, match=r"no file of '\[ab\].csv' holds anything"):
        ess.select(str(tmp_path)).sql("select * from '[ab].csv'")


def test_parquet_and_the_warehouse_stand_beside_a_category(shop):
    text = (
        "select p.city, sum(s.n) as total, max(g.goal) as goal from sale:*:* s "
        "join (select distinct * from 'people_*.parquet') p using (who) "
        "left join warehouse.goals g using (who) group by all order by all"
    )
    done = shop.ess("query", text, "--format", "table")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["city", "total", "goal"],
        ["Köln", "210"],
        ["Rom", "21", "7"],
    ]
    stored = shop.start("query", "select * from 'people_*.parquet' limit 4", "--format", "parquet")
    out, _ = stored.communicate(timeout=100)
    assert pq.read_table(io.BytesIO(out)).column("who").to_pylist() == ["ann", "bob", "eve", "bob"]


D = Decimal


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([D("1.25")]), pa.array([1.255])),
        (pa.array([1.5]), pa.array([D("12345678901234567890.1")])),
        (pa.array([1]), pa.array(["007"])),
        (pa.array([0], pa.date32()), pa.array([3_600_000_000], pa.timestamp("us"))),
        (pa.array([0], pa.timestamp("us")), pa.array([0], pa.timestamp("us", "UTC"))),
        (pa.array([0], pa.timestamp("us", "UTC")), pa.array([0], pa.timestamp("us"))),
        (pa.array([True]), pa.array([2])),
        (pa.array([1.0], pa.float32()), pa.array([0.1])),
        (pa.array([{"x": 1}]), pa.array([{"x": 1, "y": 2}])),
        (pa.array([1], pa.int32()), pa.array([2**40])),
    ],
)
def test_parquet_files_whose_values_the_types_of_the_first_would_change(tmp_path, first, second):
    for number, values in enumerate((first, second)):
        pq.write_table(pa.table({"v": values}), tmp_path / f"p_{number}.parquet")
    with pytest.raises(ReadError, match=r"p_1.parquet cannot be read: "):
        ess.select(str(tmp_path)).sql("select v from 'p_*.parquet'").to_arrow()


@pytest.mark.parametrize(
    ("first", "second", "values"),
    [
        (pa.array([1]), pa.array([2.0]), [1, 2]),
        (pa.array([1.5]), pa.array([None, float("nan"), -0.0], pa.float32()), None),
        (pa.array(["a"]), pa.array(["b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a"]), pa.array([7]), ["a", "7"]),
        (pa.array([None]), pa.array([1]), [None, "1"]),
        (pa.array([[1]], pa.list_(pa.int64())), pa.array([[2]], pa.list_(pa.int8())), [[1], [2]]),
    ],
)
def test_parquet_files_of_other_types_with_the_same_values(tmp_path, first, second, values):
    for number, found in enumerate((first, second)):
        pq.write_table(pa.table({"v": found}), tmp_path / f"p_{number}.parquet", row_group_size=1)
    read = ess.select(str(tmp_path)).sql("select v from 'p_*.parquet'").to_arrow()["v"].to_pylist()
    assert repr(read) == repr(values or [1.5, None, float("nan"), -0.0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("select nosuch, 1 from sale:*:* s", ["line 1 column 8", "who, n, price"]),
        ("select pryce + 1 from sale:*:*", ["did you mean price?"]),
        ("select 1 + n,\n  x + 1 from sale:*:*", ["line 2 column 3"]),
        ("select sum(who) from sale:*:*", ["sum", "column 8"]),
        ("select a.n from sale:*:* a join sale:*:* b on n = 1", ["mbiguous", "column 47"]),
        ("select n + 1 from nosuch:*:*", ["nosuch", "sale"]),
        ("select n + 1 from sale:2014-09-03:2014-09-01", ["after"]),
        ("select n + 1 from wood:allsales", ["wood.allsales", "does not run"]),
        ("select n + 1 from 'x*.parquet'", ["no file matches"]),
        ("select n + 1 from warehouse.nosuch", ["nosuch"]),
        ("select * from read_csv('/etc/passwd')", ["read_csv() is not allowed"]),
        ("select content from read_text('/etc/passwd')", ["not allowed"]),
        ("select * from '/etc/passwd'", ["/etc/passwd"]),
        ("select * from information_schema.tables", ["information_schema"]),
        ("select getenv('HOME')", ["getenv"]),
        ("select n + 1 from sale:*:*; drop table x", ["only a SELECT"]),
        ("select (select max(n) from duckdb_settings()) from sale:*:*", ["duckdb_settings"]),
    ],
)
def test_refusals(shop, text, words):
    done = shop.ess("query", text, "--format", "csv", code=2)
    assert done.stdout == ""
    assert [word for word in words if word not in done.stderr] == []


@pytest.mark.parametrize(
    "text", ["drop table x", "attach 'x.db'", "copy (select 1) to '/tmp/x'", "pragma version"]
)
def test_only_a_select_is_run(shop, text):
    assert "only a SELECT" in shop.ess("query", text, "--format", "csv", code=2).stderr


def test_an_empty_range_and_a_value_that_does_not_fit(shop):
    done = shop.ess(
        "query", "select count(*) as c, max(n) as m from sale:2015:*", "--format", "csv"
    )
    assert done.stdout == '"c","m"\n0,\n'
    assert done.stderr == "warning: no file lies in sale:2015:*\n"
    done = shop.ess("query", "select who::int from sale:*:*", code=3)
    assert done.stdout == ""
    assert "Could not convert" in done.stderr


def test_columns_go_by_position_and_nothing_is_taken_for_another(shop):
    """Of a category that nobody probed: its first records, and a title in another order."""
    lake = shop.folder / "lake"
    (lake / "bare_20140901.txt").write_text("1,x\n2,y\n")
    (lake / "bare_20140902.txt").write_text("n,who\n3,z\n")
    shop.ess("category", "add", "bare", "bare_*", "--noprobe", "--columnspec", "I:n S:who")
    text = "select n, who from bare:*:*"
    assert shop.ess("query", text).stdout == '1,"x"\n2,"y"\n3,"z"\n'
    done = shop.ess("query", text, "--format", "csv")
    assert done.stdout == '"n","who"\n1,"x"\n2,"y"\n3,"z"\n'
    (lake / "bare_20140903.txt").write_text("who,n\n4,5\n")
    done = shop.ess("query", text, "--format", "csv", code=3)
    assert "bare_20140903.txt: the title names the columns in another order" in done.stderr
    assert done.stdout == ""


def test_a_broken_file_gives_no_partial_answer(shop):
    path = shop.folder / "lake" / "sale_20140903.csv.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-6])
    try:
        done = shop.ess("query", "select n + 1 from sale:*:*", code=3)
    finally:
        path.write_bytes(whole)
    assert done.stdout == ""
    assert "sale_20140903" in done.stderr


def test_a_file_that_disappears_in_the_middle_ends_the_query(shop):
    lake = shop.folder / "fading"
    lake.mkdir()
    for day in range(1, 4):
        (lake / f"seen_2014090{day}.csv").write_text(f"who,n\nann,{day}\n")
    shop.ess("select", "fading", "--label", "fading")
    gone = f"rm -f {lake}/seen_20140903.csv; cat"
    spec = ("--columnspec", "S:who I:n", "--preprocess", gone, "--noprobe")
    shop.ess("category", "add", "seen", "seen_*.csv", *spec, "--label", "fading")
    env = {"ESS_BATCH_BYTES": "1", "ESS_WINDOW": "1", "ESS_THREADS": "1"}
    text = "select sum(n) as total from seen:*:*"
    done = shop.ess("query", text, "--label", "fading", env=env, code=3)
    shop.ess("select", "lake")
    assert done.stdout == ""
    assert "seen_20140903.csv" in done.stderr and "vanished" in done.stderr


def test_text_that_is_not_utf8_is_left_out_and_counted(shop):
    (shop.folder / "lake" / "town_20140901.csv").write_bytes(
        b"who,n\nann,1\nJos\xe9,2\n\xc3\x89va,3\n"
    )
    shop.ess(
        "category", "add", "town", "town_*.csv", "--columnspec", "S:who I:n", "--label", "lake"
    )
    text = "select upper(who) as who, n from town:*:* order by n desc"
    done = shop.ess("query", text)
    assert done.stdout == '"who","n"\n"ÉVA",3\n"ANN",1\n'
    assert done.stderr == "1 records do not fit the columns and were left out\n"


def test_a_join_types_only_the_columns_that_are_named(shop):
    text = "select p.city, count(*) as c from sale:*:* s join 'people_*.parquet' p using (who)"
    done = shop.ess("query", f"{text} where p.city = 'Rom' group by p.city", "--explain")
    assert done.stdout == '"city","c"\n"Rom",12\n'
    assert "sale:*:* (who)" in done.stderr and "0 rejected" in done.stderr


def test_a_limit_reads_no_more_than_it_needs(shop):
    path = shop.folder / "lake" / "sale_20140906.csv.gz"
    whole = path.read_bytes()
    path.write_bytes(b"no gzip")
    try:
        env = {"ESS_BATCH_BYTES": "1", "ESS_WINDOW": "1"}
        done = shop.ess("query", "select n + 1 as m from sale:*:* limit 2", env=env)
    finally:
        path.write_bytes(whole)
    assert done.stdout == '"m"\n2\n11\n'


def test_a_limit_begins_with_one_file(shop, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", shop.env["ESS_CACHE_DIR"])
    monkeypatch.setattr("ess_dask.query.sql.files.CategoryRows._answers", None)
    lake = ess.select(str(shop.folder / "lake"))
    columns = {"who": "string", "n": "int32", "price": "float64"}
    sale = lake.category("sale", "sale_*.gz", columns=columns)
    with pytest.warns(ess.RejectWarning, match="1 row was rejected"):
        answer = lake.sql("select who, n from s limit 3", s=sale)
    assert answer.to_arrow().to_pydict() == {"who": ["ann", "bob", "ann"], "n": [1, 10, 0]}
    assert "read 1 file, " in answer.explain()


@pytest.mark.parametrize("limit", [0, 1, 4, 11, 100])
def test_the_first_rows_are_the_same_however_batches_grow(shop, limit):
    every = shop.ess("query", "select n + 1 as m, who from sale:*:*").stdout.splitlines()
    for env in ({"ESS_BATCH_BYTES": "1"}, {"ESS_THREADS": "1"}):
        text = f"select n + 1 as m, who from sale:*:* limit {limit}"
        done = shop.ess("query", text, env=env)
        assert done.stdout.splitlines() == every[: limit + 1]


def test_too_much_memory_and_too_long_are_told(shop):
    env = {"ESS_MEMORY_LIMIT": "100B"}
    done = shop.ess("query", "select n + 1 as m, who from sale:*:*", env=env, code=2)
    assert "more than the 100 bytes allowed" in done.stderr
    slow = "select count(*) from range(100000) a, range(1000000) b where a.range + b.range = 7.5"
    done = shop.ess("query", slow, env={"ESS_QUERY_TIMEOUT": "0.5s"}, code=3)
    assert "took longer than query_timeout" in done.stderr


def test_frames_of_python(shop, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", shop.env["ESS_CACHE_DIR"])
    monkeypatch.chdir(shop.folder)
    lake = ess.select(str(shop.folder / "lake"))
    people = pd.DataFrame({"who": ["ann", "eve"], "kind": pd.Categorical(["x", "y"])})
    with pytest.warns(ess.RejectWarning, match="6 rows were rejected"):
        answer = lake.sql(
            "select kind, sum(n) as total from sale:*:* join people using (who) group by kind",
            people=people,
        )
    assert answer.to_arrow().to_pylist() == [{"kind": "x", "total": 21}]
    assert "sale:*:*" in answer.explain()
    with pytest.raises(ess.UsageError, match="nothing is no frame"):
        lake.sql("select * from nothing", nothing=3)


@pytest.fixture
def eager_processes(monkeypatch):
    """Let files of any size be read by two processes, and by threads only beside them; give who
    took how many batches."""
    from ess_dask.api import workers
    from ess_dask.engine import processes

    taken = []
    monkeypatch.setattr(workers, "START_BYTES", 0)
    monkeypatch.setattr(processes, "SHARE_BYTES", 1)
    ready, work_on = processes.Processes.ready, processes.Process.work_on

    def ready_soon(self):
        assert wait_until(lambda: all(process.is_ready for process in self._all))
        return ready(self)

    def noted(self, *args):
        taken.append(self.pid)
        return work_on(self, *args)

    monkeypatch.setattr(processes.Processes, "ready", ready_soon)
    monkeypatch.setattr(processes.Process, "work_on", noted)
    return taken


@pytest.mark.filterwarnings("ignore:.*rows?")
@pytest.mark.parametrize(
    "statement",
    [
        "select who, count(*) as rows, sum(price) as total from sale:*:* group by who",
        "select * from sale:*:* order by price desc, n",
        "select s.who, p.city, s.n from sale:*:* as s join 'people_*.parquet' as p using (who)",
        "select who from sale:*:* where price = (select max(price) from sale:*:*)",
    ],
)
def test_processes_beside_this_one_give_the_same(
    shop, statement, eager_processes, monkeypatch, capfd
):
    for name, value in {**shop.env, "ESS_BATCH_BYTES": "1", "ESS_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    lake = ess.select(shop.folder / "lake")
    alone = lake.sql(statement)
    assert not eager_processes
    monkeypatch.setenv("ESS_THREADS", "3")
    beside = lake.sql(statement)
    assert len(set(eager_processes)) == 2  # for all ranges together
    assert beside.to_arrow().equals(alone.to_arrow())
    assert capfd.readouterr() == ("", "")
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in eager_processes))


@pytest.mark.filterwarnings("ignore:.*rows?")
def test_a_kept_answer_keeps_no_socket(shop, eager_processes, monkeypatch):
    for name, value in {**shop.env, "ESS_BATCH_BYTES": "1", "ESS_THREADS": "3"}.items():
        monkeypatch.setenv(name, value)
    lake = ess.select(shop.folder / "lake")
    before = _sockets()
    answer = lake.sql("select count(*) as rows from sale:*:*")
    assert eager_processes
    assert answer.to_arrow().num_rows == 1
    assert _sockets() == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*rows?")
def test_a_process_that_is_ready_imports_nothing_more(shop, eager_processes, monkeypatch):
    """What reads the first files is all there."""
    from ess_dask.engine import processes

    for name, value in {**shop.env, "ESS_BATCH_BYTES": "1", "ESS_THREADS": "2"}.items():
        monkeypatch.setenv(name, value)
    work_on, later = processes.Process.work_on, []

    def watched(self, packed, batch):
        known = work_on(self, b"cbuiltins\neval\n.", "set(__import__('sys').modules)")
        done = work_on(self, packed, batch)
        late = f"set(__import__('sys').modules) - {known!r}"
        later.append(work_on(self, b"cbuiltins\neval\n.", late))
        return done

    monkeypatch.setattr(processes.Process, "work_on", watched)
    ess.select(shop.folder / "lake").sql("select who, sum(price) as n from sale:*:* group by who")
    assert later
    assert not set().union(*later)


@pytest.mark.filterwarnings("ignore:.*rows?")
def test_what_reads_little_starts_no_process(shop, monkeypatch):
    from ess_dask.cli.query import _sql

    for name, value in {**shop.env, "ESS_THREADS": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("ess_dask.api.workers.START_BYTES", 0)
    monkeypatch.setattr("ess_dask.engine.processes.Processes", None)
    lake = ess.select(shop.folder / "lake")
    assert len(lake.sql("select who, n + 1 as n from sale:*:* limit 2")) == 2
    assert _sql("select sum(n) from sale:*:*", "", "csv", check=True) == 0
    with pytest.raises(TypeError, match="NoneType"):
        lake.sql("select sum(n) from sale:*:*")


def test_a_store_that_does_not_answer_is_asked_once(shop, monkeypatch):
    from ess_dask.api.selection import Selection

    for name, value in shop.env.items():
        monkeypatch.setenv(name, value)
    asked = []

    def silent(self):
        asked.append(self.category.name)
        raise ess.TransientError("no answer")

    monkeypatch.setattr(Selection, "plan", silent)
    with pytest.raises(ess.TransientError, match="no answer"):
        ess.select(shop.folder / "lake").sql("select sum(n) from sale:*:*")
    assert asked == ["sale"]


@pytest.mark.slow
def test_a_statement_that_is_wrong_leaves_no_process(shop, eager_processes, monkeypatch):
    from ess_dask.engine import processes

    for name, value in {**shop.env, "ESS_THREADS": "3"}.items():
        monkeypatch.setenv(name, value)
    started = []
    grow = processes.Processes.grow

    def noted(self, count):
        grow(self, count)
        started.extend(process.pid for process in self._all)

    monkeypatch.setattr(processes.Processes, "grow", noted)
    with pytest.raises(ess.UsageError, match="line 1 column 23"):
        ess.select(shop.folder / "lake").sql("select sum(n) as from sale:*:*")
    assert len(started) == 2
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


def _sockets():
    links = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return sum(str(link).startswith("socket:") for link in links)


def test_what_a_statement_does_not_name_starts_no_process(shop, monkeypatch):
    for name, value in {**shop.env, "ESS_THREADS": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("ess_dask.api.workers.START_BYTES", 0)
    monkeypatch.setattr("ess_dask.engine.processes.Processes", None)
    lake = ess.select(shop.folder / "lake")
    every = lake.category("sale").all()
    assert lake.sql("select 1 as one", every=every).to_arrow().to_pylist() == [{"one": 1}]
