"""Tables of the local cluster that outlive it: asked for with --keep-tables, given up otherwise."""

import json


def imported(user, name, rows):
    script = f"""
import ess_dask as ess
from pathlib import Path
Path("lake").mkdir(exist_ok=True)
Path("lake/{name}.csv").write_text("k,n\\n" + {rows!r})
lake = ess.select("lake").category("{name}", "{name}.csv", columns={{"k": "string", "n": "int32"}})
with ess.connect():
    lake.all().into("t.{name}", key="k").close()
"""
    user.python(script)


TABLES = """
import json, ess_dask as ess
with ess.connect() as cluster:
    found = {name: cluster.table(name) for name in cluster.tables()}
    print(json.dumps({name: [table.memory.version.label, sorted(table.to_arrow()["n"].to_pylist())]
                      for name, table in found.items()}))
"""


def tables(user):
    return json.loads(user.python(TABLES).stdout)


def test_tables_are_kept_when_that_is_asked_for_and_only_then(user):
    imported(user, "a", "x,1\ny,2\n")
    imported(user, "b", "x,3\n")
    before = tables(user)
    assert [rows for _, rows in before.values()] == [[1, 2], [3]]

    # Any command that starts the cluster finds them.
    assert "2 tables are kept" in user.ess("udbd", "stop", "--keep-tables").stderr
    assert tables(user) == before

    # Again, over the same segments; and they take rows as before.
    user.ess("cluster", "stop", "--keep-tables")
    assert "2 tables are in memory again" in user.ess("cluster", "start").stderr
    imported(user, "a", "x,1\ny,2\nz,4\n")
    assert tables(user)["t.a"][1] == [1, 2, 4]

    # What is kept can be given up, and a plain stop keeps nothing.
    user.ess("cluster", "stop", "--keep-tables")
    user.ess("udbd", "restart")
    assert tables(user) == {}
    assert len(list((user.home / ".ess" / "tables").rglob("*.arrow"))) == 0
