"""The work on a cluster of other machines gives what threads of this machine give."""

import io
import os
import re
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import ess_dask as ess
from ess_dask.api.execute import execute
from ess_dask.api.stream import StreamListener, StreamOptions, stream
from ess_dask.catalog.datastores import make_datastore
from ess_dask.catalog.index import open_catalog
from ess_dask.cli.main import ess as program
from ess_dask.cli.main import run as run_command
from ess_dask.engine.batches import make_batches
from ess_dask.engine.hands import Errand, far_executor
from ess_dask.engine.sinks import Tee
from ess_dask.engine.window import run_ordered
from ess_dask.engine.work import process
from ess_dask.errors import ConfigError, DataError, UsageError
from ess_dask.query.sql.files import Account
from ess_dask.records.spec import Column
from ess_dask.testing.clusters import wait_until
from ess_dask.testing.far_cluster import far_cluster
from ess_dask.testing.s3 import moto_s3
from ess_dask.warehouse.redshift.staging import RedshiftSink
from ess_dask.warehouse.schema import from_arrow
from tests.conftest import User

FAR = {"ESS_CLUSTER": "custom"}
PIPELINE = """
name: shop
source:
  store: s3://lake/raw
  category: purchase
  pattern: "*purchase_*.gz"
  columns:
    {purchaseDate: timestamp, userID: string, articleID: int32, price: float64, refID: int32}
clean:
  - shell: sed s/xyzzy/plugh/
  - sql: select * from records where price > 0
  - python: cleaning:dearer
load: {to: "duckdb:///WAREHOUSE", table: sales}
rejects: {limit: "5%"}
settings: {batch_bytes: 10KiB}
"""
CLEANING = """
import helper

def dearer(frame):
    frame["price"] = frame["price"] * helper.FACTOR
    return frame
"""
SIZES = "wc -c; head -c 1500000 /dev/zero | tr '\\0' %file"
"""More than travels in a result: fetched in blocks."""


@pytest.fixture(scope="module")
def bucket(small_lake):
    with moto_s3() as server:
        client = server.client()
        client.create_bucket(Bucket="lake")
        for path in small_lake[0].glob("purchase_*"):
            client.put_object(Bucket="lake", Key=f"raw/{path.name}", Body=path.read_bytes())
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory, bucket):
    """Give the home of a user with a pipeline and a category in S3; only he sees it."""
    user = User(tmp_path_factory.mktemp("someone") / "home", None)
    user.env |= bucket.env
    (user.folder / "shop.yaml").write_text(PIPELINE)
    (user.folder / "cleaning.py").write_text(CLEANING)
    (user.folder / "helper.py").write_text("FACTOR = 2\n")
    with as_user(user):
        typed("select", "s3://lake/raw", "--label", "lake")
        typed("category", "add", "purchase", "*purchase_*.gz", "--noprobe")
        spec = "S:purchaseDate S:userID I:articleID F:price I:refID"
        typed("category", "add", "sale", "*purchase_*.gz", "--columnspec", spec)
    return user


@contextmanager
def as_user(user, **more):
    """Be a user in this very process while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (user.env | more).items():
            patch.setenv(name, value)
        patch.chdir(user.folder)
        yield


def typed(*words):
    assert run_command(program, list(words)) == 0


@pytest.fixture(scope="module")
def far(tmp_path_factory, home):
    """Run a cluster of three machines that do not see the user's home."""
    with far_cluster(tmp_path_factory.mktemp("far"), home.home, workers=0) as cluster:
        conf = home.folder / ".conf"
        conf.mkdir()
        (conf / "reservation.json").write_text(cluster.reservation())
        just(cluster, 3)
        yield cluster


WORKERS = ("w0", "w1", "w10")


def just(far, count):
    """See that the cluster has just so many workers: they are killed, or started."""
    for name in WORKERS[count:]:
        if name in far.processes:
            far.kill(name)
    missing = [name for name in WORKERS[:count] if name not in far.processes]
    for name in missing:
        far.start_worker(name)
    for name in missing:
        far.wait_for_worker(name)


@pytest.fixture
def user(home, far):
    """Be that user, with the cluster in force."""
    with as_user(home, **FAR):
        yield home


