"""The main job with its lake in S3: exact, once, and nothing of the keys anywhere."""

import json
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from ess_dask.testing.clusters import session_processes
from ess_dask.testing.s3 import free_port, moto_s3, rclone_s3, require_authorization

KEY, SECRET = "AKIACANARYKEYID00001", "canary/SecretKey+Of0Worth0Anywhere0123456"
PIPELINE = """
name: shop
source:
  store: {store}
  category: purchase
  pattern: "*purchase_*.gz"
  columns:
    {{purchaseDate: timestamp, userID: string, articleID: int32, price: float64, refID: int32}}
clean:
{first}  - sql: select * from records where price > 0
{memory}
load: {{to: "duckdb:///shop.duckdb", table: sales}}
rejects: {{limit: "5%"}}
"""
MEMORY = "memory: {table: wood.sales, key: userID}"
CLUSTER = pytest.param(MEMORY, marks=pytest.mark.slow)
BOTH = pytest.mark.parametrize("memory", ["", CLUSTER], ids=["threads", "cluster"])
ONE_BY_ONE = {"ESS_BATCH_BYTES": "1KiB", "ESS_THREADS": "1"}
WAIT = """  - shell: |
      read -r head; touch begun; until test -e go; do sleep 0.02; done; echo "$head"; cat
"""
"""Has read the first file (it is small) by the time it says that it begun."""


@pytest.fixture(scope="module")
def moto():
    with moto_s3() as server:
        yield server


@pytest.fixture
def bucket(moto, small_lake):
    """Give a client of bucket ``lake`` that holds the small lake's purchases."""
    client = moto.client()
    client.create_bucket(Bucket="lake")
    for path in small_lake[0].glob("purchase_*"):
        client.put_object(Bucket="lake", Key=f"raw/{path.name}", Body=path.read_bytes())
    yield client
    require_authorization(moto, after=1_000_000)
    for entry in client.list_objects_v2(Bucket="lake").get("Contents", ()):
        client.delete_object(Bucket="lake", Key=entry["Key"])
    client.delete_bucket(Bucket="lake")


@pytest.fixture
def analyst(user, moto, bucket):
    """Give a user who has the server's address and the canary keys in the environment."""
    user.env |= moto.env | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    return user


def write_pipeline(user, store="s3://lake/raw", memory="", first=""):
    text = PIPELINE.format(store=store, memory=memory, first=first)
    (user.folder / "shop.yaml").write_text(text)


def run(user, *args, **more):
    return json.loads(user.ess("run", "shop.yaml", "--json", *args, **more).stdout)


