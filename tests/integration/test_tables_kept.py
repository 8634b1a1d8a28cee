"""Tables of the local cluster that outlive it: asked for with --keep-tables, given up otherwise."""

import json
import subprocess

import pytest

SCRIPT = """
import json, sys
from pathlib import Path
import ess_dask as ess
Path("lake").mkdir(exist_ok=True)
with ess.connect() as cluster:
    def look():
        found = {name: cluster.table(name) for name in cluster.tables()}
        return {name: [table.memory.version.label, sorted(table.to_arrow()["n"].to_pylist())]
                for name, table in found.items()}
    before = look()
    for name, rows in NEW.items():
        Path(f"lake/{name}.csv").write_text("k,n\\n" + rows)
        lake = ess.select("lake")
        made = lake.category(name, f"{name}.csv", columns={"k": "string", "n": "int32"})
        made.all().into(f"t.{name}", key="k").close()
    print(json.dumps([before, look()]))
"""


def tables(user, **new):
    """Import these files' rows; return what all tables held before and hold now."""
    return json.loads(user.python(f"NEW = {new!r}\n{SCRIPT}").stdout)


@pytest.mark.timeout(300)
def test_tables_are_kept_when_that_is_asked_for_and_only_then(user):
    _, first = tables(user, a="x,1\ny,2\n", b="x,3\n")
    assert [rows for _, rows in first.values()] == [[1, 2], [3]]

    # Any command that starts the cluster finds them; they take rows as before.
    assert "2 tables are kept" in user.ess("udbd", "stop", "--keep-tables").stderr
    again, second = tables(user, a="x,1\ny,2\nz,4\n")
    assert again == first and second["t.a"][1] == [1, 2, 4]

    # Once more, over segments of two instances.
    user.ess("cluster", "stop", "--keep-tables")
    assert "2 tables are in memory again" in user.ess("cluster", "start").stderr
    assert tables(user)[0] == second

    # What is kept can be given up.
    user.ess("cluster", "stop", "--keep-tables")
    user.ess("udbd", "restart")
    assert tables(user)[0] == {}
    assert len(list((user.home / ".ess" / "tables").rglob("*.arrow"))) == 0


STOPS = """
from ess_dask.cluster import local
from ess_dask.errors import LockedError
from ess_dask.tables.keeping import save_tables
from ess_dask.tables.session import running_session
from ess_dask.tables.stopping import kept_over_stop

def another_command(name):
    with running_session() as session:
        session.store.clear(session.names()[0]) if name == "clear" else session.names()
"""


@pytest.mark.timeout(300)
def test_who_comes_while_the_cluster_is_being_stopped_does_not_give_the_tables_up(user):
    before = tables(user, a="x,1\n", b="x,3\n")[1]
    stop = """
with kept_over_stop(print):
    another_command("look")
    try:
        another_command("clear")
    except LockedError as error:
        print("locked", error)
    local.stop()
"""
    assert "to have it go on: ess udbd start" in user.python(STOPS + stop).stdout
    assert tables(user)[0] == before
    # Who was to stop it was killed, before or behind the saving: the next command has it go on.
    for killed in ("session.store.registry.close_tables()", "save_tables(session, print)"):
        user.python(STOPS + f"with running_session() as session:\n    {killed}\n")
        user.python(STOPS + "another_command('clear')")


@pytest.mark.timeout(300)
def test_a_stop_by_others_is_waited_for_until_it_is_taken_back(user):
    before = tables(user, a="x,1\n")[1]
    saved = "from ess_dask.tables.stopping import save_running\nsave_running(print)\n"
    assert "stop the cluster now" in user.python(saved).stdout
    assert tables(user)[0] == before
    with pytest.raises(subprocess.CalledProcessError):
        user.python(STOPS + "another_command('clear')")
    user.python("from ess_dask.cluster import local\nlocal.stop()")
    assert tables(user)[0] == before
    user.python(saved)
    user.ess("udbd", "start")
    user.python(STOPS + "another_command('clear')")
