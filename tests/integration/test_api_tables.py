"""Tables in the cluster's memory and loads into a warehouse, from Python."""

import gzip
import warnings

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import ess_dask as ess
from ess_dask.cluster.local import status
from ess_dask.testing.clusters import private_cluster

COLUMNS = {"k": "string", "n": "int32"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """Give one local cluster to the tests of this file; each has tables of its own names."""
    with private_cluster(tmp_path_factory.mktemp("home")) as folder:
        yield folder


@pytest.fixture
def lake(daemon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lake"
    folder.mkdir()
    for day in range(1, 6):
        write(folder, day, *((f"k{i % 3}", day * 10 + i) for i in range(4)))
    return folder


def write(folder, day, *rows):
    text = "k,n\n" + "".join(f"{k},{n}\n" for k, n in rows)
    path = folder / f"f_202001{day:02d}.csv.gz"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def files(lake):
    return ess.select(lake).category("f", "f_*.csv.gz", columns=COLUMNS)


def numbers(table):
    return sorted(table.to_arrow()["n"].to_pylist())


def expected(*days):
    return sorted(day * 10 + i for day in days for i in range(4))


# --- Into memory


def test_rows_lie_by_key_and_sorted_and_come_in_every_form(lake):
    with ess.connect() as cluster:
        made = files(lake).all()
        table = made.into("t1.rows", key="k", sort=["n"])
        arrow = table.to_arrow()
        assert table.name == "t1.rows"
        assert "t1.rows" in cluster.tables()
        assert (table.count(), numbers(table)) == (20, expected(1, 2, 3, 4, 5))
        assert arrow.schema == table.schema == made.schema
        assert table.columns == COLUMNS
        for key in ("k0", "k1", "k2"):
            mine = arrow.filter(pc.equal(arrow["k"], key))["n"].to_pylist()
            assert mine == sorted(mine)
        assert isinstance(table.to_pandas(), pd.DataFrame)
        assert isinstance(table.to_polars(), pl.DataFrame)
        assert table.to_polars().to_arrow().cast(arrow.schema).equals(arrow)
        assert table.head(3).equals(table.to_pandas().head(3))
        assert [uri for uri, _ in table.sources] == [file.uri for file in made.files()]
        assert cluster.table("t1.rows").to_arrow().equals(arrow)
        html = table._repr_html_()
        assert "t1.rows" in html
        assert "int32" in html
        assert "t1.rows" in repr(table)
        assert "t1.rows" in cluster._repr_html_()


def test_into_again_holds_the_new_selection_and_append_adds_new_files(lake):
    with ess.connect():
        first = files(lake).between("2020-01-01", "2020-01-02").into("t2.rows", key="k")
        second = files(lake).between("2020-01-02", "2020-01-03").into("t2.rows", key="k")
        assert numbers(second) == expected(2, 3)
        assert numbers(first) == expected(1, 2)
        third = (
            files(lake).between("2020-01-03", "2020-01-05").into("t2.rows", key="k", append=True)
        )
        assert numbers(third) == expected(2, 3, 4, 5)
        again = files(lake).all().into("t2.rows", key="k", append=True)
        assert numbers(again) == expected(1, 2, 3, 4, 5)
        same = files(lake).all().into("t2.rows", key="k", append=True)
        assert same.to_arrow().equals(again.to_arrow())
        write(lake, 4, ("k9", 99))
        with pytest.raises(ess.ConflictError, match="another version of a file"):
            files(lake).all().into("t2.rows", key="k", append=True)
        fresh = files(lake).all().into("t2.rows", key="k")
        assert numbers(fresh) == sorted([*expected(1, 2, 3, 5), 99])


@pytest.mark.parametrize("append", [False, True])
def test_an_empty_selection_makes_an_empty_table(lake, append):
    with ess.connect():
        nothing = files(lake).between("2021").clean("select k, n * 2 as twice from records")
        with pytest.warns(ess.NoFilesWarning, match="no file in"):
            table = nothing.into(f"t3.rows{append:d}", key="k", append=append)
        assert table.count() == 0
        assert list(table.columns) == ["k", "twice"]
        assert table.to_pandas().columns.tolist() == ["k", "twice"]


def test_without_a_connection_one_is_made_for_the_table(lake):
    table = files(lake).between("2020-01-01", "2020-01-01").into("t4.rows", key="k")
    assert numbers(table) == expected(1)
    table.close()
    table.close()
    with pytest.raises(ess.UsageError, match="the table is closed"):
        table.to_arrow()
    with ess.connect() as outer, ess.connect() as inner:
        with inner.table("t4.rows") as kept:
            assert numbers(kept) == expected(1)
        other = (
            files(lake).between("2020-01-02", "2020-01-02").into("t4.more", key="k", cluster=outer)
        )
        inner.close()
        assert numbers(other) == expected(2)
        other.drop()
        assert "t4.more" not in outer.tables()
        with pytest.raises(ess.UsageError, match=r"no table t4\.more"):
            outer.table("t4.more")
    with pytest.raises(ess.UsageError, match="connection to the cluster is closed"):
        outer.tables()
    assert repr(outer) == "<Cluster: closed>"
    assert status().state == "running"


def test_a_table_of_a_closed_connection_says_so(lake):
    with ess.connect():
        table = files(lake).all().into("t5.rows", key="k")
    with pytest.raises(ess.UsageError, match="connection to the cluster is closed"):
        table.to_arrow()


def test_a_failed_import_leaves_the_table_as_it_was(lake):
    with ess.connect() as cluster:
        before = files(lake).between("2020-01-01", "2020-01-03").into("t6.rows", key="k")
        path = lake / "f_20200104.csv.gz"
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(ess.DataError, match="f_20200104") as caught:
            files(lake).all().into("t6.rows", key="k")
        assert str(caught.value).count("f_20200104") == 1
        assert cluster.table("t6.rows").to_arrow().equals(before.to_arrow())
        with pytest.raises(ess.DataError):
            files(lake).all().into("t6.new", key="k")
        assert "t6.new" not in cluster.tables()
        with pytest.raises(ess.ConflictError, match=r"other columns, key.*\n.*drop it first"):
            files(lake).between("2020-01-01", "2020-01-01").into("t6.rows", key="n")


def test_a_file_replaced_while_it_is_read_publishes_nothing(lake):
    victim = str(lake / "f_20200103.csv.gz")

    def replaces_it(frame):
        import pathlib

        path = pathlib.Path(victim)
        path.write_bytes(path.read_bytes() + b"")
        return frame

    made = files(lake).all().clean(ess.python(replaces_it, per="file"))
    with ess.connect() as cluster:
        with pytest.raises(ess.DataError, match=r"f_20200103.*replaced after it was listed"):
            made.into("t7.rows", key="k")
        assert "t7.rows" not in cluster.tables()


def test_a_function_that_raises_names_file_and_line(lake):
    def fragile(frame):
        if (frame["n"] == 42).any():
            raise ValueError("no 42 please")
        return frame

    with ess.connect(), pytest.raises(ess.DataError, match=r"no 42.*f_20200104\.csv\.gz, line 4"):
        files(lake).all().clean(fragile).into("t8.rows", key="k")


def test_rejected_rows_are_warned_of(lake):
    write(lake, 2, ("a", 1), ("b", "TBD"))
    with ess.connect(), pytest.warns(ess.RejectWarning, match="1 row was rejected") as caught:
        table = files(lake).between("2020-01-02", "2020-01-02").into("t9.rows", key="k")
        assert numbers(table) == [1]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"table": "rows"}, "names no database"),
        ({"table": "t10.ro ws"}, "ro ws"),
        ({"key": ()}, "needs a key"),
        ({"key": "kk"}, "no column 'kk'"),
        ({"sort": "kk"}, "no column 'kk'"),
    ],
)
def test_a_table_that_cannot_be_is_refused_before_a_cluster_starts(
    tmp_path, monkeypatch, changes, words
):
    (tmp_path / "lake").mkdir()
    arguments = {"table": "t10.rows", "key": "k"} | changes
    with private_cluster(tmp_path / "home"):
        with pytest.raises(ess.UsageError, match=words):
            files(tmp_path / "lake").all().into(arguments.pop("table"), **arguments)
        assert status().state == "stopped"


