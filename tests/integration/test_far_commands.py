"""Commands and the Python API with tables on far machines: what is typed here, and its answers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import ess_dask as ess
from ess_dask.tables.databases import create_database, create_table
from tests.integration import far as far_bed

pytestmark = pytest.mark.timeout(300)

BIN = Path(sys.executable).parent
PIPELINE = """
name: shop
source: {store: "s3://lake", category: f, pattern: "f_*.csv.gz", columns: {k: string, n: int32}}
clean: [{shell: "echo seen >&2; cat"}, {sql: select * from records where n <> 11}]
memory: {table: t.rows, key: k, sort: n}
load: {to: "duckdb:///shop.duckdb", table: rows}
"""


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    with far_bed.far_with_s3(tmp_path_factory.mktemp("far")) as bed:
        far_bed.make_lake(bed.buckets)
        yield bed


@pytest.fixture
def run(far):
    """Give a function that runs a program in the user's folder and returns its output."""

    def run(*words, data="", code=0):
        done = subprocess.run(
            [BIN / words[0], *words[1:]],
            input=data,
            capture_output=True,
            text=True,
            cwd=far.home,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            timeout=200,
        )
        assert done.returncode == code, (words, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        run.said = done.stderr
        return done.stdout

    return run


def test_a_pipeline_fills_a_table_that_outlives_its_files_and_a_worker(far, run):
    (far.home / "shop.yaml").write_text(PIPELINE)
    run("ess", "run", "shop.yaml")
    with duckdb.connect(str(far.home / "shop.duckdb")) as db:
        assert db.sql("select count(*), sum(n) from rows").fetchall() == [(11, 247)]
    folder = Path(json.loads(run("ess", "runs", "list", "--json"))[0]["folder"])
    records = map(json.loads, (folder / "log.ndjson").read_text().splitlines())
    said = {(r["file"], r["worker"] in ("w0", "w1")) for r in records if r["event"] == "seen"}
    assert said == {(f"s3://lake/f_2020010{day}.csv.gz", True) for day in (1, 2, 3)}
    shutil.rmtree(far.buckets / "lake")
    far.cluster.kill("w1")
    far.cluster.add_worker("w2")
    with ess.connect() as cluster:
        table = cluster.table("t.rows")
        found = table.sql("select k, sum(n) s from this group by k order by k").to_pandas()
        assert [tuple(row) for row in found.to_numpy()] == [("k0", 129), ("k1", 52), ("k2", 66)]
        done = table.load(f"duckdb:///{far.home}/other.duckdb", table="again")
        assert done.rows_loaded == 11
        with duckdb.connect(str(far.home / "other.duckdb")) as db:
            assert db.sql("select sum(n) from again").fetchall() == [(247,)]
    assert "t.rows: 11 rows of 3 files" in run("ess", "server", "summary")


def test_a_database_of_essentia(far, run):
    create_database("d")
    create_table("t", "table", ("s,pkey:id", "i,tkey:n"))
    create_table("v", "vector", ("s,pkey:id", "i,+add:s"))
    rows = "x,1\nx,2\ny,3\ny,4\nz,5\n"
    run("aq_pp", "-d", "s:id", "i:n", "-imp", "d:t", data=rows)
    run("aq_pp", "-d", "s:id", "i:s", "-imp", "d:v", data=rows)
    assert run("aq_udb", "-exp", "d:t", "-c", "id", "n", "v.s") == (
        '"id","n","v.s"\n"x",1,3\n"x",2,3\n"y",3,7\n"y",4,7\n"z",5,5\n'
    )
    # What remembers the keys that have no rows is nobody's table.
    with ess.connect() as cluster:
        assert [name for name in cluster.tables() if name.startswith("d.")] == ["d.t", "d.v"]
    run("aq_udb", "-ord", "d:t", "n", "-dec")
    assert run("aq_udb", "-exp", "d:t", "-c", "n").split() == ['"n"', *"21435"]
    assert "3" in run("udbsql", "select count(distinct id) from d:t")
    assert not list((far.home / "ess").rglob("*.arrow"))


def test_the_servers_of_far_machines_answer(far, run):
    address = far.cluster.address
    with far.session() as session:
        far_bed.put(session, "some.t").close()
    assert f"({address}) is running." in run("ess", "udbd", "status")
    lines = run("ess", "udbd", "ckmem").splitlines()
    assert len(lines) == 2 and "worker w0 (127.0.0.1): " in lines[0] and "kB used" in lines[0]
    assert "scheduler: " in run("ess", "udbd", "cklog", "--lines", "5")
    # Nobody stops machines of others: that is said before a table is kept, or closed to changes.
    run("ess", "cluster", "stop", "--keep-tables", code=2)
    assert "does not apply to a custom cluster" in run.said and "kept" not in run.said
    with far.session() as session:
        far_bed.put(session, "some.more").close()
    run("ess", "udbd", "stop", "--keep-tables")
    assert "is already running." in run("ess", "udbd", "start") and far.objects()
    run("ess", "udbd", "stop")
    assert far.objects() == []
    with ess.connect() as cluster:
        assert cluster.tables() == ()
