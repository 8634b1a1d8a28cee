"""The list of tables and versions: transactions, pins, locks, ordinals, sweeping."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from ess_dask.errors import EssError, LockedError, UsageError
from ess_dask.tables.homes import sweep_instances
from ess_dask.tables.layout import MergeRule, TableLayout
from ess_dask.tables.registry import Registry, TableName
from ess_dask.tables.segment import Segment
from ess_dask.tables.session import table_name

LAYOUT = TableLayout(pa.schema([("k", pa.string()), ("n", pa.int64())]), ("k",), 2)
NAME = TableName("/w", "shop", "sales")


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "instance")


def make(registry, name, rows=(1, 2), sources=()):
    """A segment whose file exists."""
    folder = registry.folder / "segments" / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.arrow"
    path.write_bytes(b"rows")
    return Segment(str(path), rows, 4, sources)


def advance(registry, base, segments):
    new = replace(base, number=base.number + 1, segments=tuple(segments))
    registry.commit(base, new)
    return registry.current(NAME)


def test_a_new_registry_is_empty_and_private(registry):
    assert registry.names() == () and registry.current(NAME) is None
    for path in (registry.folder, registry.folder / "segments", registry.folder / "pins"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((registry.folder / "tables.sqlite").stat().st_mode) == 0o600


def test_a_table_is_made_once_with_its_layout(registry):
    merged = TableLayout(
        LAYOUT.schema, ("k",), 2, merge_key=("k",), merge=(MergeRule("n", "bor", nozero=True),)
    )
    first = registry.create(NAME, merged)
    again = registry.create(NAME, LAYOUT)
    assert first == again and again.layout == merged
    assert (first.number, first.segments) == (0, ())


def test_a_commit_is_seen_by_every_process(registry):
    base = registry.create(NAME, LAYOUT)
    sources = tuple((f"uri{n}", f"etag{n}") for n in range(12))
    segment = make(registry, "a", sources=sources)
    version = advance(registry, base, [(7, segment)])
    assert version.segments == ((7, segment),) and version.number == 1
    assert Registry(registry.folder).current(NAME) == version


def test_segments_keep_the_order_of_their_ordinals(registry):
    version = registry.create(NAME, LAYOUT)
    for ordinal, name in ((3, "a"), (9, "c"), (11, "b")):
        added = (ordinal, make(registry, name))
        version = advance(registry, version, [*version.segments, added])
    assert [ordinal for ordinal, _ in version.segments] == [3, 9, 11]


def test_a_commit_on_an_older_version_is_refused_whole(registry):
    base = registry.create(NAME, LAYOUT)
    first = advance(registry, base, [(1, make(registry, "a"))])
    with pytest.raises(EssError):
        registry.commit(base, replace(base, number=1, segments=((2, make(registry, "b")),)))
    assert registry.current(NAME) == first


def test_ordinals_rise_over_all_tables_of_a_database(registry):
    assert registry.reserve(NAME, 3) == 1
    assert registry.reserve(TableName("/w", "SHOP", "other"), 1) == 4
    assert registry.reserve(TableName("/w", "elsewhere", "t"), 1) == 1
    assert registry.reserve(TableName("/v", "shop", "t"), 1) == 1
    assert registry.reserve(NAME, 0) == 5
    assert registry.reserve(NAME, 1) == 5


def test_too_many_imports_are_refused_before_order_overflows(registry):
    registry.reserve(NAME, (1 << 31) - 2)
    with pytest.raises(EssError, match="too many imports"):
        registry.reserve(NAME, 1)
    assert (((1 << 31) - 1) << 32) | 0xFFFFFFFF < 2**63


def test_ordinals_are_not_given_twice(registry):
    taken = []

    def reserve():
        taken.extend(registry.reserve(NAME, 2) for _ in range(10))

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 81, 2))


def test_sweeping_removes_only_what_nobody_needs(registry):
    base = registry.create(NAME, LAYOUT)
    old, new = make(registry, "old"), make(registry, "new")
    first = advance(registry, base, [(1, old)])
    pin = registry.pin(first)
    advance(registry, first, [(2, new)])
    registry.sweep()
    assert Path(old.path).exists()
    os.close(pin)
    registry.sweep()
    assert not Path(old.path).exists() and not Path(old.path).parent.exists()
    assert Path(new.path).exists()
    registry.sweep()
    assert registry.current(NAME).segments == ((2, new),)


def test_a_segment_that_goes_on_in_the_next_version_stays(registry):
    base = registry.create(NAME, LAYOUT)
    kept = (1, make(registry, "kept"))
    first = advance(registry, base, [kept])
    second = advance(registry, first, [kept, (2, make(registry, "more"))])
    registry.sweep()
    assert all(Path(segment.path).exists() for _, segment in second.segments)


def test_a_dropped_table_is_swept_when_its_last_reader_goes(registry):
    base = registry.create(NAME, LAYOUT)
    version = advance(registry, base, [(1, make(registry, "a"))])
    pins = [registry.pin(version), registry.pin(version)]
    assert registry.drop(NAME) == base.table_id and registry.drop(NAME) == ""
    for pin in pins:
        registry.sweep()
        assert Path(version.segments[0][1].path).exists()
        os.close(pin)
    registry.sweep()
    assert list((registry.folder / "segments").iterdir()) == []
    assert list((registry.folder / "pins").iterdir()) == []


def test_a_table_made_again_is_another_one(registry):
    first = registry.create(NAME, LAYOUT)
    registry.drop(NAME)
    second = registry.create(NAME, LAYOUT)
    assert first.table_id != second.table_id and first.label != second.label
    with pytest.raises(EssError, match="was dropped while it was being changed"):
        registry.commit(first, replace(first, number=1))


PIN = """
import os, sys, time
from pathlib import Path
from ess_dask.tables.registry import Registry, TableName
registry = Registry(Path(sys.argv[1]))
name = TableName("/w", "shop", "sales")
if sys.argv[2] == "pin":
    registry.pin(registry.current(name))
    print("ready", flush=True)
    time.sleep(60)
