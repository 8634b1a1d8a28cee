"""A selection: nothing happens before it is asked for, and what comes out is exact."""

import dataclasses
import datetime as dt
import gzip
import io
import re
import warnings
import zipfile

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import ess_dask as ess
from ess_dask.records.chunk import REJECT_FIELDS

COLUMNS = {"at": "timestamp", "user": "string", "n": "int32"}
SCHEMA = {"at": "timestamp", "user": "string", "n": "int32"}


def write(folder, name, *rows):
    folder.mkdir(exist_ok=True)
    text = "at,user,n\n" + "".join(f"2020-01-01 00:00:00,{row}\n" for row in rows)
    (folder / name).write_bytes(gzip.compress(text.encode(), mtime=0))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "home" / "ess"))
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path / "home" / "conf"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def lake(home):
    folder = home / "lake"
    for day in range(1, 6):
        write(folder, f"log_202001{day:02d}.csv.gz", *(f"u{day},{day * 10 + i}" for i in range(3)))
    return folder


@pytest.fixture
def log(lake):
    return ess.select(lake).category("log", "log_*.csv.gz", columns=COLUMNS)


def numbers(selection):
    return selection.to_arrow()["n"].to_pylist()


# --- Lazy and immutable


def test_nothing_is_looked_at_before_it_is_asked_for(home):
    folder = home / "later"
    selection = (
        ess.select(str(folder))
        .category("log", "*.gz", columns=COLUMNS)
        .between("2020-01-01", "2020-01-31")
        .clean("select n from records")
        .with_file("file_uri")
        .using(threads=1)
    )
    assert selection.columns == {"n": "int32"}
    for ask in (selection.files, selection.plan, selection.head, selection.to_arrow):
        with pytest.raises(ess.UsageError, match="later is not a folder"):
            ask()
    stream = ess.select(folder).category("log", "*.gz", columns=COLUMNS).all().stream()
    with pytest.raises(ess.UsageError, match="is not a folder"):
        next(stream)
    write(folder, "log_20200103.gz", "a,1")
    assert numbers(selection) == [1]
    write(folder, "log_20200104.gz", "a,2")
    assert numbers(selection) == [1, 2]


def test_every_method_leaves_the_selection_as_it_is(log):
    whole = log.all()
    before = dataclasses.replace(whole)
    changed = [
        whole.between("2020-01-02"),
        whole.clean("select * from records where n > 0"),
        whole.with_file("file_date"),
        whole.using(batch_bytes=1),
    ]
    assert whole == before
    assert all(each != whole for each in changed)
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole.lower = "2020"


def test_select_takes_labels_paths_and_buckets(lake, home):
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import select_store

    with open_catalog() as catalog:
        select_store(catalog, ess.select(lake).store)
    assert repr(ess.select("lake")) == f"<Lake {lake}>"
    assert repr(ess.select("s3://bucket/some/prefix/")) == "<Lake s3://bucket/some/prefix>"
    with pytest.raises(ess.UsageError, match=r"unknown datastore 'lak'"):
        ess.select("lak")
    with pytest.raises(ess.UsageError, match="blob:// is not supported"):
        ess.select("blob://container")
    with pytest.raises(ess.UsageError, match="exclude each other"):
        ess.select("s3://bucket", profile="a", credentials="b.csv")
    with pytest.raises(ess.UsageError, match="takes no credentials"):
        ess.select(lake, profile="a")


# --- Categories


def test_columns_are_checked_when_they_are_given(lake):
    made = ess.select(lake)
    with pytest.raises(ess.ConfigError, match="column 'n': unknown type 'int33'"):
        made.category("log", "*", columns={"n": "int33"})
    with pytest.raises(ess.ConfigError, match="bad column 'Q:n'"):
        made.category("log", "*", columns="Q:n")
    with pytest.raises(ess.ConfigError, match=r"columns cannot be \['n'\]"):
        made.category("log", "*", columns=["n"])
    with pytest.raises(ess.ConfigError, match="column 'n': unknown type '5'"):
        made.category("log", "*", columns={"n": 5})
    with pytest.raises(ess.ConfigError, match="no column is declared"):
        made.category("log", "*", columns={})
    with pytest.raises(ess.UsageError, match="columns is not given"):
        made.category("log", "*")
    with pytest.raises(ess.UsageError, match="pattern is not given"):
        made.category("log", columns=COLUMNS)
    with pytest.raises(ess.UsageError, match="has no pattern"):
        made.category("log", [], columns=COLUMNS)
    with pytest.raises(ess.UsageError, match="category name"):
        made.category("my log", "*", columns=COLUMNS)


