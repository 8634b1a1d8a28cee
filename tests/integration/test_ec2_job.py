"""The shipped pipeline from S3 through two machines on EC2 into the warehouse; its memory asked.

The machines are those of the stand-in: they boot the user data as it is, in a private network.
"""

import hashlib
import json
import shutil
import time

import duckdb
import pytest

from ess_dask.testing.ec2.person import Person
from ess_dask.testing.ec2.server import ENV
from tests.conftest import ROOT, WOODWORKING

pytestmark = [
    pytest.mark.usefixtures("ec2_permitted"),
    pytest.mark.timeout(600),
]

ASK = """
import ess_dask as ess
with ess.connect() as cluster:
    table = cluster.table("wood.allsales")
    found = table.sql("select userID, count(*) n, sum(articleID) s from this group by 1 order by 1")
    print(found.to_pandas().to_csv(index=False))
"""


UPLOAD = """
from pathlib import Path
import boto3
s3 = boto3.client("s3")
for path in sorted(Path({folder!r}).glob("*.gz")):
    s3.upload_file(str(path), "lake", f"{prefix}/{{path.name}}")
"""


BARE = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
"""An environment without keys: EC2 is asked with those that the cluster was made with."""

KEYS = ENV["AWS_ACCESS_KEY_ID"], ENV["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """Give (folder, account) of the shop's month, with fewer rows a day than it has at first."""
    from ess_dask.testing.lake import LakeShape, make_lake

    folder = tmp_path_factory.mktemp("month")
    return folder, make_lake(folder, LakeShape(purchases_per_day=300, browses_per_day=20))


@pytest.fixture(scope="module")
def anna(ec2_standin, tmp_path_factory, month):
    """Give a person with a cluster of two workers, made with a file of keys; the month is in S3."""
    cloud = ec2_standin
    s3 = cloud.boto("s3")
    for bucket in ("lake", "tables"):
        s3.create_bucket(Bucket=bucket)
    person = Person(cloud, tmp_path_factory.mktemp("home") / "anna")
    person.env |= {"ESS_SHARED_TABLES": "s3://tables/of-anna", "ESS_BATCH_BYTES": "16KiB"}
    # What the repository has is what chooses the cluster.
    del person.env["ESS_CLUSTER"]
    shutil.copytree(ROOT / "configs", person.folder / "configs")
    person.python(UPLOAD.format(folder=str(month[0]), prefix="raw"))
    line = ",".join(["anna", *KEYS])
    text = f"User Name,Access Key Id,Secret Access Key\n{line}\n"
    (person.folder / "keys.csv").write_text(text)
    words = ["cluster", "create", "--number", "2", "--credentials", "keys.csv"]
    person.ess("--profile", "ec2", *words, env=BARE)
    person.env["ESS_PROFILE"] = "ec2"
    yield person
    person.ess("cluster", "terminate", "-y")
    left = cloud.instances("pending", "running", "stopping", "stopped")
    cloud.reset()
    assert not left


def woodworking(anna, *words, pipeline="woodworking", env=None, **values):
    """Run the pipeline that comes with the product, with these values set; return its report."""
    values = {"source.store": "s3://lake/raw", "load.to": "duckdb:///shop.duckdb"} | values
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    return json.loads(anna.ess("run", pipeline, *words, *sets, "--json", env=env).stdout)


def warehouse(anna, query, file="shop.duckdb"):
    with duckdb.connect(str(anna.folder / file), read_only=True) as connection:
        return connection.execute(query).fetchall()


def digest(anna, file):
    """Return a digest of all that a warehouse holds but for times and ids; rows in their order."""
    held = [
        warehouse(anna, query, file)
        for query in (
            "select * exclude (_ess_load) from sales",
            "select * exclude (load_id) from _ess_rejects order by uri, line",
            "select * exclude (load_id, loaded_at) from _ess_ledger order by uri",
        )
    ]
    return hashlib.sha256(repr(held).encode()).hexdigest()


def workers_of(anna, report):
    """Return the names of the workers that a run's batches were on."""
    lines = (anna.home / ".ess" / "runs" / report["run_id"] / "batches.ndjson").read_text()
    return {json.loads(line)["worker"] for line in lines.splitlines()}


def test_every_row_once_and_tables_that_survive_a_removed_machine_and_a_stop(anna, month):
    lake = month[1]
    del anna.env["ESS_PROFILE"]
    report = woodworking(anna, "--profile", "ec2")
    anna.env["ESS_PROFILE"] = "ec2"
    assert (report["files"], report["rows_read"]) == (30, lake.purchases)
    counts = report["rows_loaded"], report["rows_rejected"], report["rows_dropped"]
    assert counts == (lake.loadable, lake.bad, lake.free)
    assert sum(counts) == report["rows_read"]
    assert sum(report["reasons"].values()) == lake.bad
    assert len(workers_of(anna, report)) == 2
    count = "select count(*), count(distinct _ess_file), min(price) > 0 from sales"
    assert warehouse(anna, count) == [(lake.loadable, 30, True)]
    it_is_what_this_machine_alone_gives(anna, report)
    again = woodworking(anna)
    assert (again["state"], again["rows_loaded"]) == ("nothing new", 0)
    assert warehouse(anna, count) == [(lake.loadable, 30, True)]

    answer = anna.python(ASK)
    grouped = warehouse(
        anna, "select userID, count(*), sum(articleID) from sales group by 1 order by 1"
    )
    assert answer.splitlines()[1:-1] == [f"{user},{n},{s}" for user, n, s in grouped]
    [worker, _] = [
        each["id"]
        for each in json.loads(anna.ess("cluster", "status", "--json").stdout)
        if each["role"] == "worker"
    ]
    anna.ess("cluster", "remove", worker)
    assert anna.python(ASK) == answer
    anna.ess("cluster", "stop", "--keep-tables")
    anna.ess("cluster", "start")
    assert anna.python(ASK) == answer
    nobody_waits_for_workers_that_cannot_come(anna, answer)


def it_is_what_this_machine_alone_gives(anna, report):
    """The same pipeline without a cluster: no other machine, and no table in memory."""
    lines = (ROOT / "pipelines" / "woodworking.yaml").read_text().splitlines(keepends=True)
    alone = [line for line in lines if not line.startswith("memory:")]
    assert len(alone) == len(lines) - 1
    (anna.folder / "alone.yaml").write_text("".join(alone))
    shutil.copy(ROOT / "pipelines" / "woodworking.py", anna.folder)
    here = woodworking(
        anna,
        pipeline="alone.yaml",
        env={"ESS_CLUSTER": "local"},
        **{"load.to": "duckdb:///here.duckdb"},
    )
    for name in ("files", "rows_read", "rows_loaded", "rows_rejected", "rows_dropped"):
        assert here[name] == report[name], name
    assert here["reasons"] == report["reasons"]
    assert here["steps"] == report["steps"]
    assert digest(anna, "here.duckdb") == digest(anna, "shop.duckdb")


def nobody_waits_for_workers_that_cannot_come(anna, answer):
    anna.ess("cluster", "stop", "--keep-tables")
    [last] = (
        each["id"]
        for each in json.loads(anna.ess("cluster", "status", "--json").stdout)
        if each["role"] == "worker"
    )
    anna.ess("cluster", "remove", last)
    began = time.monotonic()
    told = anna.ess("cluster", "start", code=2).stderr
    assert time.monotonic() - began < 120, "tables wait 300 s where a worker may come"
    assert "the cluster runs without any worker to hold them" in told
    anna.ess("cluster", "create", "--add")
    assert anna.python(ASK) == answer


def test_commands_run_on_every_machine(anna):
    (anna.folder / "greet.sh").write_text("#!/bin/sh\necho hello from $*\n")
    (anna.folder / "greet.sh").chmod(0o755)
    anna.ess("select", "s3://lake")
    anna.ess("category", "add", "purchase", "raw/purchase_*")
    anna.ess("file", "push", "greet.sh")
    said = anna.ess("exec", "./greet.sh %node_id of %num_nodes").stdout.splitlines()
    assert said
    assert [line.partition(": ")[2] for line in said] == [
        f"hello from {number} of {len(said)}" for number in range(len(said))
    ]
    lines = anna.ess("stream", "purchase", "2014-09-01", "2014-09-03", "wc -l").stdout.split()
    anna.env["ESS_CLUSTER"] = "local"
    here = anna.ess("stream", "purchase", "2014-09-01", "2014-09-03", "wc -l").stdout.split()
    del anna.env["ESS_CLUSTER"]
    assert lines == here and len(lines) == 3


def test_the_keys_that_the_cluster_was_made_with_serve_the_commands_that_follow(anna):
    assert "hello" in anna.ess("exec", "echo hello", env=BARE).stdout
    wrong = {**BARE, "AWS_ACCESS_KEY_ID": "AKIAWRONGWRONGWRONG", "AWS_SECRET_ACCESS_KEY": "x"}
    assert len(json.loads(anna.ess("cluster", "status", "--json", env=wrong).stdout)) >= 2
    (anna.folder / "keys.csv").rename(anna.folder / "moved.csv")
    told = anna.ess("exec", "echo hello", code=2, env=BARE).stderr
    assert str(anna.folder / "keys.csv") in told
    assert "ess cluster status --credentials FILE.csv" in told
    anna.ess("cluster", "status", "--credentials", "moved.csv", env=BARE)
    assert "hello" in anna.ess("exec", "echo hello", env=BARE).stdout
    for path in (anna.home / ".ess").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [key for key in KEYS if key.encode() in content], path


@pytest.mark.skipif(not WOODWORKING.exists(), reason="the real files are not here")
def test_the_real_files_too(anna):
    anna.python(UPLOAD.format(folder=str(WOODWORKING), prefix="real"))
    report = woodworking(
        anna,
        name="real",
        **{"source.store": "s3://lake/real", "load.table": "real", "memory.table": "wood.real"},
    )
    assert (report["rows_read"], report["rows_loaded"]) == (41_031, 40_373)
    assert report["reasons"] == {"refID: not an int32": 658}
    assert report["rows_dropped"] == 0
