"""ess create, drop and use on the files of a working folder."""

import os
import subprocess
import sys
import threading

import pytest

from ess_dask.cli.main import ess, run
from ess_dask.errors import ConfigError, UsageError
from ess_dask.tables import databases
from ess_dask.tables.databases import (
    create_database,
    create_table,
    create_variables,
    current_database,
    database_names,
    drop_all,
    drop_database,
    drop_variables,
    load_database,
    use_database,
)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name, folder in (("HOME", "."), ("ESS_CACHE_DIR", "cache"), ("ESS_WORK_DIR", "w/.conf")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path / "w" / ".conf"


def cli(capfd, *args):
    """Run ``ess ARGS``; return exit code, stdout, stderr."""
    code = run(ess, list(args))
    out, err = capfd.readouterr()
    return code, out, err


def test_the_tutorials_commands_write_the_spec_and_print_nothing(capfd, folders):
    for args in (
        ["create", "database", "wood"],
        ["create", "table", "allsales", "s,pkey:userid", "i,tkey:ptime", "i:articleid", "f:price"],
        ["create", "vector", "usersales", "s,pkey:userid i,+last:articleid f,+add:total"],
        ["create", "variable", "i:g s:h"],
    ):
        assert cli(capfd, *args) == (0, "", "")
    assert (folders / "wood.spec").read_text() == (
        "@Server:\n  127.0.0.1:10010\n@PKey:\n  S:userid\n"
        "@Table:allsales\n  I,tkey:ptime\n  I:articleid\n  F:price\n"
        "@Vector:usersales\n  I,+last:articleid\n  F,+add:total\n@Var:\n  I:g\n  S:h\n"
    )


def test_databases_get_ports_of_their_own_from_10010_upwards():
    for name, ports in (("a", 1), ("b", 3), ("c", 1)):
        create_database(name, ports)
    assert load_database("a").servers == ("127.0.0.1:10010",)
    assert load_database("b").servers == tuple(f"127.0.0.1:{p}" for p in (10011, 10012, 10013))
    assert load_database("c").servers == ("127.0.0.1:10014",)
    drop_database("b")
    assert create_database("d", 2).servers[0] == "127.0.0.1:10011"
    assert create_database("e", 2).servers[0] == "127.0.0.1:10015"


def test_ports_of_specs_written_by_hand_are_respected(folders):
    folders.mkdir(parents=True)
    (folders / "hand.spec").write_text("@Server: one:10010*2 two\n@Port:10012\n")
    assert create_database("a").servers == ("127.0.0.1:10011",)
    assert create_database("b").servers == ("127.0.0.1:10013",)


@pytest.mark.parametrize("option", ["--ports=2", "--ports"])
def test_ports_option_in_both_spellings(capfd, option):
    words = [option] if "=" in option else [option, "2"]
    assert cli(capfd, "create", "database", "d", *words) == (0, "", "")
    assert len(load_database("d").servers) == 2


@pytest.mark.parametrize("ports", ["0", "-1", "5000", "many"])
def test_a_wrong_number_of_ports_is_refused(capfd, ports):
    assert cli(capfd, "create", "database", "d", f"--ports={ports}")[:2] == (2, "")
    assert database_names() == ()


def test_a_new_database_becomes_the_current_one():
    create_database("a")
    create_database("b")
    assert current_database() == "b"
    use_database("a")
    create_table("t", "table", ("s,pkey:k",))
    assert load_database("a").find("t") and not load_database("b").tables


def test_dropping_an_unknown_database_is_silent(capfd, folders):
    assert cli(capfd, "drop", "database", "nosuch") == (0, "", "")
    assert not folders.exists()


def test_dropping_the_current_database_leaves_none(capfd):
    create_database("a")
    create_database("b")
    assert cli(capfd, "drop", "database", "b") == (0, "", "")
    code, out, err = cli(capfd, "create", "table", "t", "s,pkey:k")
    assert (code, out) == (2, "") and "no database is current" in err
    use_database("a")
    create_table("t", "table", ("s,pkey:k",))


def test_dropping_another_database_keeps_the_current_one():
    create_database("a")
    create_database("b")
    assert drop_database("a")
    assert not drop_database("a")
    assert current_database() == "b"


def test_tables_vectors_and_variables_can_be_dropped(capfd):
    create_database("a")
    create_table("t", "table", ("s,pkey:k i:n",))
    create_table("v", "vector", ("i,+add:n",))
    create_variables(("i:g",))
    for args in (["table", "T"], ["vector", "v"], ["variable"]):
        assert cli(capfd, "drop", *args) == (0, "", "")
    spec = load_database("a")
    assert (spec.tables, spec.variables, spec.key) == ((), (), ())
    create_table("t", "table", ("i,pkey:other",))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["create", "database", "a"], "already a database a"),
        (["create", "database", "A"], "already a database A"),
        (["create", "database", "../evil"], "cannot be the name of a database"),
        (["create", "database", "a/b"], "cannot be the name of a database"),
        (["create", "database"], "NAME"),
        (["create", "table", "t", "i:x"], "already has a table t"),
        (["create", "vector", "t", "i:x"], "already has a table t"),
        (["create", "table", "u"], "has no columns"),
        (["create", "table", "u", "q:x"], "not a column"),
        (["create", "vector", "u", "s,+add:x"], "+add needs a number"),
        (["create", "variable"], "COLUMN"),
        (["create", "variable", "i:g", "i:G"], "given twice"),
        (["create", "variable", "i,pkey:g"], "cannot be pkey"),
        (["drop", "table", "nosuch"], "has no table nosuch"),
        (["drop", "vector", "t"], "has no vector t"),
        (["drop", "database", "../a"], "cannot be the name"),
        (["use", "nosuch"], "no database nosuch"),
    ],
)
def test_a_mistake_is_told_without_a_traceback_and_changes_nothing(capfd, folders, args, says):
    create_database("a")
    create_table("t", "table", ("s,pkey:k i:n",))
    before = {path.name: path.read_text() for path in folders.iterdir()}
    code, out, err = cli(capfd, *args)
    assert (code, out) == (2, "")
    assert says in err and "Traceback" not in err
    assert {path.name: path.read_text() for path in folders.iterdir()} == before