else:
    with registry.writing(name):
        print("ready", flush=True)
        time.sleep(60)
"""


def hold(registry, what):
    process = subprocess.Popen(
        [sys.executable, "-c", PIN, str(registry.folder), what], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_the_pin_of_a_killed_reader_is_no_pin(registry):
    base = registry.create(NAME, LAYOUT)
    version = advance(registry, base, [(1, make(registry, "a"))])
    process = hold(registry, "pin")
    try:
        registry.drop(NAME)
        registry.sweep()
        assert Path(version.segments[0][1].path).exists()
    finally:
        kill(process)
    registry.sweep()
    assert not Path(version.segments[0][1].path).exists()


def test_the_lock_of_a_killed_writer_is_free(registry):
    registry.create(NAME, LAYOUT)
    process = hold(registry, "write")
    entered = threading.Event()

    def wait():
        with registry.writing(NAME):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        assert not entered.wait(0.2)
        with registry.writing(TableName("/w", "shop", "other")):
            pass  # another table is free
    finally:
        kill(process)
    waiting.join(30)
    assert entered.is_set()


def test_a_broken_list_is_named(tmp_path):
    Registry(tmp_path / "i")
    path = tmp_path / "i" / "tables.sqlite"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(EssError, match=r"list of memory tables .*tables\.sqlite cannot be used"):
        Registry(tmp_path / "i")


def test_a_failure_inside_a_transaction_leaves_nothing(registry):
    base = registry.create(NAME, LAYOUT)
    segment = make(registry, "a")
    with sqlite3.connect(registry.folder / "tables.sqlite") as db:
        db.execute("insert into segments values (?, 1, ?, '0', 0, 9, null)",
                   (base.table_id, segment.path))  # fmt: skip
    with pytest.raises(EssError, match="cannot be used"):
        advance(registry, base, [(1, segment)])
    assert registry.current(NAME) == base


def test_other_instances_are_swept_and_ours_stays(tmp_path):
    ours, theirs = Registry(tmp_path / "ours"), Registry(tmp_path / "theirs")
    make(theirs, "a")
    ours.create(NAME, LAYOUT)
    sweep_instances(tmp_path, "ours")
    assert [p.name for p in tmp_path.iterdir()] == ["ours"] and ours.names()
    sweep_instances(tmp_path / "missing", "ours")


@pytest.mark.parametrize("text", ["wood.allsales", "wood:allsales"])
def test_a_table_is_named_with_its_database(text, monkeypatch, tmp_path):
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path))
    assert table_name(text) == TableName(str(tmp_path), "wood", "allsales")
    assert str(table_name(text)) == "wood.allsales"


@pytest.mark.parametrize("text", ["", "wood", "wood.", ".t", ":"])
def test_a_name_without_database_or_table_is_refused(text):
    with pytest.raises(UsageError, match="is no table name"):
        table_name(text)


def test_a_closed_registry_refuses_changes_and_deletes_nothing(registry):
    base = registry.create(NAME, LAYOUT)
    old = make(registry, "old")
    first = advance(registry, base, [(1, old)])
    advance(registry, first, [(2, make(registry, "new"))])
    registry.close_tables()
    with pytest.raises(LockedError, match="saved"):
        registry.drop(NAME)
    with pytest.raises(LockedError):
        registry.create(TableName("/w", "shop", "other"), LAYOUT)
    assert registry.create(NAME, LAYOUT) == registry.current(NAME)
    registry.sweep()
    assert Path(old.path).exists()
    registry.reopen_tables()
    registry.sweep()
    assert not Path(old.path).exists() and registry.drop(NAME)


def test_tables_are_taken_over_whole_with_their_ordinals_and_folders(registry, tmp_path):
    base = registry.create(NAME, LAYOUT)
    registry.reserve(NAME, 6)
    kept = advance(registry, base, [(6, make(registry, "a", sources=(("u", "e"),)))])
    after = Registry(tmp_path / "after")
    after.adopt(registry, [(NAME, kept)])
    assert after.current(NAME) == kept and after.reserve(NAME, 1) == 7
    assert after.roots() == {after.root, registry.root}
    sweep_instances(tmp_path, "after")
    assert Path(kept.segments[0][1].path).exists()
    # Twice is refused whole: names are taken.
    with pytest.raises(EssError):
        after.adopt(registry, [(NAME, kept)])


def test_an_abandoned_import_is_swept_and_a_clean_one_leaves_no_pin(registry):
    folders = [Path(registry.segment_folder()) for _ in range(3)]
    for folder in folders:
        folder.mkdir()
    registry.end_import(str(folders[0]))
    registry.end_import(str(folders[1]), clean=True)
    registry.sweep()
    assert [folder.exists() for folder in folders] == [False, True, True]
    assert [pin.name for pin in (registry.folder / "pins").iterdir()] == [folders[2].name]