def test_the_cluster_is_started_with_a_word_on_stderr(tmp_path, capsys):
    with private_cluster(tmp_path):
        said = []
        with ess.connect(said.append) as cluster:
            assert cluster.tables() == ()
        with ess.connect():
            pass
        assert len(said) == 1
        assert "started the local cluster" in said[0]
        assert capsys.readouterr() == ("", "")


# --- Into a warehouse


def rows(folder, query):
    with duckdb.connect(str(folder / "shop.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


URL = "duckdb:///shop.duckdb"


def test_each_file_is_loaded_once_and_the_account_is_returned(lake, tmp_path):
    made = files(lake).all().clean("select * from records")
    first = made.between("2020-01-01", "2020-01-03").load(URL, table="sales")
    assert isinstance(first, ess.RunReport)
    assert (first.state, first.rows_loaded, first.files) == ("done", 12, 3)
    second = made.load(URL, table="sales")
    assert (second.rows_loaded, second.files_done) == (8, 3)
    assert made.load(URL, table="sales").state == "nothing new"
    assert rows(tmp_path, "select count(*), count(distinct _ess_file) from sales") == [(20, 5)]
    assert rows(tmp_path, "select distinct pipeline from _ess_ledger") == [("f",)]
    html = second._repr_html_()
    assert "rows loaded" in html
    assert "<td style='text-align:left'>8 " in html


def test_modes_keys_and_changes_as_in_a_pipeline_file(lake, tmp_path):
    made = files(lake).all()
    made.load(URL, table="up", mode="upsert", key="k", pipeline="up")
    assert rows(tmp_path, "select k, n from up order by k") == [("k0", 53), ("k1", 51), ("k2", 52)]
    made.load(URL, table="whole", mode="replace")
    made.between("2020-01-05", "2020-01-05").load(URL, table="whole", mode="replace")
    assert rows(tmp_path, "select count(*) from whole") == [(20,)]
    made.load(URL, table="once")
    write(lake, 1, ("z", 7))
    with pytest.raises(ess.ConflictError, match="f_20200101"):
        made.load(URL, table="once")
    made.load(URL, table="once", on_change="reprocess")
    assert rows(tmp_path, "select count(*), max(k) from once") == [(17, "z")]


def test_a_function_that_changed_is_told(lake):
    def same(frame):
        return frame

    def other(frame):
        return frame.assign(n=frame["n"] + 1)

    made = files(lake)
    made.between("2020-01-01", "2020-01-02").clean(same).load(URL, table="sales")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.between("2020-01-03", "2020-01-03").clean(same).load(URL, table="sales")
    with pytest.warns(UserWarning, match="the plan changed since the last load"):
        made.between("2020-01-04", "2020-01-04").clean(other).load(URL, table="sales")


def test_too_many_rejects_load_nothing(lake, tmp_path):
    write(lake, 2, ("a", 1), ("b", "TBD"))
    with pytest.raises(ess.RejectLimitError, match="nothing was published"):
        files(lake).all().load(URL, table="sales", rejects=0)
    assert not (tmp_path / "shop.duckdb").exists()
    assert files(lake).all().load(URL, table="sales", rejects="50%").rows_rejected == 1


def test_a_file_that_fails_is_raised_and_the_others_are_loaded(lake, tmp_path):
    path = lake / "f_20200104.csv.gz"
    good = path.read_bytes()
    path.write_bytes(good[:-5])
    with pytest.raises(ess.DataError, match=r"f_20200104.*\n.*the other 4 files are loaded"):
        files(lake).all().load(URL, table="sales")
    assert rows(tmp_path, "select count(*) from sales") == [(16,)]
    path.write_bytes(good)
    assert files(lake).all().load(URL, table="sales").files == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "shop.duckdb"}, "URL"),
        ({"table": "a.b.c"}, "not a table name"),
        ({"mode": "upsert"}, "needs a key"),
        ({"key": "k"}, "means nothing with mode append"),
        ({"mode": "append!"}, "append!"),
        ({"on_change": "skip"}, "on_change cannot be 'skip'"),
        ({"pipeline": "a b"}, "not a pipeline name"),
        ({"rejects": "many"}, "no limit"),
    ],
)
def test_a_load_that_cannot_be_is_refused(lake, tmp_path, changes, words):
    arguments = {"url": URL, "table": "sales"} | changes
    with pytest.raises(ess.UsageError, match=words):
        files(lake).all().load(arguments.pop("url"), **arguments)
    assert not (tmp_path / "shop.duckdb").exists()


