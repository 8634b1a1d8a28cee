"""The commands and the memory of the real local daemon together."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from ess_dask.catalog.model import FileRef
from ess_dask.cli.main import ess, run
from ess_dask.cluster import local
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import ConflictError, UsageError
from ess_dask.tables.databases import load_database
from ess_dask.tables.layout import ORDER, table_layout, variables_layout
from ess_dask.tables.session import open_session, running_session, table_name
from ess_dask.tables.sink import conform

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("HOME", "ESS_CACHE_DIR", "ESS_WORK_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    (tmp_path / "home").mkdir()
    yield
    local.stop()


def cli(capfd, line):
    """Run an ``ess`` command that must succeed and print nothing."""
    assert (run(ess, line.split()), *capfd.readouterr()) == (0, "", "")


def import_rows(session, table, columns, name=None):
    """Import rows into a table of the database, as aq_pp -imp does in its own process."""
    database, _, object_name = table.partition(".")
    spec = load_database(database)
    found = spec.find(object_name)
    layout = table_layout(spec, found) if found else variables_layout(spec)
    sink = session.store.sink(layout)
    rows = conform(pa.table(columns), layout.schema)
    file = FileRef(name or "stdin", None, 0, "")
    writer = sink.open(Batch(0, (file,)))
    writer.write(Piece(rows, (file,), None))
    return session.store.publish(table_name(table), sink, writer.close())


def test_the_tutorials_tables_live_and_die_with_the_commands(capfd):
    cli(capfd, "create database wood")
    cli(capfd, "create table allsales s,pkey:userid i,tkey:ptime f:price")
    cli(capfd, "create vector usersales s,pkey:userid f,+add:total i,+last:ptime")
    cli(capfd, "create variable i,+add:runs")
    assert running_session() is None, "defining needs no cluster"
    said = []
    with open_session(said.append) as session:
        for start in (0, 3):
            sales = import_rows(session, "wood.allsales", {
                "ptime": [start, start + 1, start + 2], "userid": ["u2", "u1", "u2"],
                "price": [1.5, 2.0, 0.25],
            })  # fmt: skip
        assert sales.to_arrow().to_pylist() == [
            {"userid": user, "ptime": time, "price": price}
            for user, time, price in [("u2", 0, 1.5), ("u2", 2, 0.25), ("u2", 3, 1.5),
                                      ("u2", 5, 0.25), ("u1", 1, 2.0), ("u1", 4, 2.0)]
        ]  # fmt: skip
        per_user = sales.to_arrow().rename_columns(["userid", "ptime", "total"])
        vector = import_rows(session, "wood.usersales", per_user)
        assert vector.to_arrow().to_pylist() == [
            {"userid": "u2", "total": 3.5, "ptime": 5},
            {"userid": "u1", "total": 4.0, "ptime": 4},
        ]
        for _ in range(3):
            runs = import_rows(session, "wood.var", {"runs": [1]})
        assert runs.to_arrow().to_pylist() == [{"runs": 3}]
        assert {len(part) for part in runs.map(lambda p: p[ORDER].to_pylist())} == {1}
    assert len(said) == 1

    cli(capfd, "drop vector usersales")
    cli(capfd, "create vector usersales s,pkey:userid f,+add:total i,+last:ptime")
    with running_session() as session:
        with pytest.raises(UsageError, match=r"no table wood\.usersales"):
            session.open("wood.usersales")
        assert session.open("wood:allsales").count() == 6
    cli(capfd, "drop variable")
    cli(capfd, "drop database wood")
    with running_session() as session:
        assert session.store.names() == ()


def test_a_spec_changed_behind_our_back_is_a_conflict(capfd):
    cli(capfd, "create database d")
    cli(capfd, "create table t s,pkey:k i:n")
    with open_session(lambda _: None) as session:
        import_rows(session, "d.t", {"k": ["a"], "n": [1]}).close()
        spec = Path(os.environ["ESS_WORK_DIR"]) / "d.spec"
        spec.write_text(spec.read_text().replace("I:n", "F:n"))
        with pytest.raises(ConflictError, match=r"table d\.t is in memory with other columns"):
            import_rows(session, "d.t", {"k": ["a"], "n": [1.5]})
        cli(capfd, "drop table t")
        cli(capfd, "create table t s,pkey:k f:n")
        assert import_rows(session, "d.t", {"k": ["a"], "n": [1.5]}).count() == 1


def test_databases_of_two_folders_do_not_meet(capfd, monkeypatch, tmp_path):
    with open_session(lambda _: None) as session:
        for folder, count in (("one", 1), ("two", 2)):
            monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path / folder))
            cli(capfd, "create database d")
            cli(capfd, "create table t s,pkey:k")
            import_rows(session, "d.t", {"k": ["a"] * count}).close()
        assert session.open("d.t").count() == 2
        cli(capfd, "drop database d")
        monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path / "one"))
        assert session.open("d.t").count() == 1
