"""A run watched from outside: what its logs, its folder and those who are told of it say."""

import gzip
import json
import os
import signal
import time

import pytest

CANARY = "cnry9-hunter2"

PIPELINE = """
name: shop
source: {store: ./lake, category: purchase, pattern: "*.csv.gz",
         columns: {userID: string, price: float64}}
clean:
  - shell: sh noisy.sh
  - python: cleaning:fix
load: {to: "duckdb:///shop.duckdb", table: sales}
rejects: {limit: "50%"}
notify: {command: "cat > told.json; echo $ESS_STATE $ESS_EXIT_CODE > told.txt", timeout: 20s}
"""
NOISY = f"echo 'reading, password={CANARY}' >&2\ncat\n"
CLEANING = """
import logging

log = logging.getLogger("shop.cleaning")

def fix(frame):
    if len(frame):
        log.warning("%d rows, <script>alert(1)</script>", len(frame))
    return frame
"""
EVIL = b'<script>alert("row")</script>,not a price'


@pytest.fixture
def shop(user):
    """Give a user with a pipeline and three files: one good, one dirty, one cut off."""
    lake = user.folder / "lake"
    lake.mkdir()
    good = b"userID,price\n" + b"".join(b"u%d,%d.5\n" % (n, n) for n in range(50))
    (lake / "p_20140901.csv.gz").write_bytes(gzip.compress(good))
    (lake / "p_20140902.csv.gz").write_bytes(gzip.compress(good + EVIL + b"\n"))
    (lake / "p_20140903.csv.gz").write_bytes(gzip.compress(good * 50)[:200])
    (user.folder / "shop.yaml").write_text(PIPELINE)
    (user.folder / "noisy.sh").write_text(NOISY)
    (user.folder / "cleaning.py").write_text(CLEANING)
    return user


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def folder_of(user, run):
    return user.home / ".ess" / "runs" / run


def told(user):
    text = (user.folder / "told.txt").read_text()
    for name in ("told.txt", "told.json"):
        (user.folder / name).unlink()
    return text.strip()