def test_a_lake_that_is_not_there_loads_and_imports_nothing(lake, tmp_path):
    made = files(tmp_path / "gone").all()
    with pytest.raises(ess.UsageError, match="gone is not a folder"):
        made.load(URL, table="sales")
    with ess.connect(), pytest.raises(ess.UsageError, match="gone is not a folder"):
        made.into("t11.rows", key="k")


# --- Pipeline files

PIPELINE = """
name: shop
source: {store: ./lake, category: f, pattern: "f_*.gz", columns: {k: string, n: int32}}
clean:
  - sql: select * from records where n > 11
load: {to: "duckdb:///shop.duckdb", table: sales}
"""


def test_a_pipeline_file_is_planned_and_run(lake, tmp_path):
    (tmp_path / "shop.yaml").write_text(PIPELINE)
    plan = ess.plan_pipeline("shop.yaml", "2020-01-01", "2020-01-02")
    assert [len(plan.new), plan.table] == [2, "sales"]
    assert "CREATE TABLE" in plan._repr_html_()
    assert not (tmp_path / "shop.duckdb").exists()
    report = ess.run_pipeline(tmp_path / "shop.yaml", "2020-01-01", "2020-01-02")
    assert (report.rows_loaded, report.rows_dropped) == (6, 2)
    other = {"load.table": "other", "clean.0.sql": "select * from records where n = 11"}
    assert ess.run_pipeline("shop.yaml", overrides=other).rows_loaded == 1
    with pytest.raises(ess.ConfigError, match=r"load\.tables: unknown key"):
        ess.run_pipeline("shop.yaml", overrides={"load.tables": "x"})
    with pytest.raises(ess.ConfigError, match="no pipeline 'shap'"):
        ess.run_pipeline("shap")
    path = lake / "f_20200104.csv.gz"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ess.DataError, match=r"f_20200104.*\n.*the other 2 files are loaded"):
        ess.run_pipeline("shop.yaml")


