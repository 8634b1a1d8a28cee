"""The work on a cluster of other machines gives what threads of this machine give."""

import io

import duckdb
import pytest

import ess_dask as ess
from ess_dask.api.stream import StreamListener, StreamOptions, stream
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