def test_an_essentia_columnspec_reads_blanks_as_zero(home):
    write(home / "lake", "log_20200101.gz", "a,", ",5")
    category = ess.select(home / "lake").category("log", "*.gz", columns="X:at S:user I:n")
    assert category.all().to_arrow().to_pylist() == [{"user": "a", "n": 0}, {"user": "", "n": 5}]
    assert category.between("1999", "2000").head().columns.tolist() == ["user", "n"]


def register(folder, name, **fields):
    from ess_dask.catalog.categories import add_category
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.model import Category
    from ess_dask.catalog.registry import select_store

    store = ess.select(folder).store
    with open_catalog() as catalog:
        select_store(catalog, dataclasses.replace(store, label="shop"))
        store = dataclasses.replace(store, label="shop")
        return add_category(catalog, store, Category(name, ("log_*.gz",), **fields)).category


def test_a_registered_category_is_found_by_its_name(lake):
    added = register(lake, "log")
    register(lake, "early", preprocess="head -n 2")
    made = ess.select(lake)
    assert made.categories() == ("early", "log")
    assert "S:user" in added.columnspec
    table = made.category("log").between("2020-01-02", "2020-01-03").to_arrow()
    assert table["n"].to_pylist() == [20, 21, 22, 30, 31, 32]
    assert numbers(made.category("early").all()) == [10, 20, 30, 40, 50]
    with pytest.raises(ess.UsageError, match=r"unknown category 'logs'.*\n.*early, log"):
        made.category("logs")


def test_a_category_with_a_cached_index_is_not_listed_again(lake):
    register(lake, "log", usecache=True)
    write(lake, "log_20200106.csv.gz", "u6,60")
    assert len(ess.select(lake).category("log").all().files()) == 5


def test_a_registered_category_without_columns_says_what_to_do(home):
    (home / "lake").mkdir()
    register(home / "lake", "log")
    with pytest.raises(ess.UsageError, match=r"has no columns\n.*ess probe log"):
        ess.select(home / "lake").category("log")


def test_what_a_terminal_shows_is_short_and_looks_at_nothing(home):
    category = ess.select(home / "gone").category("log", "log_*.gz", columns=COLUMNS)
    assert repr(category) == f"<LakeCategory log in {home / 'gone'}: log_*.gz>"
    made = category.between("2020", "*").clean("select * from records", len)
    assert repr(made) == "<Selection log | 2020 to * | sql: select * from records | python: len>"
    assert repr(category.all()) == "<Selection log>"


def test_a_category_gives_rows_without_a_range(log):
    assert log.head(2)["n"].tolist() == [10, 11]
    assert log.clean("select n from records").count() == 15
    plan = repr(log.all().plan())
    assert "5 files" in plan
    assert "1 batches" not in plan
    assert repr(log.all().collect()) == "<Collected: 15 rows, 0 rejected>"


# --- Ranges


def test_ranges_narrow_whatever_their_order_and_form(log):
    days = lambda selection: [file.date.day for file in selection.files()]  # noqa: E731
    assert days(log.all()) == [1, 2, 3, 4, 5]
    assert days(log.between("2020-01-02", "2020-01-04").between("2020-01-03")) == [3, 4]
    assert days(log.between("2020-01-03").between("2020-01-01", "2020-01-04")) == [3, 4]
    assert days(log.between("2020").between("*", "2020-01-02")) == [1, 2]
    assert days(log.between("2020-01-02", "2020-01").between("2020", "2021")) == [2, 3, 4, 5]
    assert days(log.between(dt.date(2020, 1, 2), dt.date(2020, 1, 3))) == [2, 3]
    assert days(log.between(dt.datetime(2020, 1, 4, 5))) == [4, 5]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("outer", "inner", "words"),
    [
        (("*", "*"), ("2020-02-01", "2020-01-01"), "is after"),
        (("*", "2020-01-02"), ("2020-01-03", "*"), "is after"),
        (("*", "*"), ("2020-13-01", "*"), "is not a date"),
        (("*", "*"), ("yesterday", "*"), "is not a date"),
    ],
)
def test_ranges_that_cannot_be_are_refused_at_once(log, outer, inner, words):
    with pytest.raises(ess.UsageError, match=words):
        log.between(*outer).between(*inner)