def test_the_same_table_whatever_the_partitions_of_the_work(lake):
    with ess.connect():
        one = files(lake).all().into("t12.one", key="k")
        many = files(lake).all().using(batch_bytes=1, threads=3).into("t12.many", key="k")
        assert one.to_arrow().equals(many.to_arrow())
        assert one.to_arrow().num_rows == 20
        assert pa.types.is_int32(one.schema.field("n").type)


# --- From memory into a warehouse


def loaded(tmp_path):
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        return sorted(n for (n,) in connection.execute("select n from sales").fetchall())


def test_a_table_is_loaded_whole_and_once(lake, tmp_path):
    with ess.connect():
        table = files(lake).between("2020-01-01", "2020-01-02").into("l1.rows", key="k", sort="n")
        result = table.load(URL, table="sales")
        assert (result.rows_loaded, result.files) == (8, 2)
        again = table.load(URL, table="sales")
        assert (again.rows_loaded, again.already_done) == (0, 2)
    assert loaded(tmp_path) == expected(1, 2)
    assert not list((tmp_path.parent).rglob("stage/part-*"))


def test_a_grown_table_is_not_appended_but_replaces_what_it_loaded(lake, tmp_path):
    with ess.connect():
        table = files(lake).between("2020-01-01", "2020-01-02").into("l2.rows", key="k")
        table.load(URL, table="sales")
        grown = files(lake).between("2020-01-01", "2020-01-03").into("l2.rows", key="k")
        with pytest.raises(ess.ConflictError, match=r"rows of 2 file\(s\) .* memory:.*:l2\.rows"):
            grown.load(URL, table="sales")
        assert loaded(tmp_path) == expected(1, 2)
        result = grown.load(URL, table="sales", mode="replace")
        assert (result.rows_loaded, result.rows_deleted) == (12, 8)
        assert loaded(tmp_path) == expected(1, 2, 3)
        # What is new alone may be appended: its rows are nobody's yet.
        rest = files(lake).between("2020-01-04", "*").into("l2.rows", key="k")
        assert rest.load(URL, table="sales").rows_loaded == 8
    assert loaded(tmp_path) == expected(1, 2, 3, 4, 5)