def streamed(command, **options):
    target, said = io.BytesIO(), []
    report = stream(
        "purchase", "*", "*", command, target, StreamOptions(**options), StreamListener(said.append)
    )
    return target.getvalue(), report, said


def loaded(path):
    """Return rows, ledger and rejects of a warehouse, without what names the load."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute("select * exclude (_ess_load) from sales").fetchall()
        ledger = connection.execute(
            "select uri, etag, rows_read, rows_loaded, rows_rejected, rows_dropped"
            " from _ess_ledger order by uri"
        ).fetchall()
        rejects = connection.execute(
            "select uri, line, column_name, reason, raw from _ess_rejects order by uri, line"
        ).fetchall()
    return rows, ledger, rejects


def sold():
    """Return the purchases of the bucket that cost something."""
    columns = {"purchaseDate": "timestamp", "userID": "string", "articleID": "int32",
               "price": "float64", "refID": "int32"}  # fmt: skip
    lake = ess.select("s3://lake/raw")
    found = lake.category("purchase", "purchase_*.gz", columns=columns)
    return found.clean("select * from records where price > 0")


def run_into(name):
    return ess.run_pipeline("shop.yaml", overrides={"load.to": f"duckdb:///{name}.duckdb"})


@pytest.fixture(scope="module")
def here(home):
    """What threads of this machine give: the streamed bytes and what a run loads."""
    with as_user(home, ESS_CLUSTER="local"):
        out = streamed(SIZES)[0]
        run_into("here")
    return out, loaded(home.folder / "here.duckdb")


def left_behind(far):
    return [path for path in far.folder.rglob("ess-parcels/*/*") if path.is_file()]


def test_words_say_which_worker_and_thread(user, far):
    just(far, 3)
    out, _, _ = streamed(
        "cat > /dev/null; echo %num_nodes %node_id %num_threads %thread_id %file", threads=2
    )
    lines = [line.split() for line in out.decode().splitlines()]
    assert [line[4] for line in lines] == sorted(line[4] for line in lines)
    assert {line[0] for line in lines} == {"3"}
    assert {line[1] for line in lines} <= {"0", "1", "2"}
    assert {(line[2], line[3]) for line in lines} <= {("2", "0"), ("2", "1")}


def test_exec_runs_on_every_worker_in_order_and_names_it(user, far):
    just(far, 3)
    target, said = io.BytesIO(), []
    command = "echo %node_id of %num_nodes; printf end; echo hm >&2"
    report = execute(command, target, said.append)
    wanted = [f"{name}: {n} of 3\n{name}: end\n" for n, name in enumerate(WORKERS)]
    assert target.getvalue().decode() == "".join(wanted)
    assert said == [f"{name}: hm" for name in WORKERS]
    assert report.exit_code == 0


def test_exec_writes_what_each_worker_printed_to_a_place_of_its_own(user, far, bucket):
    just(far, 3)
    bucket.client().create_bucket(Bucket="each")
    with open_catalog() as catalog:
        catalog.put_datastore(make_datastore("s3://each", label="each"))
    with pytest.raises(UsageError, match="3 machines would all write to x"):
        execute("echo %node_id", io.BytesIO(), out="each:x")
    assert execute("echo %node_id", io.BytesIO(), out="each:x/%node_id").exit_code == 0
    listed = bucket.client().list_objects_v2(Bucket="each")["Contents"]
    assert [entry["Key"] for entry in listed] == ["x/0", "x/1", "x/2"]


def test_exec_fails_when_one_worker_fails(user, far):
    just(far, 3)
    target, said = io.BytesIO(), []
    report = execute("test %node_id != 1 || exit 7; echo fine", target, said.append)
    assert report.exit_code == 3
    assert target.getvalue().decode() == "w0: fine\nw10: fine\n"
    assert len(said) == 1
    assert "worker w1 (127.0.0.1)" in said[0]
    assert "exit 7" in said[0]
    assert execute("echo %num_nodes", target, master=True).exit_code == 0
    assert target.getvalue().decode().endswith("\n1\n")


def test_pushed_files_are_found_by_commands_and_come_back(user, far, tmp_path):
    from ess_dask.api import files

    just(far, 3)
    script = tmp_path / "tag.sh"
    script.write_text("#!/bin/sh\nhead -1 | tr a-z A-Z\n")
    script.chmod(0o755)
    large = tmp_path / "large"
    large.write_bytes(os.urandom(9_000_001))
    told = []
    assert files.push([str(script)], "", told.append) == 3
    assert files.push([str(large)], "deep/er", told.append) == 3
    out, _, said = streamed("./tag.sh", limit=2)
    assert (said, len(out.splitlines())) == ([], 2)
    execute("echo %node_id > mine", io.BytesIO())
    assert files.get(["mine", "deep/er/large"], told.append) == [
        *(f"mine.{name}" for name in WORKERS),
        *(f"deep/er/large.{name}" for name in WORKERS),
    ]
    assert [Path(f"mine.{name}").read_text() for name in WORKERS] == ["0\n", "1\n", "2\n"]
    assert Path("deep/er/large.w1").read_bytes() == large.read_bytes()
    assert files.mkdir("made", told.append) == 3
    assert execute("test -d made", io.BytesIO()).exit_code == 0
    execute("if test %node_id = 2; then echo x > only; fi", io.BytesIO())
    assert files.get(["only"], told.append) == ["only.w10"]
    with pytest.raises(DataError, match="no worker has a file nothing"):
        files.get(["nothing"], told.append)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../b", ".", ""])
def test_paths_cannot_leave_the_work_folder(user, name):
    from ess_dask.api import files

    with pytest.raises(UsageError, match="no path below the work folder"):
        files.mkdir(name, print)
    with pytest.raises(UsageError, match="no path below the work folder"):
        files.get([name], print)


def test_outputs_go_straight_to_a_store(user, far, bucket):
    just(far, 3)
    bucket.client().create_bucket(Bucket="out")
    with open_catalog() as catalog:
        catalog.put_datastore(make_datastore("s3://out", label="out"))
    out, report, said = streamed("wc -l", out="out:/counts/%file.txt")
    assert (out, said, report.files) == (b"", [], 16)
    listed = bucket.client().list_objects_v2(Bucket="out")["Contents"]
    assert listed[0]["Key"] == "counts/purchase_20140901.csv.txt"
    assert len(listed) == 16


def test_one_run_of_the_command_for_all_files(user, far):
    just(far, 3)
    out, report, said = streamed("wc -l; echo %num_nodes", bulk=True)
    assert (said, report.files) == ([], 1)
    assert int(out.split()[0]) > 4800
    assert out.split()[1] == b"3"


def test_tables_are_reached_from_here_and_that_is_said(user, far):
    out, _, said = streamed("cat > /dev/null; echo x # aq_udb", limit=1)
    assert said == ["aq_udb reaches tables in memory: the command runs on this machine, not on "
                    "the workers"]  # fmt: skip
    assert out == b"x\n"


def test_a_folder_of_this_machine_is_refused_and_a_shared_one_is_not(user, far, monkeypatch):
    folder = user.folder / "mine"
    folder.mkdir(exist_ok=True)
    (folder / "a_20140901.csv").write_text("x\n1\n")
    lake = ess.select(str(folder))
    found = lake.category("a", "a_*.csv", columns={"x": "int32"}).between()
    with pytest.raises(ConfigError, match=re.escape(str(folder))) as refused:
        found.load("duckdb:///mine.duckdb", table="t")
    assert "ESS_CLUSTER=local" in refused.value.hint
    assert not Path("mine.duckdb").exists()
    with pytest.raises(ConfigError, match="is a folder of this machine"):
        found.stream("cat", io.BytesIO())
    monkeypatch.setenv("ESS_SHARED_FOLDERS", f"/nowhere:{user.folder}")
    with pytest.raises(DataError, match=r"vanished .*worker w\d"):
        found.count()


def test_parts_for_redshift_go_from_the_workers_into_s3(user, far, bucket):
    just(far, 3)
    sales = sold()
    run = user.folder / "run"
    schema = [Column(f.name, from_arrow(f.name, f.type)) for f in sales.schema]
    sink = RedshiftSink(str(run / "stage"), "s3://lake/staged", "load", tuple(schema))
    job = replace(sales.job(), rejects_folder=str(run / "rejects"))
    job = replace(job, context=job.context.away("load"))
    work = partial(process, job=job, sink=Tee((sink,)))
    with far_executor(print, "", Errand(str(run), "load", (sales.store,))) as executor:
        results = list(run_ordered(make_batches(sales.files(), 10_000), work, executor))
    parts = [part for result in results for part in result.parts[0]]
    listed = bucket.client().list_objects_v2(Bucket="lake", Prefix="staged/")["Contents"]
    assert {part.path for part in parts} == {f"s3://lake/{each['Key']}" for each in listed}
    assert sum(part.rows for part in parts) == sum(c.kept for r in results for c in r.counts)
    here = [path for path in run.rglob("*") if path.is_file()]
    assert sorted(map(str, here)) == sorted(r.rejects for r in results if r.rejects)


def commands(words):
    """Return the processes of this machine, whatever namespace they are in, with these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_rows_in_python_are_made_by_the_workers(user, far, monkeypatch):
    just(far, 3)
    sales = sold()
    there = sales.collect()
    counted = sales.fold(lambda table: table.num_rows, sum)
    monkeypatch.setenv("ESS_CLUSTER", "local")
    assert there.table.equals(sales.collect().table)
    assert there.rejects.num_rows == len(sales.rejects())
    assert counted == there.table.num_rows