# --- Cleaning


def test_steps_run_in_order_and_shell_comes_first(log):
    def twice(frame):
        return frame.assign(n=frame["n"] * 2)

    made = log.all().clean(ess.shell("grep -v u3"), twice, "select * from records where n > 40")
    assert numbers(made) == [42, 44, 80, 82, 84, 100, 102, 104]
    assert numbers(log.all().clean(twice).clean(twice).between("2020-01-01", "2020-01-01")) == [
        40, 44, 48,
    ]  # fmt: skip
    with pytest.raises(ess.UsageError, match=r"comes after a step on rows\n.*put them first"):
        log.all().clean(twice, ess.shell("cat"))
    with pytest.raises(ess.ConfigError, match="per: file"):
        log.all().clean("select count(*) from records")
    counted = log.all().clean(ess.sql("select count(*) as c from records", per="file"))
    assert counted.to_arrow()["c"].to_pylist() == [3] * 5


@pytest.mark.parametrize(
    "given",
    [
        {"encoding": "klingon"},
        {"encoding": "rot13"},
        {"encoding": "undefined"},
        {"delimiter": ";;"},
        {"compression": "rar"},
        {"extra_columns": "evolve"},
    ],
    ids=lambda given: "-".join(map(str, *given.items())),
)
def test_what_no_file_can_be_read_by_is_told_when_it_is_given(lake, given):
    (value,) = given.values()
    with pytest.raises(ess.ConfigError, match=repr(value)):
        ess.select(lake).category("log", "log_*", columns=COLUMNS, **given)


def test_a_shell_step_runs_on_each_member_of_an_archive(home):
    (home / "zips").mkdir()
    with zipfile.ZipFile(home / "zips" / "z_20200101.zip", "w") as archive:
        archive.writestr("a.csv", "user,n\n1,2\n3,4")
        archive.writestr("b.csv", "n,user\n6,5\nbad,7\n")
        archive.writestr("c.csv", "")
    found = ess.select(home / "zips").category("z", "z_*", columns={"user": "string", "n": "int32"})
    rows = [("1", 2), ("3", 4), ("5", 6)]
    for made in (
        found.all(),
        found.all().clean(ess.shell("cat"), ess.shell("grep -v nothing || :")),
    ):
        with pytest.warns(ess.RejectWarning):
            assert [tuple(row.values()) for row in made.to_arrow().to_pylist()] == rows
        (reject,) = made.rejects().to_dict("records")
        assert (reject["member"], reject["line"], reject["raw"]) == ("b.csv", 3, b"bad,7")


@pytest.mark.parametrize("step", [5, None, ["select 1"]])
def test_what_is_no_cleaning_step_is_told_when_it_is_given(log, step):
    with pytest.raises(ess.UsageError, match=r"is no cleaning step\n.*ess\.shell"):
        log.all().clean(step)
    with pytest.raises(ess.UsageError, match="is no function"):
        ess.python("cleaning:put_right")
    for step_of in (ess.sql, ess.python, ess.aq):
        with pytest.raises(ess.ConfigError, match="per must be batch or file, not 'files'"):
            step_of(len, per="files")
    with pytest.raises(ess.ConfigError, match=r"not 0 statements\n.*write: select"):
        log.all().clean("  ")


@pytest.mark.parametrize("value", [pd.Series([1]), pl.Series([1]), {"n": 1}, [1], 5, None])
def test_what_is_no_frame_is_told(lake, value):
    with pytest.raises(ess.UsageError, match=r"this is no frame: .*\n.*give a pandas"):
        ess.select(lake).sql("select * from this", this=value)