def test_variables_add_up():
    create_database("a")
    create_variables(("i:g",))
    create_variables(("s:h",))
    assert [c.name for c in load_database("a").variables] == ["g", "h"]
    with pytest.raises(UsageError, match="column G is given twice"):
        create_variables(("i:G",))
    assert drop_variables().variables == ()


def test_a_bad_file_is_named_with_its_line(capfd, folders):
    create_database("a")
    (folders / "a.spec").write_text("@PKey:\n s:k\n@Tabel:t\n")
    code, out, err = cli(capfd, "create", "table", "t", "i:n")
    assert (code, out) == (2, "") and f"{folders}/a.spec:3:1: unknown section" in err


def test_a_file_that_is_no_text_is_named(folders):
    create_database("a")
    (folders / "a.spec").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"a\.spec:1:1: cannot be read"):
        load_database("a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_named(folders):
    folders.mkdir(parents=True)
    folders.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot write to"):
        create_database("a")


def test_a_folder_that_cannot_be_made_is_named(monkeypatch, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path / "file" / "conf"))
    code, _, err = cli(capfd, "create", "database", "a")
    assert code == 2 and "ESS_WORK_DIR" in err


def test_an_interrupted_write_leaves_the_old_file(monkeypatch, folders):
    create_database("a")
    before = (folders / "a.spec").read_text()

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(databases.os, "fsync", fail)
    with pytest.raises(ConfigError, match=r"a\.spec:1:1: cannot be written: No space left"):
        create_table("t", "table", ("s,pkey:k",))
    assert (folders / "a.spec").read_text() == before
    assert [p.name for p in folders.iterdir() if p.name.startswith(".a.spec")] == []


def test_databases_belong_to_the_working_folder(monkeypatch, tmp_path):
    create_database("a")
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path / "other"))
    assert database_names() == () and current_database() == ""
    create_database("a")
    assert load_database("a").servers == ("127.0.0.1:10010",)


def test_drop_all_forgets_every_spec(folders):
    assert drop_all() == ()
    create_database("a")
    create_database("b")
    (folders / "reservation.json").write_text("{}")
    assert drop_all() == ("a", "b")
    assert database_names() == () and (folders / "reservation.json").exists()


def test_commands_side_by_side_lose_nothing():
    create_database("a")
    create_table("t0", "table", ("s,pkey:k",))
    threads = [
        threading.Thread(target=create_table, args=(f"t{n}", "table", ("i:n",)))
        for n in range(1, 17)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {t.name for t in load_database("a").tables} == {f"t{n}" for n in range(17)}


def test_processes_side_by_side_get_different_ports(tmp_path):
    code = "import sys; from ess_dask.tables.databases import *; create_database(sys.argv[1])"
    processes = [subprocess.Popen([sys.executable, "-c", code, f"d{n}"]) for n in range(4)]
    assert [p.wait(60) for p in processes] == [0] * 4
    servers = sorted(load_database(f"d{n}").servers[0] for n in range(4))
    assert servers == [f"127.0.0.1:{port}" for port in range(10010, 10014)]