def test_a_run_on_workers_of_a_cluster_tells_everything(shop):
    env = {"ESS_LOG_FORMAT": "json", "ESS_OPENLINEAGE": "lineage.ndjson"}
    memory = ("--set", "memory.table=wood.sales", "--set", "memory.key=userID")
    done = shop.ess("run", "shop.yaml", "--json", "--metrics-file", "ess.prom", *memory,
                    code=3, env=env)  # fmt: skip
    report = json.loads(done.stdout)
    run = report["run_id"]
    # stderr is records and nothing else, and so is the file.
    shown, kept = records(done.stderr), records((folder_of(shop, run) / "log.ndjson").read_text())
    of_run = [each for each in shown if each["run_id"]]
    assert {each["run_id"] for each in of_run} == {run}
    assert [each["event"] for each in of_run] == [each["event"] for each in kept]
    assert kept[0]["event"] == "run began"
    assert kept[-1]["event"].startswith("run ended, failed files: ")
    # What steps said on the workers came here, with the file and the worker.
    batches = records((folder_of(shop, run) / "batches.ndjson").read_text())
    workers = {batch["worker"] for batch in batches}
    assert str(os.getpid()) not in "".join(workers)
    said = [each for each in kept if each["logger"] == "ess_dask.shell"]
    assert {each["event"] for each in said} == {"reading, password=***"}
    assert {each["file"].rpartition("/")[2] for each in said} >= {"p_20140901.csv.gz"}
    logged = [each for each in kept if each["logger"] == "shop.cleaning"]
    assert logged[0]["level"] == "warning"
    assert {each["worker"] for each in (*said, *logged)} == workers
    failed = [each for each in kept if each["level"] == "error" and each["file"]]
    assert [each["file"].rpartition("/")[2] for each in failed] == ["p_20140903.csv.gz"]
    # Each file is accounted for, in rows, bytes and seconds.
    files = {file["uri"].rpartition("/")[2]: file for batch in batches for file in batch["files"]}
    assert [files[name]["rows_kept"] for name in sorted(files)] == [50, 50, 0]
    assert all(file["bytes"] > 0 and file["seconds"] > 0 for file in files.values())
    # Who is to know of it knows.
    assert told(shop) == "failed files 3"
    prom = (shop.folder / "ess.prom").read_text()
    assert 'ess_run_state{pipeline="shop",state="failed files"} 1\n' in prom
    assert 'ess_run_files{pipeline="shop",kind="failed"} 1\n' in prom
    start, end = records((shop.folder / "lineage.ndjson").read_text())
    assert (start["eventType"], end["eventType"]) == ("START", "FAIL")
    assert end["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 100
    names = [field["name"] for field in end["outputs"][0]["facets"]["schema"]["fields"]]
    assert names == ["userID", "price"]
    # And the page shows the hostile row as a text.
    page = (folder_of(shop, run) / "report.html").read_text()
    assert "&lt;script&gt;alert(&quot;row&quot;)&lt;/script&gt;" in page
    assert "<script" not in page
    nothing_secret(shop, done.stdout + done.stderr)


def nothing_secret(user, *texts):
    """The canary is in no file that was written for the run."""
    paths = [path for path in user.home.rglob("*") if path.is_file() and path.name != "noisy.sh"]
    texts += tuple(path.read_bytes().decode("latin-1") for path in paths)
    assert [text for text in texts if CANARY in text] == []


def test_a_night_is_told_in_the_morning(shop, until, end_processes):
    (shop.folder / "lake" / "p_20140903.csv.gz").unlink()
    env = {"ESS_METRICS_FILE": "ess.prom"}
    # Silent when all is well: not a word on either.
    quiet = shop.ess("run", "shop.yaml", "--quiet", "--log-level", "error", env=env)
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert not (shop.folder / "told.txt").exists()
    (first,) = json.loads(shop.ess("runs", "list", "--json").stdout)
    assert (first["state"], first["exit_code"], first["rows_loaded"]) == ("done", 0, 100)
    # Nothing new is a success, too: the clock of the last one goes on.
    before = success(shop)
    shop.ess("run", "shop.yaml", "--quiet", env=env)
    assert success(shop) > before
    assert len(json.loads(shop.ess("runs", "list", "--json").stdout)) == 1

    # A plan that fails is told, though nothing was begun: a file that was loaded has changed.
    os.utime(shop.folder / "lake" / "p_20140901.csv.gz", (1, 1))
    done = shop.ess("run", "shop.yaml", "--quiet", "--log-format", "json", code=3, env=env)
    (said,) = records(done.stderr)
    assert (said["level"], "p_20140901" in said["event"]) == ("error", True)
    assert told(shop) == "failed 3"
    assert success(shop) > before

    # A run that is killed is seen to be gone.
    (shop.folder / "lake" / "p_20140904.csv.gz").write_bytes(gzip.compress(b"userID,price\na,1\n"))
    (shop.folder / "noisy.sh").write_text("touch begun; sleep 100; cat\n")
    child = shop.start("run", "shop.yaml", "--on-change", "ignore")
    end_processes.append(child)
    until(lambda: (shop.folder / "begun").exists())
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=10)
    shown = shop.ess("runs", "list", "--limit", "1").stdout
    assert "running (gone)" in shown
    page = shop.ess("runs", "show", "last", "--html", "killed.html").stdout.strip()
    assert "shop: running" in (shop.folder / page).read_text()
    (killed,) = json.loads(shop.ess("runs", "list", "--limit", "1", "--json").stdout)
    assert killed["alive"] is False

    # By its beginning, as text and as JSON.
    text = shop.ess("runs", "show", first["run_id"][:-1]).stdout
    assert f"{EVIL.decode()}" in text
    assert "finish -> done" in text
    whole = json.loads(shop.ess("runs", "show", first["run_id"], "--json").stdout)
    assert whole["report"]["rows_loaded"] == 100
    assert [event["event"] for event in whole["events"]][-1] == "finish"
    assert whole["reject_samples"][0]["raw"] == EVIL.decode()
    (failed,) = json.loads(shop.ess("runs", "list", "--state", "failed", "--json").stdout)
    assert failed["error"]
    assert "no run" in shop.ess("runs", "show", "2000", code=2).stderr
    nothing_secret(shop, text)


def success(user):
    name = 'ess_last_success_time_seconds{pipeline="shop"} '
    lines = (user.folder / "ess.prom").read_text().splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.fixture
def until():
    def wait(condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    return wait
