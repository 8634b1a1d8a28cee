"""Categories: adding, probing, changing; what an error leaves behind."""

import gzip
import io
import os
import zipfile

import pytest

from ess_dask.catalog.categories import (
    add_category,
    change_category,
    copy_category,
    delete_category,
    probe_category,
    sample_category,
)
from ess_dask.catalog.datastores import is_source, make_datastore
from ess_dask.catalog.dates import compile_dates
from ess_dask.catalog.index import open_catalog
from ess_dask.catalog.model import Category, Datastore
from ess_dask.catalog.probing import preprocess, read_sample
from ess_dask.catalog.registry import (
    current_store,
    find_category,
    find_store,
    forget_store,
    refresh,
    registered,
    select_registered,
    select_store,
)
from ess_dask.catalog.selection import select_files
from ess_dask.catalog.statistics import statistics
from ess_dask.errors import CleanError, ConfigError, ReadError, UsageError

ROWS = b"day,user,price,ip\n" + b"2014-09-01,4084,2.5,10.0.0.1\n" * 50
SPEC = "S:day I:user F:price IP:ip"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / ".ess"))


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    for day in (1, 2):
        (folder / f"sales_2014090{day}.csv.gz").write_bytes(gzip.compress(ROWS))
    (folder / "sales_00000000.csv.gz").write_bytes(b"")
    return Datastore("lake", str(folder))


@pytest.fixture
def catalog(store):
    with open_catalog() as opened:
        select_store(opened, store)
        yield opened


SALES = Category("sales", ("*sales*",))


def test_add_indexes_and_probes_the_first_file_that_holds_something(catalog, store):
    added = add_category(catalog, store, SALES)
    assert (added.files, added.undated, added.kept) == (3, 1, False)
    kept = find_category(catalog, store, "sales").category
    assert (kept.columnspec, kept.delimiter, kept.header) == (SPEC, ",", True)


def test_what_is_stated_wins_over_what_is_probed(catalog, store):
    stated = Category("s", ("*sales*",), columnspec="S:a S:b S:c S:d", delimiter="|", header=False)
    kept = add_category(catalog, store, stated).category
    assert (kept.columnspec, kept.delimiter, kept.header) == ("S:a S:b S:c S:d", "|", False)


@pytest.mark.parametrize("letter", ["S", "X"])
def test_all_columns_of_one_letter(catalog, store, letter):
    kept = add_category(catalog, store, SALES, letter=letter).category
    assert kept.columnspec == f"{letter}:day {letter}:user {letter}:price {letter}:ip"


def test_noprobe_indexes_only(catalog, store):
    added = add_category(catalog, store, SALES, probe=False)
    assert added.files == 3
    assert added.category.columnspec == ""


def test_an_existing_category_stays_as_it_is_without_overwrite(catalog, store):
    add_category(catalog, store, SALES)
    change_category(catalog, store, "columnspec", "sales", "S:mine")
    again = add_category(catalog, store, Category("sales", ("*other*",)))
    assert again.kept
    assert again.category.columnspec == "S:mine"
    replaced = add_category(catalog, store, SALES, overwrite=True)
    assert replaced.category.columnspec == SPEC


def test_a_pattern_that_matches_nothing_is_kept(catalog, store):
    assert add_category(catalog, store, Category("none", ("*nothing*",))).files == 0
    assert find_category(catalog, store, "none")


@pytest.mark.parametrize(
    "bad",
    [
        Category("two words", ("*",)),
        Category("", ("*",)),
        Category("c", ("*",), dateregex="[:%Q:]"),
        Category("c", ("*",), columnspec="Q:a"),
    ],
)
def test_a_bad_category_is_not_registered(catalog, store, bad):
    with pytest.raises(UsageError):
        add_category(catalog, store, bad)
    assert catalog.categories("lake") == []


def test_a_file_that_cannot_be_probed_registers_nothing(catalog, store):
    with open(f"{store.root}/sales_20140901.csv.gz", "r+b") as file:
        file.truncate(40)
    with pytest.raises(ReadError, match="20140901"):
        add_category(catalog, store, SALES)
    assert catalog.categories("lake") == []
    add_category(catalog, store, SALES, probe=False)