def test_a_column_that_is_not_there_is_told_without_reading(log):
    with pytest.raises(ess.ConfigError, match="nn"):
        _ = log.all().clean("select nn from records").schema


def test_files_as_columns(log):
    made = log.between("2020-01-02", "2020-01-02").with_file("file_date").with_file("file_uri")
    row = made.to_arrow().to_pylist()[0]
    assert row["file_date"] == dt.date(2020, 1, 2)
    assert row["file_uri"].endswith("log_20200102.csv.gz")
    with pytest.raises(ess.UsageError, match="no such file column: file_name"):
        log.all().with_file("file_name")
    with pytest.raises(ess.UsageError, match="a column file_date already"):
        made.with_file("file_date")


# --- Rows


def test_rows_in_every_form_are_the_same(log):
    made = log.between("2020-01-01", "2020-01-04")
    arrow = made.to_arrow()
    assert arrow.num_rows == 12
    assert made.columns == SCHEMA
    assert made.schema == arrow.schema
    assert isinstance(made.to_polars(), pl.DataFrame)
    assert made.to_polars().to_arrow().cast(arrow.schema).equals(arrow)
    frame = made.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert pa.Table.from_pandas(frame, schema=arrow.schema, preserve_index=False).equals(arrow)
    assert made.count() == 12
    parts = made.fold(lambda table: [table["n"].to_pylist()], list)
    assert [n for each in parts for values in each for n in values] == numbers(made)
    assert made.collect().table.equals(arrow)


def test_a_bag_has_the_rows_of_to_arrow(log):
    for made in (log.all(), log.all().using(batch_bytes=1), log.between("2021")):
        tables = made.to_bag().compute(scheduler="threads")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ess.NoFilesWarning)
            assert pa.concat_tables(tables).equals(made.to_arrow()) if tables else not numbers(made)


def test_head_reads_no_more_files_than_it_needs(log, lake):
    (lake / "log_20200103.csv.gz").write_bytes(b"\x1f\x8b broken")
    assert log.all().head(5)["n"].tolist() == [10, 11, 12, 20, 21]
    assert len(log.all().head(0)) == 0
    with pytest.raises(ess.DataError, match="log_20200103"):
        log.all().head(7)


def test_an_empty_selection_has_the_right_columns_and_warns(log):
    nothing = log.between("2021").clean("select user, n * 2 as twice from records")
    with pytest.warns(ess.NoFilesWarning, match=r"no file in .*matches log_\*"):
        frame = nothing.to_pandas()
    assert (len(frame), frame.columns.tolist()) == (0, ["user", "twice"])
    assert nothing.head().columns.tolist() == ["user", "twice"]
    with pytest.warns(ess.NoFilesWarning):
        assert nothing.to_arrow().schema == nothing.schema
    with pytest.warns(ess.NoFilesWarning):
        assert nothing.count() == 0
    with pytest.warns(ess.NoFilesWarning):
        assert nothing.rejects().columns.tolist() == list(REJECT_FIELDS)
    assert nothing.files() == ()
    assert b"".join(log.between("2021").stream()) == b""


def test_rejected_rows_are_warned_of_and_kept(log, lake):
    write(lake, "log_20200102.csv.gz", "a,1", "b,TBD", "c,3")
    with pytest.warns(ess.RejectWarning, match=r"1 row was rejected; see \.rejects\(\)") as caught:
        table = log.all().to_arrow()
    assert table.num_rows == 14
    assert caught[0].filename == __file__
    rejected = log.all().rejects().to_dict("records")
    assert [(row["line"], row["column"], row["reason"]) for row in rejected] == [
        (3, "n", "not an int32: 'TBD'")
    ]
    assert rejected[0]["uri"].endswith("log_20200102.csv.gz")
    assert rejected[0]["raw"].rstrip() == b"2020-01-01 00:00:00,b,TBD"


@pytest.mark.parametrize(
    "ask", ["to_arrow", "to_pandas", "to_polars", "collect", "count", "rejects"]
)
def test_a_file_that_fails_is_named(log, lake, ask):
    path = lake / "log_20200104.csv.gz"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ess.DataError, match="log_20200104") as caught:
        getattr(log.all(), ask)()
    assert str(caught.value).count("log_20200104") == 1
    with pytest.raises(ess.DataError, match="log_20200104"):
        log.all().to_bag().compute(scheduler="threads")


