"""What work on other machines is made of, without a cluster: words, numbers, folders, refusals."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ess_dask import credentials
from ess_dask.api.stream import StreamOptions, _files_each, _is_away
from ess_dask.catalog.model import Datastore
from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import Running
from ess_dask.cluster import blocks, files
from ess_dask.cluster.machines import attach
from ess_dask.cluster.nodes import Node, natural, one_of_each
from ess_dask.engine import elsewhere
from ess_dask.engine.crew import (
    Crew,
    Member,
    Numbers,
    belonging,
    node_words,
    thread_id,
    whereabouts,
)
from ess_dask.engine.hands import is_seen, refuse_unseen
from ess_dask.engine.stream import Spool
from ess_dask.errors import AccessError, ConfigError, UsageError
from ess_dask.settings import Settings

BUCKET, FOLDER = Datastore("b", "s3://lake"), Datastore("f", "/data/lake")


def test_names_stand_in_natural_order():
    names = ["w10", "w2", "w1", "10.0.0.9", "10.0.0.10", "a", "w"]
    wanted = ["10.0.0.9", "10.0.0.10", "a", "w", "w1", "w2", "w10"]
    assert sorted(names, key=natural) == wanted


def test_one_worker_stands_for_its_machine():
    nodes = [
        Node(n, f"tls://{n}", "h", 1, place) for n, place in (("a", "1"), ("b", "1"), ("c", "2"))
    ]
    assert [node.name for node in one_of_each(nodes)] == ["a", "c"]


def test_words_of_workers_and_of_one_that_came_later():
    crew = Crew(("w0", "w1"), 0)
    assert crew.words("w1", 4) == {"num_nodes": "2", "node_id": "1", "num_threads": "4"}
    assert crew.words("w9", 4, ["w0", "w1", "w7", "w9"])["node_id"] == "3"
    assert replace(crew, threads=3).words("w0", 4)["num_threads"] == "3"


def test_a_member_knows_its_words_only_while_it_works():
    assert (node_words(), whereabouts()) == ({}, "")
    with belonging(Member("w1", "h", 2, {"node_id": "1"})):
        assert node_words() == {"node_id": "1", "thread_id": thread_id()}
        assert whereabouts() == " [worker w1 (h)]"
    assert node_words() == {}


def test_no_two_threads_have_a_number_at_a_time_and_no_more_than_allowed():
    numbers, seen, most = Numbers(), [], []

    def work():
        with numbers.taken("job", 2):
            seen.append(thread_id())
            most.append(len(numbers._taken["job"]))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (set(seen) <= {"0", "1"}, max(most) <= 2, numbers._taken) == (True, True, {})


def test_the_callers_folder_is_itself_here_and_a_private_one_away(tmp_path):
    assert elsewhere.here("/client/run/stage") == Path("/client/run/stage")
    with elsewhere.boxed("/client/run", ("key", 1), str(tmp_path)) as box:
        own = elsewhere.here("/client/run/stage")
        assert own.is_dir() and own.is_relative_to(tmp_path)
        assert elsewhere.here("/client/other") == Path("/client/other")
        (own / "part").write_bytes(b"abc")
        spool = Spool(Path("/client/run"), "tag")
        spool.write(b"x" * 100_000)
        _, path = spool.finish()
        items = box.items()
    assert Path(path).parent == Path("/client/run")
    assert {item.name for item in items} == {"stage/part", Path(path).name}
    (part,) = [item for item in items if item.name == "stage/part"]
    assert (part.data, part.stored.size) == (b"abc", 3)
    assert part.stored.digest == hashlib.blake2b(b"abc").hexdigest()
    elsewhere.remove_parcels(("key", 2), str(tmp_path))
    assert own.exists()
    elsewhere.remove_parcels(("key", 1), str(tmp_path))
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(5)
    assert not own.exists()


def test_large_files_do_not_travel_in_the_result(tmp_path):
    with elsewhere.boxed("/c", "k", str(tmp_path)) as box:
        (elsewhere.here("/c") / "large").write_bytes(bytes(elsewhere.INLINE_BYTES + 1))
        (elsewhere.here("/c") / "small").write_bytes(b"a")
        assert [item.data for item in box.items()] == [None, None]


def test_nothing_is_left_of_work_that_failed(tmp_path):
    with pytest.raises(ValueError), elsewhere.boxed("/c", "k", str(tmp_path)):
        (elsewhere.here("/c") / "half").write_bytes(b"a")
        raise ValueError
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_of_this_machine_is_refused_by_remote_workers():
    far = Settings(cluster="custom")
    refuse_unseen(BUCKET, far)
    refuse_unseen(FOLDER, Settings(cluster="local"))
    with pytest.raises(ConfigError, match="/data/lake is a folder of this machine"):
        refuse_unseen(FOLDER, far)
    assert is_seen(FOLDER, replace(far, shared_folders="/mnt:/data"))
    assert not is_seen(FOLDER, replace(far, shared_folders="/dat:/data/lake/deeper"))


def test_nothing_of_the_users_environment_travels(monkeypatch):
    monkeypatch.setenv("CANARY", "secret")
    away = StepContext.of_user().away("run")
    assert (away.env, away.folder, away.owner) == ({}, ".", "run")


@pytest.mark.parametrize(
    ("command", "reaches"),
    [
        ("aq_pp -f,+1 - -d %cols -imp db:t", "-imp"),
        ("cat | aq_udb -exp db:t", "aq_udb"),
        ("udbsql 'select 1'", "udbsql"),
        ("true; ess query 'x'", "ess"),
        ("grep less | tess x-important", ""),
        ("sed s/exp/cnt/ ; wc -l", ""),
    ],
)
def test_commands_that_reach_tables_run_here_and_that_is_said(monkeypatch, command, reaches):
    monkeypatch.setenv("ESS_CLUSTER", "custom")
    monkeypatch.setenv("ESS_SHARED_TABLES", "/srv/tables")
    said = []
    assert _is_away(BUCKET, command, StreamOptions(), said.append) == (not reaches)
    assert [text.partition(" ")[0] for text in said] == ([reaches] if reaches else [])
    assert not _is_away(BUCKET, command, StreamOptions(master=True), said.append)


def test_an_import_without_a_place_for_tables_is_refused_at_once(monkeypatch):
    monkeypatch.setenv("ESS_CLUSTER", "custom")
    with pytest.raises(ConfigError, match="no place is set that all of them reach"):
        _is_away(BUCKET, "aq_pp -f,+1 - -d %cols -imp db:t", StreamOptions(), print)


def test_few_files_are_dealt_one_by_one():
    assert [_files_each(files, 4, 0) for files in (3, 16, 40, 4000)] == [1, 1, 2, 8]
    assert _files_each(3, 4, 3) == 3


def test_a_worker_starts_no_cluster_of_its_own(monkeypatch):
    monkeypatch.setenv("ESS_ON_WORKER", "1")
    with pytest.raises(ConfigError, match="this is a worker of a cluster"):
        attach()


def test_only_the_commands_of_one_task_are_ended():
    running, ended = Running(), []
    with running.for_task("a"), running.registered(lambda: ended.append("a")):
        with running.for_task("b"), running.registered(lambda: ended.append("b")):
            assert running.cancel_task("b") == 1
        assert running.cancel_task("c") == 0
    assert ended == ["b"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../b", ".", "", "a\0b"])
def test_paths_stay_below_the_work_folder(name):
    with pytest.raises(UsageError, match="no path below the work folder"):
        files.inside(name)


def test_files_to_push_are_files_of_different_names(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("")
    one, two = str(tmp_path / "a" / "x"), str(tmp_path / "b" / "x")
    assert files.sources([one]) == [Path(one)]
    for wrong, why in (([one, two], "two of the files"), ([str(tmp_path)], "is a folder")):
        with pytest.raises(UsageError, match=why):
            files.sources(wrong)


def test_a_pushed_file_gets_its_name_when_it_is_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").write_bytes(b"hello")
    (tmp_path / "source").chmod(0o750)
    told = blocks.stored(tmp_path / "source")
    blocks.write_block("d/.f.1.ess-part", 0, b"hel")
    with pytest.raises(OSError, match="did not arrive whole"):
        blocks.finish_file("d/.f.1.ess-part", "d/f", told)
    assert list((tmp_path / "d").iterdir()) == []
    for start, block in ((0, b"hel"), (0, b"hel"), (3, b"lo")):
        blocks.write_block("d/.f.2.ess-part", start, block)
    for _ in range(2):
        blocks.finish_file("d/.f.2.ess-part", "d/f", told)
    assert ((tmp_path / "d/f").read_bytes(), (tmp_path / "d/f").stat().st_mode & 0o777) == (
        b"hello",
        0o750,
    )
    (tmp_path / "d/f").write_bytes(b"of the user")
    with pytest.raises(OSError, match="did not arrive whole"):
        blocks.finish_file("d/.f.3.ess-part", "d/f", told)
    assert (tmp_path / "d/f").read_bytes() == b"of the user"
    assert blocks.read_block("d/f", 3, 3) == b"the"


@pytest.fixture
def profiles(tmp_path, monkeypatch):
    """Give a home with a file of profiles, and no keys in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    text = "[default]\naws_access_key_id = A\naws_secret_access_key = canary-a\n"
    text += "[other]\naws_access_key_id = B\naws_secret_access_key = canary-b\n"
    (tmp_path / "credentials").write_text(text + "aws_session_token = canary-t\n")
    return tmp_path


def test_keys_in_files_of_this_machine_are_lent_to_workers(profiles, monkeypatch):
    (profiles / "k.csv").write_text("User Name,Access Key Id,Secret Access Key\nu,C,canary-c\n")
    file = f"file:{profiles / 'k.csv'}"
    found = credentials.to_lend(["", "profile:other", file])
    assert found[""] == credentials.Keys("", "A", "canary-a")
    assert found["profile:other"] == credentials.Keys("", "B", "canary-b", "canary-t")
    assert found[file] == credentials.Keys("", "C", "canary-c")
    assert "canary" not in repr(found)
    try:
        credentials.lend(found)
        assert credentials.resolve("profile:other").access_key == "B"
    finally:
        credentials.lend({})
    assert credentials.resolve("profile:other").profile == "other"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the environment")
    assert credentials.to_lend([""]) == {}
    with pytest.raises(AccessError, match="the AWS profile missing gives no keys"):
        credentials.to_lend(["profile:missing"])