def test_a_failed_overwrite_leaves_the_old_category(catalog, store):
    before = add_category(catalog, store, SALES).category
    broken = Category("sales", ("*sales*",), preprocess="exit 7")
    with pytest.raises(CleanError, match="status 7"):
        add_category(catalog, store, broken, overwrite=True)
    assert find_category(catalog, store, "sales").category == before


def test_preprocess_is_applied_before_probing(catalog, store):
    wanted = Category("s", ("*sales*",), preprocess="cut -d, -f1,2")
    assert add_category(catalog, store, wanted).category.columnspec == "S:day I:user"


def test_preprocess_fails_with_the_tail_of_what_it_said():
    assert preprocess(b"abc", "tr a-z A-Z") == b"ABC"
    with pytest.raises(CleanError, match="oh no"):
        preprocess(b"", "echo oh no >&2; false")
    with pytest.raises(CleanError, match="status"):
        preprocess(b"x", "false | cat")


def test_a_sample_is_cut_at_a_line(store):
    file = select_files(store, SALES).files[0]
    sample = read_sample(store, SALES, file, 100)
    assert len(sample) <= 100
    assert sample.endswith(b"\n")
    assert ROWS.startswith(sample)
    assert read_sample(store, SALES, file) == ROWS


def test_a_sample_of_an_archive_is_its_first_member_that_is_picked_and_not_empty(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.txt", "not this")
        archive.writestr("begun.csv", "")
        archive.writestr("data.csv", ROWS)
    (tmp_path / "a.zip").write_bytes(packed.getvalue())
    store = Datastore("z", str(tmp_path))
    category = Category("z", ("a.zip",), archive="*.csv")
    assert read_sample(store, category, select_files(store, category).files[0]) == ROWS


def test_change(catalog, store):
    add_category(catalog, store, SALES)
    for field, value in (
        ("columnspec", "S:a I:b"),
        ("dateregex", "[:%Y:][:%m:]"),
        ("comment", "it's mine"),
        ("usecache", "on"),
    ):
        change_category(catalog, store, field, "sales", value)
    category = find_category(catalog, store, "sales").category
    assert (category.columnspec, category.dateregex) == ("S:a I:b", "[:%Y:][:%m:]")
    assert (category.comment, category.usecache) == ("it's mine", True)
    change_category(catalog, store, "dateformat", "sales", "YMD")
    changed = find_category(catalog, store, "sales").category.dateregex
    assert str(compile_dates(changed).find("sales_20140901.csv")) == "2014-09-01 00:00:00"


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [("pattern", "x", UsageError), ("dateregex", "[:%Q:]", UsageError),
     ("columnspec", "Q:x", ConfigError), ("usecache", "maybe", UsageError)],
)  # fmt: skip
def test_a_bad_change_changes_nothing(catalog, store, field, value, error):
    before = add_category(catalog, store, SALES).category
    with pytest.raises(error):
        change_category(catalog, store, field, "sales", value)
    assert find_category(catalog, store, "sales").category == before


def test_copy_and_delete(catalog, store):
    add_category(catalog, store, SALES)
    copy_category(catalog, store, "sales", "twin")
    twin = find_category(catalog, store, "twin")
    assert twin.category.columnspec == SPEC
    assert statistics(catalog, store, twin).count == 3
    with pytest.raises(UsageError, match="exists already"):
        copy_category(catalog, store, "sales", "twin")
    delete_category(catalog, store, "sales")
    with pytest.raises(UsageError, match="known are: twin"):
        find_category(catalog, store, "sales")
    with pytest.raises(UsageError):
        delete_category(catalog, store, "sales")


def test_probe_again(catalog, store):
    add_category(catalog, store, Category("s", ("*sales*",), columnspec="S:x"))
    sample = sample_category(catalog, store, "s", None, 1000)
    assert probe_category(catalog, store, "s", sample).columnspec == SPEC
    assert find_category(catalog, store, "s").category.columnspec == SPEC
    named = sample_category(catalog, store, "s", "sales_20140902.csv.gz", 1000)
    assert ROWS.startswith(named)


def test_a_sample_of_nothing(catalog, store):
    add_category(catalog, store, Category("e", ("*nothing*",)))
    with pytest.raises(UsageError, match="no file of category e"):
        sample_category(catalog, store, "e", None, 10)