def asked(text, **frames):
    with pytest.warns(ess.RejectWarning):
        return ess.select("s3://lake/raw").sql(text, **frames).to_arrow()


def test_a_query_runs_on_the_workers_and_one_may_die(user, far, monkeypatch):
    just(far, 3)
    monkeypatch.setenv("ESS_BATCH_BYTES", "10KiB")
    kinds = pa.table({"articleID": list(range(49)), "kind": [f"k{n % 5}" for n in range(49)]})
    text = (
        "select kind, count(distinct userID) as users, sum(price) as total, median(price) as mid"
        " from sale:*:* join kinds using (articleID) group by kind"
    )
    workers = set()
    take = Account.take

    def kill_one(account, batch, result):
        if not workers:
            far.kill("w1")
        workers.add(result.worker)
        take(account, batch, result)

    monkeypatch.setattr(Account, "take", kill_one)
    there = asked(text, kinds=kinds)
    assert len(workers) > 1
    monkeypatch.setattr(Account, "take", take)
    monkeypatch.setenv("ESS_CLUSTER", "local")
    assert there.equals(asked(text, kinds=kinds))
    assert there.num_rows == 5


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_nothing_runs_on_when_the_client_is_gone(user, far, end):
    just(far, 3)
    # A killed client leaves what it had spooled.
    spooled = FAR | {"TMPDIR": str(user.home)}
    begun = user.start("stream", "purchase", "*", "*", "sleep 543.25; echo x", env=spooled)
    try:
        assert wait_until(lambda: len(commands("sleep 543.25")) >= 3, timeout=60)
        begun.send_signal(end)
        if end == signal.SIGINT:
            time.sleep(0.5)
            begun.send_signal(end)
        begun.communicate(timeout=30)
        assert wait_until(lambda: not commands("sleep 543.25"), timeout=20)
    finally:
        begun.kill()
        begun.wait()
    if end == signal.SIGINT:
        assert begun.returncode == 130
    assert wait_until(lambda: not left_behind(far))


def test_the_same_bytes_and_rows_as_threads_give(user, far, here):
    same_on(user, far, here, 3)


def test_a_worker_that_is_killed_changes_nothing(user, far, here):
    just(far, 3)
    waits = f"if test %node_id = 2; then sleep 321.5; fi; {SIZES}"
    begun = user.start("stream", "purchase", "*", "*", waits, env=FAR)
    try:
        assert wait_until(lambda: commands("sleep 321.5"), timeout=60)
        far.kill("w10")
        out, err = begun.communicate(timeout=60)
    finally:
        begun.kill()
        begun.wait()
    assert (begun.returncode, err) == (0, b"")
    assert out == here[0]


@pytest.mark.parametrize("count", [2, 1])
def test_the_same_on_fewer_workers(user, far, here, count):
    same_on(user, far, here, count)


def same_on(user, far, here, count):
    just(far, count)
    out, report, said = streamed(SIZES, threads=count)
    assert said == []
    assert (report.files, out == here[0]) == (16, True)
    run_into(f"far{count}")
    rows, ledger, rejects = loaded(user.folder / f"far{count}.duckdb")
    assert rows == here[1][0]
    assert (ledger, rejects) == here[1][1:]
    assert wait_until(lambda: not left_behind(far))
