"""The work on a cluster of other machines gives what threads of this machine give."""

import io
import os
import re
import signal
import time
from pathlib import Path

import duckdb
import pytest

import ess_dask as ess
from ess_dask.api.execute import execute
from ess_dask.api.stream import StreamListener, StreamOptions, stream
from ess_dask.errors import ConfigError, DataError, UsageError
from ess_dask.testing.clusters import wait_until
from ess_dask.testing.far_cluster import far_cluster
from ess_dask.testing.s3 import moto_s3
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
SIZES = "wc -c; head -c 3000000 /dev/zero | tr '\\0' %file"
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
    user = User(tmp_path_factory.mktemp("someone") / "home")
    user.env |= bucket.env
    (user.folder / "shop.yaml").write_text(PIPELINE)
    (user.folder / "cleaning.py").write_text(CLEANING)
    (user.folder / "helper.py").write_text("FACTOR = 2\n")
    user.ess("select", "s3://lake/raw", "--label", "lake")
    user.ess("category", "add", "purchase", "*purchase_*.gz", "--noprobe")
    return user


@pytest.fixture(scope="module")
def far(tmp_path_factory, home):
    """Run a cluster of machines that do not see the user's home; it begins with one worker."""
    with far_cluster(tmp_path_factory.mktemp("far"), home.home, workers=1) as cluster:
        conf = home.folder / ".conf"
        conf.mkdir()
        (conf / "reservation.json").write_text(cluster.reservation())
        yield cluster


@pytest.fixture
def user(home, far, monkeypatch):
    """Be that user, with the cluster in force."""
    for name, value in (home.env | FAR).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home.folder)
    return home


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


def run_into(name):
    return ess.run_pipeline("shop.yaml", overrides={"load.to": f"duckdb:///{name}.duckdb"})


@pytest.fixture(scope="module")
def here(home):
    """What threads of this machine give: the streamed bytes and what a run loads."""
    out = home.ess("stream", "purchase", "*", "*", SIZES).stdout.encode()
    home.ess("run", "shop.yaml", "--set", "load.to=duckdb:///here.duckdb")
    return out, loaded(home.folder / "here.duckdb")


def has_workers(far, count):
    names = [f"w{number}" for number in range(count) if f"w{number}" not in far.processes]
    for name in names:
        far.start_worker(name)
    for name in names:
        far.wait_for_worker(name)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_same_bytes_and_rows_whatever_the_number_of_workers(user, far, here, count):
    has_workers(far, count)
    out, report, said = streamed(SIZES, threads=count)
    assert said == []
    assert (report.files, out == here[0]) == (16, True)
    run_into(f"far{count}")
    rows, ledger, rejects = loaded(user.folder / f"far{count}.duckdb")
    assert rows == here[1][0]
    assert (ledger, rejects) == here[1][1:]
    assert wait_until(lambda: not left_behind(far))


def left_behind(far):
    return [path for path in far.folder.rglob("ess-parcels/*/*") if path.is_file()]


def test_words_say_which_worker_and_thread(user, far):
    has_workers(far, 3)
    out, report, _ = streamed(
        "cat > /dev/null; echo %num_nodes %node_id %num_threads %thread_id %file", threads=2
    )
    lines = [line.split() for line in out.decode().splitlines()]
    assert [line[4] for line in lines] == sorted(line[4] for line in lines)
    assert {line[0] for line in lines} == {"3"}
    assert {line[1] for line in lines} <= {"0", "1", "2"}
    assert {(line[2], line[3]) for line in lines} <= {("2", "0"), ("2", "1")}


def test_exec_runs_on_every_worker_in_order_and_names_it(user, far):
    has_workers(far, 3)
    far.add_worker("w10")
    try:
        target, said = io.BytesIO(), []
        report = execute(
            "echo %node_id of %num_nodes; printf end; echo hm >&2", target, said.append
        )
        names = ("w0", "w1", "w2", "w10")
        wanted = [f"{name}: {n} of 4\n{name}: end\n" for n, name in enumerate(names)]
        assert target.getvalue().decode() == "".join(wanted)
        assert said == [f"{name}: hm" for name in names]
        assert report.exit_code == 0
        far.kill("w10")
    finally:
        far.processes.pop("w10", None)