def test_a_file_that_a_pipeline_loaded_is_not_loaded_again_from_memory(lake, tmp_path):
    files(lake).between("2020-01-01", "2020-01-01").load(URL, table="sales")
    with ess.connect():
        table = files(lake).between("2020-01-01", "2020-01-02").into("l3.rows", key="k")
        for mode in ("append", "replace"):
            with pytest.raises(ess.ConflictError, match=r"rows of 1 file\(s\) .* loaded by f: "):
                table.load(URL, table="sales", mode=mode)
        assert loaded(tmp_path) == expected(1)
        assert table.load(URL, table="sales", mode="upsert", key="n").rows_loaded == 8
    assert loaded(tmp_path) == expected(1, 2)


def test_a_pipeline_does_not_load_again_what_came_from_memory(lake, tmp_path):
    made = files(lake).between("2020-01-01", "2020-01-02")
    with ess.connect():
        made.into("l5.rows", key="k").load(URL, table="sales")
    for mode in ("append", "replace"):
        with pytest.raises(ess.ConflictError, match=r"rows of 2 file\(s\) .* by memory:"):
            made.load(URL, table="sales", mode=mode)
    assert loaded(tmp_path) == expected(1, 2)
    assert made.load(URL, table="other").rows_loaded == 8


def test_a_table_of_another_folder_is_another_table(lake, tmp_path, monkeypatch):
    with ess.connect():
        files(lake).between("2020-01-01", "2020-01-02").into("l6.rows", key="k").load(
            URL, table="sales"
        )
        monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path / "elsewhere"))
        small = files(lake).between("2020-01-02", "2020-01-02").into("l6.rows", key="k")
        with pytest.raises(ess.ConflictError, match=r"rows of 1 file\(s\)"):
            small.load(URL, table="sales", mode="replace")
    assert loaded(tmp_path) == expected(1, 2)


def test_an_empty_table_replaces_what_it_loaded(lake, tmp_path):
    with ess.connect():
        files(lake).all().into("l7.rows", key="k").load(URL, table="sales")
        with pytest.warns(ess.NoFilesWarning):
            nothing = files(lake).between("2021-01-01", "2021-01-02").into("l7.rows", key="k")
        assert nothing.load(URL, table="sales").rows_loaded == 0
        assert len(loaded(tmp_path)) == 20
        assert nothing.load(URL, table="sales", mode="replace").rows_deleted == 20
    assert loaded(tmp_path) == []


def test_what_changed_in_a_table_is_told(lake, tmp_path):
    with ess.connect():
        first = files(lake).between("2020-01-01", "2020-01-01").into("l8.rows", key="k")
        first.load(URL, table="sales", mode="upsert", key="n")
        again = (
            files(lake)
            .between("2020-01-01", "2020-01-01")
            .clean("select k, n + 1 as n from records")
        )
        table = again.into("l8.rows", key="k")
        with pytest.warns(UserWarning, match="another version of it"):
            assert table.load(URL, table="sales", mode="upsert", key="n").rows_loaded == 0
        write(lake, 1, ("new", 99))
        changed = files(lake).between("2020-01-01", "2020-01-01").into("l8.rows", key="k")
        with pytest.raises(ess.ConflictError, match="changed since they were loaded"):
            changed.load(URL, table="sales", mode="upsert", key="n")
        assert changed.load(URL, table="sales", mode="replace").rows_loaded == 1
    assert loaded(tmp_path) == [99]


def test_a_bad_load_of_a_table_is_refused(lake):
    with ess.connect():
        table = files(lake).all().into("l4.rows", key="k")
        with pytest.raises(ess.EssError, match="key"):
            table.load(URL, table="sales", mode="upsert")
        with pytest.raises(ess.EssError, match="not a table name"):
            table.load(URL, table="a.b.c")
        with pytest.raises(ess.EssError):
            table.load("nowhere", table="sales")
