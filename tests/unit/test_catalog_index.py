"""The catalogue on disk: what it keeps, who may read it, migrations and broken disks."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from ess_dask.catalog.index import Difference, open_catalog
from ess_dask.catalog.migrations import STEPS, migrate
from ess_dask.catalog.model import Category, Datastore, FileRef, WarehouseCluster
from ess_dask.errors import ConfigError, EssError

LAKE = Datastore("lake", "s3://lake", "eu-west-1", "profile:me", "http://127.0.0.1:1")
CATEGORY = Category("p", ("*a*", "b c"), exclude=("x",), header=False, columnspec="S:a")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.db"


def test_datastores_and_categories_come_back_equal(path):
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        catalog.put_category("lake", CATEGORY)
    with open_catalog(path) as catalog:
        assert catalog.datastores() == [LAKE]
        assert catalog.datastore("lake") == LAKE
        found = catalog.category("lake", "p")
        assert found.category == CATEGORY
        assert [i.category.name for i in catalog.categories("lake")] == ["p"]


def test_unknown_names_are_none(path):
    with open_catalog(path) as catalog:
        assert catalog.datastore("x") is None
        assert catalog.category("x", "y") is None
        assert not catalog.delete_datastore("x")
        assert not catalog.delete_category("x", "y")
        assert catalog.setting("x") == ""


def test_a_category_needs_its_datastore(path):
    with pytest.raises(EssError), open_catalog(path) as catalog:
        catalog.put_category("nosuch", CATEGORY)


def test_purging_a_datastore_takes_its_categories_and_their_files(path):
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        number = catalog.put_category("lake", CATEGORY).number
        catalog.refresh(number, [FileRef("/a", None, 1, "e")])
        assert catalog.delete_datastore("lake")
        assert catalog.category("lake", "p") is None
        assert list(catalog.files(number)) == []


def test_changing_a_datastore_keeps_its_categories(path):
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        catalog.put_category("lake", CATEGORY)
        catalog.put_datastore(Datastore("lake", "s3://lake", "us-east-1"))
        assert catalog.datastore("lake").region == "us-east-1"
        assert catalog.category("lake", "p") is not None


def test_changing_a_category_keeps_its_index(path):
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        number = catalog.put_category("lake", CATEGORY).number
        catalog.refresh(number, [FileRef("/a", None, 1, "e")])
        assert catalog.put_category("lake", CATEGORY).number == number
        assert len(list(catalog.files(number))) == 1


def test_refresh_by_difference(path):
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        number = catalog.put_category("lake", CATEGORY).number
        listed = [FileRef(uri, None, 1, "1") for uri in "abc"]
        assert catalog.refresh(number, listed) == Difference(new=3)
        assert catalog.refresh(number, listed) == Difference()
        listed = [FileRef("a", None, 1, "2"), FileRef("b", None, 1, "1"), FileRef("d", None, 1, "")]
        assert catalog.refresh(number, listed) == Difference(new=1, changed=1, deleted=1)
        assert list(catalog.files(number)) == listed


def test_a_listing_that_fails_changes_nothing(path):
    def breaking():
        yield FileRef("/new", None, 1, "e")
        raise RuntimeError("network")

    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        number = catalog.put_category("lake", CATEGORY).number
        old = [FileRef("/old", None, 1, "e")]
        catalog.refresh(number, old)
        with pytest.raises(RuntimeError):
            catalog.refresh(number, breaking())
        assert list(catalog.files(number)) == old
        assert catalog.refresh(number, old) == Difference()


def test_categories_have_separate_indexes(path):
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        one = catalog.put_category("lake", CATEGORY).number
        two = catalog.put_category("lake", Category("q", ("*",))).number
        catalog.refresh(one, [FileRef("/a", None, 1, "e")])
        catalog.refresh(two, [FileRef("/b", None, 1, "e")])
        assert [f.uri for f in catalog.files(one)] == ["/a"]


def test_names_that_are_not_text(path):
    odd = FileRef(os.fsdecode(b"/\xff\n'\"\x01"), None, 1, "e")
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        number = catalog.put_category("lake", Category("c", ("\udcff*",))).number
        catalog.refresh(number, [odd])
        assert list(catalog.files(number)) == [odd]
        assert catalog.category("lake", "c").category.patterns == ("\udcff*",)


def test_the_file_is_private(path):
    with open_catalog(path) as catalog:
        catalog.remember("a", "b")
        for file in path.parent.glob("catalog.db*"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_newer_state_is_refused_and_left_alone(path):
    with open_catalog(path) as catalog:
        catalog.remember("a", "b")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(ConfigError, match="newer release") as caught, open_catalog(path):
        pass
    assert str(path) in caught.value.message
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select value from settings").fetchone() == ("b",)


def test_an_older_state_is_migrated_after_a_backup(path):
    with open_catalog(path) as catalog:
        catalog.remember("a", "b")
    steps = (*STEPS, ("create table later (x text)",))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, steps)
        migrate(connection, path, steps)
        assert connection.execute("pragma user_version").fetchone() == (len(steps),)
        assert connection.execute("select count(*) from later").fetchone() == (0,)
    backup = path.with_name(f"catalog.db.v{len(STEPS)}.bak")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("pragma user_version").fetchone() == (len(STEPS),)
        assert connection.execute("select value from settings").fetchone() == ("b",)


def test_a_migration_that_fails_changes_nothing(path):
    with open_catalog(path) as catalog:
        catalog.remember("a", "b")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, path, (*STEPS, ("create table later (x text)", "nonsense")))
        assert connection.execute("pragma user_version").fetchone() == (len(STEPS),)
        tables = "select count(*) from sqlite_master where name = 'later'"
        assert connection.execute(tables).fetchone() == (0,)


def test_a_damaged_state_is_kept_aside_and_a_new_one_begun(path, capsys):
    content = b"this is not a database at all, but long enough to look at" * 20
    path.write_bytes(content)
    with open_catalog(path) as catalog:
        catalog.remember("a", "b")
    (aside,) = path.parent.glob("catalog.db.corrupt-*")
    assert aside.read_bytes() == content
    said = capsys.readouterr().err
    assert f"{path} is damaged; it is kept as {aside.name}" in said
    assert "Add datastores and categories again" in said
    with open_catalog(path) as catalog:
        assert catalog.setting("a") == "b"
    assert capsys.readouterr().err == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_damage_that_shows_later_is_kept_aside_too(path, capsys):
    with open_catalog(path) as catalog:
        for size in range(300):
            catalog.remember(f"name {size}", "x" * 500)
    data = bytearray(path.read_bytes())
    for page in range(4096 * 20, len(data) - 4096, 4096):
        data[page : page + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="was damaged") as caught, open_catalog(path) as catalog:
        for size in range(300):
            catalog.setting(f"name {size}")
    assert "try again" in caught.value.hint
    assert len(list(path.parent.glob("catalog.db.corrupt-*"))) == 1
    with open_catalog(path) as catalog:
        assert catalog.datastores() == []


def test_a_path_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(EssError) as caught, open_catalog(tmp_path / "no" / "such" / "c.db"):
        pass
    assert "such" in caught.value.message


def test_an_error_of_the_system_is_not_blamed_on_the_catalogue(path):
    with pytest.raises(BrokenPipeError), open_catalog(path):
        raise BrokenPipeError


def test_a_full_disk_is_told_with_the_path_and_the_state_stays(path):
    with open_catalog(path) as catalog:
        catalog.remember("a", "b")
    with pytest.raises(EssError, match="full") as caught, open_catalog(path) as catalog:
        pages = catalog._connection.execute("pragma page_count").fetchone()[0]
        catalog._connection.execute(f"pragma max_page_count = {pages}")
        catalog.remember("big", "x" * 100_000)
    assert caught.value.exit_code == 1
    assert str(path) in caught.value.message
    with open_catalog(path) as catalog:
        assert catalog.setting("a") == "b"


@pytest.mark.slow
def test_several_processes_at_once(path):
    program = (
        "import sys; from pathlib import Path\n"
        "from ess_dask.catalog.index import open_catalog\n"
        "from ess_dask.catalog.model import *\n"
        "for i in range(20):\n"
        "  with open_catalog(Path(sys.argv[1])) as c:\n"
        "    c.put_datastore(Datastore('lake', '/lake'))\n"
        "    n = c.put_category('lake', Category(f'{sys.argv[2]}-{i}', ('*',))).number\n"
        "    c.refresh(n, [FileRef(f'/{j}', None, 1, 'e') for j in range(100)])\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(n)], stderr=-1)
        for n in range(4)
    ]
    for process in running:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    with open_catalog(path) as catalog:
        found = catalog.categories("lake")
        assert len(found) == 80
        assert all(len(list(catalog.files(i.number))) == 100 for i in found)


def test_clusters_are_kept_by_label(path):
    cluster = WarehouseCluster("prod", "c-1", "h.example", 5439, "dev", "etl", "eu-west-1", "a=b")
    with open_catalog(path) as catalog:
        catalog.put_cluster(cluster)
        catalog.put_cluster(replace(cluster, label="a"))
        catalog.put_cluster(replace(cluster, user="other"))
    with open_catalog(path) as catalog:
        assert catalog.clusters() == [replace(cluster, label="a"), replace(cluster, user="other")]
        assert catalog.delete_cluster("prod")
        assert not catalog.delete_cluster("prod")
        assert [each.label for each in catalog.clusters()] == ["a"]


def test_the_first_release_s_catalogue_gets_a_place_for_clusters(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, STEPS[:1])
        connection.execute("insert into settings values ('a', 'b')")
    with open_catalog(path) as catalog:
        assert (catalog.clusters(), catalog.setting("a")) == ([], "b")


DAYS = ["/l/a_20140901", "/l/b_20140901", "/l/c_20140902", "/l/none"]


def counted(catalog, found):
    coverage = catalog.coverage(found)
    days = {str(day): (n, coverage.sizes[day]) for day, n in coverage.files.items()}
    return days, coverage.undated


@pytest.mark.parametrize("asked_between", [True, False])
def test_days_are_counted_as_files_come_change_and_go(path, asked_between):
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        found = catalog.put_category("lake", replace(CATEGORY, dateregex="auto"))
        listings = [
            [],
            [FileRef(uri, None, 10, "e") for uri in DAYS],
            [FileRef(uri, None, 10 + (uri == DAYS[0]), "f") for uri in DAYS],
            [FileRef(uri, None, 11, "f") for uri in (DAYS[0], "/l/d_20140903")],
        ]
        expected = [
            ({}, 0),
            ({"2014-09-01": (2, 20), "2014-09-02": (1, 10)}, 1),
            ({"2014-09-01": (2, 21), "2014-09-02": (1, 10)}, 1),
            ({"2014-09-01": (1, 11), "2014-09-03": (1, 11)}, 0),
        ]
        for listing, days in zip(listings, expected, strict=True):
            catalog.refresh(found.number, listing)
            if asked_between:
                assert counted(catalog, found) == days
        assert counted(catalog, found) == expected[-1]


def test_days_are_counted_anew_when_dates_are_found_in_another_way_and_in_an_old_index(path):
    with open_catalog(path) as catalog:
        catalog.put_datastore(LAKE)
        found = catalog.put_category("lake", CATEGORY)
        catalog.refresh(found.number, [FileRef(uri, None, 10, "e") for uri in DAYS])
        other = catalog.put_category("lake", replace(CATEGORY, dateregex="[:%Y:][:%m:]"))
        assert counted(catalog, other) == ({"2014-09-01": (3, 30)}, 1)
        catalog.refresh(found.number, [FileRef(DAYS[2], None, 10, "e")], "[:%Y:][:%m:]")
        assert counted(catalog, other) == ({"2014-09-01": (1, 10)}, 0)
        ids = catalog.put_category("lake", replace(CATEGORY, dateregex="[:%f:{8,8}]"))
        assert catalog.coverage(ids).numbered == 1
        assert not catalog.coverage(ids).files
    with closing(sqlite3.connect(path)) as old:
        old.execute("delete from coverage")
        old.execute("delete from days")
        old.commit()
    with open_catalog(path) as catalog:
        assert counted(catalog, replace(found, category=CATEGORY)) == ({"2014-09-02": (1, 10)}, 0)
