"""Local folders: listing, selection and opening of one exact version."""

# ruff: noqa: DTZ001 - dates in names are naive

import os
from datetime import datetime

import pytest

from ess_dask.catalog.listing import list_files, list_folder
from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.catalog.selection import dated, select_files
from ess_dask.catalog.store import check_version, find_file, open_file, write_file
from ess_dask.errors import AccessError, ReadError, TransientError, UsageError

ODD_NAMES = ["a b.csv", "n\nl.csv", "ü%#?.csv", "-x.csv", "'q\".csv", "$(id).csv", "\udcff.csv"]


@pytest.fixture
def lake(tmp_path):
    for day in (1, 2, 3):
        (tmp_path / f"purchase_2014090{day}.csv").write_text("x" * day)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "purchase_20140904.csv").write_text("4444")
    (tmp_path / "purchase_20150230.csv").write_text("impossible")
    return Datastore("lake", str(tmp_path))


def names(selection):
    return [file.uri.rpartition("/")[2] for file in selection.files]


def test_selects_by_pattern_and_date_in_order(lake):
    category = Category("p", ("*purchase*",))
    selection = select_files(lake, category, "2014-09-02", "*")
    assert names(selection) == [f"purchase_2014090{d}.csv" for d in (2, 3, 4)]
    assert [f.date for f in selection.files] == [datetime(2014, 9, d) for d in (2, 3, 4)]
    assert [f.size for f in selection.files] == [2, 3, 4]
    assert (selection.undated, selection.matched, selection.size) == (1, 5, 9)


def test_undated_files_come_last_and_only_with_open_bounds(lake):
    category = Category("p", ("*purchase*",))
    assert names(select_files(lake, category))[-1] == "purchase_20150230.csv"
    assert len(select_files(lake, category, "2014-01-01", "2016-01-01").files) == 4


def test_star_crosses_folders_only_where_it_stands(lake):
    assert len(select_files(lake, Category("p", ("purchase_*.csv",))).files) == 4
    assert len(select_files(lake, Category("p", ("deep/*.csv",))).files) == 1


def test_limit_and_exclude(lake):
    category = Category("p", ("*purchase*",), exclude=("*0230*",))
    selection = select_files(lake, category, exclude=("*20140901*",), limit=2)
    assert names(selection) == ["purchase_20140902.csv", "purchase_20140903.csv"]


def test_dateregex_none_is_1970(lake):
    category = Category("p", ("*purchase*",), dateregex="none")
    assert len(select_files(lake, category, "1970-01-01", "1970-01-01").files) == 5
    assert not select_files(lake, category, "2014-01-01", "*").files


def test_nothing_matches_and_missing_folders_are_empty(lake):
    assert not select_files(lake, Category("p", ("*nothing*",))).files
    assert not select_files(lake, Category("p", ("/no/such/folder/*", "nofile"))).files


def test_from_after_to(lake):
    with pytest.raises(UsageError):
        select_files(lake, Category("p", ("*",)), "2014-09-02", "2014-09-01")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_listed_and_opened(tmp_path, name):
    path = os.fsencode(tmp_path) + b"/" + os.fsencode(name)
    with open(path, "wb") as file:
        file.write(b"data")
    store = Datastore("lake", str(tmp_path))
    (found,) = select_files(store, Category("c", ("*.csv",))).files
    assert os.fsencode(found.uri) == path
    with open_file(store, found) as stream:
        assert stream.read() == b"data"
    assert find_file(store, name) == found


def test_links_are_followed_and_a_folder_in_itself_is_entered_once(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.csv").write_text("a")
    (tmp_path / "real" / "again").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "b.csv").symlink_to(tmp_path / "real" / "a.csv")
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.csv")
    store = Datastore("lake", str(tmp_path))
    found = {f.uri.removeprefix(f"{tmp_path}/") for f in list_files(store, Category("c", ("*",)))}
    assert {"real/a.csv", "linked/a.csv", "b.csv"} <= found
    assert not {"dangling.csv", "pipe.csv"} & found
    assert len(found) < 20