def test_exec_fails_when_one_worker_fails(user, far):
    has_workers(far, 3)
    target, said = io.BytesIO(), []
    report = execute("test %node_id != 1 || exit 7; echo fine", target, said.append)
    assert report.exit_code == 3
    assert target.getvalue().decode() == "w0: fine\nw2: fine\n"
    assert len(said) == 1
    assert "worker w1 (127.0.0.1)" in said[0]
    assert "exit 7" in said[0]
    assert execute("echo %num_nodes", target, master=True).exit_code == 0
    assert target.getvalue().decode().endswith("\n1\n")


def test_pushed_files_are_found_by_commands_and_come_back(user, far, tmp_path):
    from ess_dask.api import files

    has_workers(far, 3)
    script = tmp_path / "tag.sh"
    script.write_text("#!/bin/sh\nhead -1 | tr a-z A-Z\n")
    script.chmod(0o755)
    large = tmp_path / "large"
    large.write_bytes(os.urandom(9_000_001))
    told = []
    assert files.push([str(script)], "", told.append) == 3
    assert files.push([str(large)], "deep/er", told.append) == 3
    out, report, said = streamed("./tag.sh", limit=2)
    assert (said, len(out.splitlines())) == ([], 2)
    execute("echo %node_id > mine", io.BytesIO())
    assert files.get(["mine", "deep/er/large"], told.append) == [
        *(f"mine.w{n}" for n in range(3)),
        *(f"deep/er/large.w{n}" for n in range(3)),
    ]
    assert [Path(f"mine.w{n}").read_text() for n in range(3)] == ["0\n", "1\n", "2\n"]
    assert Path("deep/er/large.w1").read_bytes() == large.read_bytes()
    assert files.mkdir("made", told.append) == 3
    assert execute("test -d made", io.BytesIO()).exit_code == 0
    execute("if test %node_id = 2; then echo x > only; fi", io.BytesIO())
    assert files.get(["only"], told.append) == ["only.w2"]
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
    has_workers(far, 3)
    bucket.client().create_bucket(Bucket="out")
    user.ess("select", "s3://out", "--label", "out")
    user.ess("select", "lake")
    out, report, said = streamed("wc -l", out="out:/counts/%file.txt")
    assert (out, said, report.files) == (b"", [], 16)
    listed = bucket.client().list_objects_v2(Bucket="out")["Contents"]
    assert [each["Key"] for each in listed][0] == "counts/purchase_20140901.csv.txt"
    assert len(listed) == 16


def test_one_run_of_the_command_for_all_files(user, far):
    has_workers(far, 3)
    out, report, said = streamed("wc -l; echo %num_nodes", bulk=True)
    assert (said, report.files) == ([], 1)
    assert int(out.split()[0]) > 4800
    assert out.split()[1] == b"3"


def test_tables_are_reached_from_here_and_that_is_said(user, far, monkeypatch):
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


def test_rows_in_python_are_made_by_the_workers(user, far):
    has_workers(far, 3)
    sales = ess.select("s3://lake/raw").category(
        "purchase", "purchase_*.gz", columns=COLUMNS, skip_bad=True
    )
    print(sales)


def test_a_worker_that_is_killed_changes_nothing(user, far, here):
    has_workers(far, 3)
    far.add_worker("doomed")
    begun = user.start("stream", "purchase", "*", "*", f"sleep 0.777; {SIZES}", env=FAR)
    try:
        assert wait_until(lambda: len(commands("sleep 0.777")) >= 4)
        far.kill("doomed")
        out, err = begun.communicate(timeout=60)
    finally:
        begun.kill()
        begun.wait()
    assert (begun.returncode, err) == (0, b"")
    assert out == here[0]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_nothing_runs_on_when_the_client_is_gone(user, far, end):
    has_workers(far, 3)
    begun = user.start("stream", "purchase", "*", "*", "sleep 543.25; echo x", env=FAR)
    try:
        assert wait_until(lambda: len(commands("sleep 543.25")) >= 3)
        begun.send_signal(end)
        if end == signal.SIGINT:
            time.sleep(0.5)
            begun.send_signal(end)
        begun.communicate(timeout=30)
        assert wait_until(lambda: not commands("sleep 543.25"), timeout=10)
    finally:
        begun.kill()
        begun.wait()
    if end == signal.SIGINT:
        assert begun.returncode == 130
    assert wait_until(lambda: not left_behind(far))