def test_files_are_listed_anew_at_each_use_unless_usecache(catalog, store):
    add_category(catalog, store, SALES)
    (late := f"{store.root}/sales_20140831.csv.gz")
    with open(late, "wb") as file:
        file.write(gzip.compress(ROWS))
    _, _, selection = select_registered("sales", "2014-08-01", "*")
    assert selection.files[0].uri == late
    change_category(catalog, store, "usecache", "sales", "on")
    os.unlink(late)
    assert len(select_registered("sales")[2].files) == 4
    refresh(catalog, store, find_category(catalog, store, "sales"))
    assert len(select_registered("sales")[2].files) == 3


def test_a_registered_selection_equals_one_without_a_register(catalog, store):
    add_category(catalog, store, SALES)
    for bounds in (("*", "*"), ("2014-09-02", "*"), ("2014-09-01", "2014-09-01")):
        for more in ({}, {"exclude": ("*0902*",)}, {"limit": 1}):
            _, _, selection = select_registered("sales", *bounds, **more)
            assert selection == select_files(store, SALES, *bounds, **more)


def test_statistics(catalog, store):
    figures = statistics(catalog, store, add_and_find(catalog, store, SALES))
    assert (figures.count, figures.undated) == (3, 1)
    assert (f"{figures.first:%d}", f"{figures.last:%d}") == ("01", "02")
    empty = statistics(catalog, store, add_and_find(catalog, store, Category("e", ("*zz*",))))
    assert (empty.count, empty.size, empty.first) == (0, 0, None)
    undated = Category("u", ("*0000*",))
    assert statistics(catalog, store, add_and_find(catalog, store, undated)).first.year == 1970


def add_and_find(catalog, store, category):
    add_category(catalog, store, category)
    return find_category(catalog, store, category.name)


def test_local_is_wherever_you_are_but_its_categories_stay(tmp_path, store, monkeypatch):
    monkeypatch.chdir(store.root)
    with open_catalog() as catalog:
        select_store(catalog, make_datastore("local"))
        add_category(catalog, find_store(catalog), SALES)
        monkeypatch.chdir(tmp_path)
        assert find_store(catalog).root == str(tmp_path)
        assert len(select_registered("sales")[2].files) == 3
        assert registered("sales")[1].patterns == (f"{store.root}/*sales*",)


def test_no_datastore_and_unknown_ones(tmp_path):
    with pytest.raises(UsageError, match="no datastore is selected"):
        current_store()
    with open_catalog() as catalog:
        select_store(catalog, Datastore("lake", str(tmp_path)))
        with pytest.raises(UsageError, match="unknown datastore 'x'"):
            find_store(catalog, "x")
        assert forget_store(catalog, "lake")
        assert not forget_store(catalog, "lake")
        with pytest.raises(UsageError, match="no datastore is selected"):
            find_store(catalog)


@pytest.mark.parametrize(
    ("source", "message"),
    [("blob://x", "not supported"), ("gs://x", "not supported"), ("/no/such/folder", "neither"),
     ("s3://", "names no bucket"), ("s3://a b", "names no bucket")],
)  # fmt: skip
def test_what_is_no_datastore(source, message):
    with pytest.raises(UsageError, match=message):
        make_datastore(source)


def test_a_bucket_with_a_prefix():
    store = make_datastore("s3://bucket/x/", profile="me", region="eu-west-1")
    assert store == Datastore("bucket/x", "s3://bucket/x", "eu-west-1", "profile:me")


def test_references_that_do_not_fit(tmp_path):
    with pytest.raises(UsageError, match="exclude each other"):
        make_datastore("s3://b", profile="p", credentials="c.csv")
    with pytest.raises(UsageError, match="takes no credentials"):
        make_datastore(str(tmp_path), profile="p")
    with pytest.raises(ConfigError, match=r"nosuch\.csv"):
        make_datastore("s3://b", credentials="nosuch.csv")


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", b"Access Key Id,Secret Access Key\n", b"\xff\xfe\x00",
     b"User Name,Access Key Id,Secret Access Key\nme,AKIA,\n"],
)  # fmt: skip
def test_a_file_that_is_no_credentials_file(tmp_path, content):
    path = tmp_path / "keys.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a credentials file") as caught:
        make_datastore("s3://b", credentials=str(path))
    assert "AKIA" not in str(caught.value)


def test_what_is_a_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("folder")
    places = ["local", "s3://b", "./x", "/x", "folder"]
    assert [is_source(text) for text in (*places, "label")] == [True] * 5 + [False]