def test_a_link_to_the_listed_folder_itself_gives_no_file_twice(tmp_path):
    (tmp_path / "lake" / "2014").mkdir(parents=True)
    (tmp_path / "lake" / "a.csv").write_text("a")
    (tmp_path / "lake" / "2014" / "b.csv").write_text("b")
    (tmp_path / "lake" / "self").symlink_to(".")
    (tmp_path / "lake" / "2014" / "up").symlink_to("..")
    store = Datastore("lake", str(tmp_path / "lake"))
    found = [file.uri for file in list_files(store, Category("c", ("*.csv",)))]
    assert sorted(found) == [
        str(tmp_path / "lake" / "2014" / "b.csv"), str(tmp_path / "lake" / "a.csv")
    ]  # fmt: skip


def test_listing_never_leaves_the_literal_folder(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "xb").write_text("")
    walked = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: walked.append(path) or scandir(path))
    list(list_files(Datastore("local", "/"), Category("c", (f"{tmp_path}/a/*b*",))))
    assert walked == [f"{tmp_path}/a/"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_closed_folder_is_an_error_not_a_short_answer(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(AccessError, match="closed"):
        list(list_files(Datastore("l", str(tmp_path)), Category("c", ("*",))))


def test_a_refused_folder_is_an_error_unless_excluded(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a").write_text("")
    scandir = os.scandir

    def refusing(path):
        if "closed" in path:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    store = Datastore("l", str(tmp_path))
    with pytest.raises(AccessError, match="--exclude"):
        list(list_files(store, Category("c", ("*",))))
    assert len(list(list_files(store, Category("c", ("*",)), (f"{tmp_path}/closed/*",)))) == 1


def test_a_folder_lists_its_files_and_folders(lake):
    def below(folder, **deep):
        found = list_folder(lake, folder, **deep)
        return sorted(f.uri.removeprefix(f"{lake.root}/") for f in found)

    assert below("deep") == ["deep/er/"]
    assert below("deep/", deep=True) == ["deep/er/purchase_20140904.csv"]
    assert "deep/" in below("")


def test_dated_keeps_the_order_given():
    files = [FileRef("/b_20140902", None, 1, ""), FileRef("/a", None, 1, "")]
    assert [f.date for f in dated(files, "auto")] == [datetime(2014, 9, 2), None]


def first(store):
    return select_files(store, Category("p", ("*20140901*",))).files[0]


def test_a_replaced_file_is_not_opened(lake):
    file = first(lake)
    os.utime(file.uri, ns=(1, 1))
    with pytest.raises(ReadError, match="replaced after it was listed"):
        open_file(lake, file)


def test_a_file_replaced_while_it_is_read_is_found_out_afterwards(lake):
    file = first(lake)
    with open_file(lake, file) as stream:
        stream.read()
        check_version(lake, file)
        with open(file.uri, "a") as late:
            late.write("more")
        with pytest.raises(ReadError, match="replaced"):
            check_version(lake, file)


def test_a_vanished_file(lake):
    file = first(lake)
    os.unlink(file.uri)
    for touch in (open_file, check_version):
        with pytest.raises(ReadError, match="vanished"):
            touch(lake, file)


def test_a_file_that_became_a_folder(lake):
    file = first(lake)
    os.unlink(file.uri)
    os.mkdir(file.uri)
    with pytest.raises(ReadError, match="is a folder"):
        open_file(lake, file)


def test_a_file_that_may_not_be_read(lake, monkeypatch):
    file = first(lake)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(AccessError, match="permission denied"):
        open_file(lake, file)


def test_find_file_refuses_what_is_not_there(lake):
    with pytest.raises(ReadError, match="no file 'nosuch'"):
        find_file(lake, "nosuch")


def test_write_is_whole(lake, tmp_path):
    with write_file(lake, "out/new.csv") as target:
        target.write(b"rows")
        assert not (tmp_path / "out" / "new.csv").exists()
    assert (tmp_path / "out" / "new.csv").read_bytes() == b"rows"
    assert os.listdir(tmp_path / "out") == ["new.csv"]


def test_a_write_that_fails_leaves_nothing(lake, tmp_path):
    with pytest.raises(RuntimeError), write_file(lake, "out/new.csv") as target:
        target.write(b"half")
        raise RuntimeError
    assert os.listdir(tmp_path / "out") == []


def test_a_write_into_a_file_as_folder(lake):
    with (
        pytest.raises(TransientError, match="cannot write"),
        write_file(lake, "purchase_20140901.csv/x"),
    ):
        pass