def test_a_function_that_raises_names_file_and_line(log):
    def fragile(frame):
        if (frame["n"] == 41).any():
            raise ValueError("no 41 please")
        return frame

    with pytest.raises(ess.DataError, match=r"no 41 please.*log_20200104\.csv\.gz, line 3"):
        log.all().clean(fragile).to_arrow()


# --- Bytes


def test_files_stream_through_a_command_in_order(log, lake):
    lines = b"".join(log.between("2020-01-02", "2020-01-03").stream("tail -n 1")).splitlines()
    assert lines == [b"2020-01-01 00:00:00,u2,22", b"2020-01-01 00:00:00,u3,32"]
    target = io.BytesIO()
    report = log.all().stream("echo %file", target)
    assert (report.files, report.selected, report.failed) == (5, 5, ())
    assert target.getvalue().split()[0] == b"log_20200101.csv"
    whole = b"".join(log.between("2020-01-01", "2020-01-01").stream())
    assert whole == gzip.decompress((lake / "log_20200101.csv.gz").read_bytes())


def test_a_command_that_fails_raises_or_is_reported(log):
    command = "grep -q u3 && exit 7; echo fine"
    with pytest.raises(ess.DataError, match=r"log_20200103.*7"):
        list(log.all().stream(command))
    target = io.BytesIO()
    report = log.all().stream(command, target)
    assert [uri.endswith("log_20200103.csv.gz") for uri, _, _ in report.failed] == [True]
    assert target.getvalue() == b"fine\n" * 4
    assert report.exit_code == 3


def test_a_stream_may_be_left_early_and_takes_no_steps(log):
    stream = log.all().stream()
    assert next(stream)
    stream.close()
    with pytest.raises(ess.UsageError, match=r"has cleaning steps\n.*before clean"):
        log.all().clean("select * from records").stream()


# --- In a notebook


HOSTILE = "log_20200101 <script>alert(1)</script>&\"'.gz"


def test_html_is_compact_and_escaped(home):
    folder = home / "<b>lake"
    folder.mkdir()
    hostile = folder / HOSTILE.replace("/", "_")
    write(folder, hostile.name, "a,1")
    lake = ess.select(folder)
    category = lake.category("<i>log", "*<script>*.gz", columns={"<u>n": "int32"}, header=False)
    selection = category.all().clean('select "<u>n" as "<u>m" from records')
    for shown in (lake, category, selection, selection.plan()):
        html = shown._repr_html_()
        assert "&lt;" in html
        assert not re.search(r"<(script|i|b>lake|u)>", html)
        assert "http" not in html
        assert html.startswith("<div><b>")
        assert html.count("<table>") == html.count("</table>")
    assert "2020-01-01" in selection._repr_html_()
    assert "int32" in selection._repr_html_()


def test_the_calendar_of_a_selection_tells_files_and_bytes_of_a_day(home):
    folder = home / "lake"
    folder.mkdir()
    for name, size in (("log_20200101_a", 20), ("log_20200101_b", 4), ("log_20200102", 3)):
        (folder / name).write_bytes(b"." * size)
    html = ess.select(folder).category("log", "*", columns=COLUMNS)._repr_html_()
    assert "<title>2020-01-01: 2 files, 24 B</title>" in html
    assert "<title>2020-01-02: 1 file, 3 B</title>" in html


def test_html_of_what_cannot_be_listed_says_so(home):
    shown = ess.select(home / "gone").category("log", "*", columns=COLUMNS)._repr_html_()
    assert "gone is not a folder" in shown


def test_a_name_that_is_no_unicode_is_shown(home):
    import os

    folder = home / "lake"
    folder.mkdir()
    (folder / os.fsdecode(b"log_\xff.gz")).write_bytes(b"")
    html = ess.select(folder).category("log", "*", columns=COLUMNS).all().plan()._repr_html_()
    assert html.encode()


def test_html_of_rows_and_account(log):
    shown = log.all().collect()._repr_html_()
    assert "<td style='text-align:left'>15</td>" in shown
    assert "timestamp" in shown