def ask(user, query):
    with duckdb.connect(str(user.folder / "shop.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def check_loaded_once(user, lake, **more):
    report = run(user, **more)
    assert (report["files"], report["rows_read"]) == (16, lake.purchases)
    assert (report["rows_loaded"], report["rows_rejected"]) == (lake.loadable, lake.bad)
    assert report["rows_dropped"] == lake.free
    count = "select count(*), count(distinct _ess_file), min(_ess_file) from sales"
    name = "s3://lake/raw/purchase_20140901.csv.gz"
    assert ask(user, count) == [(lake.loadable, 16, name)]
    again = run(user, **more)
    assert (again["state"], again["rows_loaded"]) == ("nothing new", 0)
    assert ask(user, "select count(*) from _ess_rejects") == [(lake.bad,)]


@BOTH
def test_moto_every_row_once(analyst, small_lake, memory):
    write_pipeline(analyst, memory=memory)
    check_loaded_once(analyst, small_lake[1])


@pytest.mark.slow
@BOTH
def test_rclone_every_row_once(user, small_lake, tmp_path, memory):
    (tmp_path / "buckets" / "lake" / "raw").mkdir(parents=True)
    for path in small_lake[0].glob("purchase_*"):
        shutil.copy(path, tmp_path / "buckets" / "lake" / "raw" / path.name)
    with rclone_s3(tmp_path / "buckets") as server:
        user.env |= server.env
        write_pipeline(user, memory=memory)
        check_loaded_once(user, small_lake[1], env={"ESS_BATCH_BYTES": "8KiB"})


@pytest.mark.slow
def test_the_real_files_by_s3(user, woodworking, tmp_path):
    (tmp_path / "lake").mkdir()
    for path in woodworking.glob("*.gz"):
        shutil.copy(path, tmp_path / "lake" / path.name)
    with rclone_s3(tmp_path) as server:
        user.env |= server.env
        done = user.ess("run", "woodworking", "--set", "source.store=s3://lake", "--json")
    report = json.loads(done.stdout)
    assert (report["rows_read"], report["rows_loaded"]) == (41_031, 40_373)


def secrets_in(text):
    return [word for word in (KEY, SECRET) if word.encode() in text]


@pytest.mark.slow
def test_the_keys_are_found_nowhere(analyst, small_lake):
    """Not in state, not in results, not in messages, not in any process of the cluster."""
    write_pipeline(analyst, memory=MEMORY, first="  - shell: 'env >> environment; cat'\n")
    said = []
    for line in (["run", "shop.yaml"], ["plan", "shop.yaml"], ["run", "shop.yaml", "--json"]):
        done = analyst.ess(*line)
        said.append((done.stdout + done.stderr).encode())
    daemon = json.loads((analyst.home / ".ess" / "daemon" / "state.json").read_text())["pid"]
    processes = session_processes(daemon)
    assert len(processes) >= 2
    for pid in processes:
        for name in ("cmdline", "environ"):
            said.append(Path(f"/proc/{pid}/{name}").read_bytes())
    kept = [path for path in analyst.home.rglob("*") if path.is_file()]
    assert len(kept) > 10
    said += [path.read_bytes() for path in kept]
    assert [secrets_in(text) for text in said if secrets_in(text)] == []


@pytest.fixture
def keys_file(analyst, tmp_path):
    """Give a credentials file; the environment holds no keys then."""
    path = tmp_path / "keys" / "me.csv"
    path.parent.mkdir()
    path.write_text(f"User Name,Access Key Id,Secret Access Key\nme,{KEY},{SECRET}\n")
    path.chmod(0o600)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del analyst.env[name]
    return path


def test_a_datastore_with_a_credentials_file_from_select_to_stream(analyst, keys_file):
    analyst.ess("select", "s3://lake/raw", "--credentials", keys_file, "--label", "shop")
    assert len(analyst.ess("ls").stdout.splitlines()) >= 16
    added = ["category", "add", "purchase", "purchase_*.gz", "--dateregex", "auto"]
    analyst.ess(*added)
    line = ["stream", "purchase", "2014-09-03", "2014-09-04", "wc -l"]
    counts = analyst.ess(*line).stdout
    assert counts.split() == ["301", "301"]
    assert [
        path for path in analyst.home.rglob("*") if path.is_file() and secrets_in(path.read_bytes())
    ] == []


@pytest.mark.slow
@BOTH
def test_a_pipeline_names_the_datastore_by_label(analyst, keys_file, small_lake, memory):
    analyst.ess("select", "s3://lake/raw", "--credentials", keys_file, "--label", "shop")
    write_pipeline(analyst, store="shop", memory=memory)
    check_loaded_once(analyst, small_lake[1])


@pytest.mark.slow
def test_keys_that_changed_reach_the_workers_of_a_running_cluster(analyst, moto, small_lake):
    write_pipeline(analyst, memory=MEMORY)
    assert run(analyst, "--to", "2014-09-04")["files"] == 4
    # The first pair of keys is not good any more: from now on the server looks at them.
    client = _make_reader(moto)
    require_authorization(moto)
    try:
        denied = analyst.ess("run", "shop.yaml", code=3)
        assert "credentials were refused" in denied.stderr
        fresh = {"AWS_ACCESS_KEY_ID": client[0], "AWS_SECRET_ACCESS_KEY": client[1]}
        assert run(analyst, env=fresh)["files"] == 12
    finally:
        require_authorization(moto, after=1_000_000)
    assert ask(analyst, "select count(*) from sales") == [(small_lake[1].loadable,)]


def _make_reader(moto, actions=("s3:GetObject", "s3:ListBucket"), name="reader"):
    import botocore.session

    iam = botocore.session.Session().create_client(
        "iam", region_name=moto.region, endpoint_url=moto.endpoint,
        aws_access_key_id="x", aws_secret_access_key="x",
    )  # fmt: skip
    name = f"{name}-{time.monotonic_ns()}"
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


NEEDED = [("s3:ListBucket", "s3:GetObject"), ("s3:GetObject", "s3:ListBucket")]


@BOTH
def test_a_missing_permission_is_named(analyst, moto, memory):
    write_pipeline(analyst, memory=memory)
    for missing, allowed in NEEDED:
        key, secret = _make_reader(moto, [allowed])
        keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        require_authorization(moto)
        try:
            done = analyst.ess("run", "shop.yaml", code=3, env=keys)
        finally:
            require_authorization(moto, after=1_000_000)
        assert missing in done.stderr
        assert "lake" in done.stderr
        assert not secrets_in(done.stderr.encode()) and secret not in done.stderr
        assert not (analyst.folder / "shop.duckdb").exists()


def test_a_bucket_that_is_not_there(analyst):
    write_pipeline(analyst, store="s3://nosuchbucket")
    assert "nosuchbucket does not exist" in analyst.ess("run", "shop.yaml", code=3).stderr
    assert "nosuchbucket" in analyst.ess("select", "s3://nosuchbucket", code=3).stderr


def test_no_keys_at_all(analyst):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del analyst.env[name]
    write_pipeline(analyst)
    done = analyst.ess("run", "shop.yaml", code=3)
    assert "no credentials were found" in done.stderr
    assert "--credentials" in done.stderr


@pytest.mark.slow
def test_a_dead_endpoint_is_named_within_a_bounded_time(analyst):
    endpoint = f"http://127.0.0.1:{free_port()}"
    write_pipeline(analyst)
    started = time.monotonic()
    done = analyst.ess("run", "shop.yaml", code=1, env={"AWS_ENDPOINT_URL": endpoint})
    assert time.monotonic() - started < 60
    assert endpoint in done.stderr
    assert "s)" in done.stderr


IMPATIENT = """
import sys, functools, stamina
stamina.retry_context = functools.partial(stamina.retry_context, wait_max=0.05)
from ess_dask.cli.main import main
main()
"""
"""The command line with short pauses between its tries; their number and all else is its own."""


def start_waiting(user, settings=ONE_BY_ONE, **more):
    """Start a run of one file at a time that waits while it reads the first one."""
    write_pipeline(user, first=WAIT)
    child = user.start("run", "shop.yaml", "--json", env=settings, **more)
    deadline = time.monotonic() + 60
    while not (user.folder / "begun").exists():
        assert time.monotonic() < deadline and child.poll() is None, child.communicate()
        time.sleep(0.02)
    return child


def go_on(user, child):
    (user.folder / "go").touch()
    out, err = child.communicate(timeout=100)
    assert b"Traceback" not in err
    return child.returncode, json.loads(out), err.decode()


@pytest.mark.slow
def test_an_object_that_goes_or_changes_after_the_listing_fails_alone(
    analyst, bucket, small_lake, end_processes
):
    child = start_waiting(analyst)
    end_processes.append(child)
    gone, replaced = "raw/purchase_20140911.csv.gz", "raw/purchase_20140912.csv.gz"
    old = bucket.get_object(Bucket="lake", Key=gone)["Body"].read()
    bucket.delete_object(Bucket="lake", Key=gone)
    bucket.put_object(Bucket="lake", Key=replaced, Body=old)
    code, report, _ = go_on(analyst, child)
    assert code == 3
    failed = {each["uri"]: each["error"] for each in report["failed"]}
    assert set(failed) == {f"s3://lake/{gone}", f"s3://lake/{replaced}"}
    assert "vanished" in failed[f"s3://lake/{gone}"]
    assert "replaced" in failed[f"s3://lake/{replaced}"]
    assert ask(analyst, "select count(distinct _ess_file) from sales") == [(14,)]
    # The new version is a file like any other for the next run; what is gone is not missed.
    assert run(analyst)["files"] == 1
    etag = bucket.head_object(Bucket="lake", Key=replaced)["ETag"].strip('"')
    ledger = f"select etag from _ess_ledger where uri = 's3://lake/{replaced}'"
    assert ask(analyst, ledger) == [(etag,)]


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["1KiB", "1GiB"], ids=["batches", "one batch"])
def test_the_server_goes_down_in_the_middle(user, small_lake, tmp_path, end_processes, batch):
    """Only the first few files wait for it; the run then says so and what was read is loaded."""
    (tmp_path / "buckets" / "lake" / "raw").mkdir(parents=True)
    for path in small_lake[0].glob("purchase_*"):
        shutil.copy(path, tmp_path / "buckets" / "lake" / "raw" / path.name)
    with rclone_s3(tmp_path / "buckets") as server:
        user.env |= server.env
        settings = {"ESS_BATCH_BYTES": batch, "ESS_THREADS": "1"}
        child = start_waiting(user, settings, program=["-c", IMPATIENT])
        end_processes.append(child)
    started = time.monotonic()
    code, report, _ = go_on(user, child)
    assert time.monotonic() - started < 90
    assert code == 1
    assert (report["files"], len(report["failed"])) == (1, 15)
    assert all(server.endpoint in each["error"] for each in report["failed"])
    # A batch may have begun before the last of the three was known.
    assert sum("not tried" in each["error"] for each in report["failed"]) >= 10
    assert ask(user, "select count(distinct _ess_file) from sales") == [(1,)]


def test_a_server_that_takes_connections_and_never_answers(analyst):
    """Only that it is interruptible: the time-out itself is longer than a test may be."""
    import signal

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        write_pipeline(analyst)
        child = analyst.start("run", "shop.yaml", env={"AWS_ENDPOINT_URL": endpoint})
        silent.accept()[0].close()
        for _ in range(6):
            # Python drops an interrupt that comes in a destructor: a person presses again.
            child.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5)
                break
        _, err = child.communicate(timeout=5)
    assert child.returncode == 130, err
    assert b"Traceback" not in err
