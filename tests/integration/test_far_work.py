"""The work on a cluster of other machines gives what threads of this machine give."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from ess_dask.testing.clusters import wait_until
from ess_dask.testing.far_cluster import far_cluster
from ess_dask.testing.s3 import moto_s3
from tests.conftest import User

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
"""
CLEANING = """
import helper

def dearer(frame):
    frame["price"] = frame["price"] * helper.FACTOR
    return frame
"""


@pytest.fixture(scope="module")
def bucket(small_lake):
    """Run moto with a bucket ``lake`` that holds the small lake's purchases."""
    with moto_s3() as server:
        client = server.client()
        client.create_bucket(Bucket="lake")
        for path in small_lake[0].glob("purchase_*"):
            client.put_object(Bucket="lake", Key=f"raw/{path.name}", Body=path.read_bytes())
        yield server


@pytest.fixture(scope="module")
def someone(tmp_path_factory, bucket):
    """Give a user with a category in S3 and a pipeline; what is his nobody else sees."""
    user = User(tmp_path_factory.mktemp("someone") / "home")
    user.env |= bucket.env
    (user.folder / "shop.yaml").write_text(PIPELINE)
    (user.folder / "cleaning.py").write_text(CLEANING)
    (user.folder / "helper.py").write_text("FACTOR = 2\n")
    user.ess("select", "s3://lake/raw", "--label", "lake")
    user.ess("category", "add", "purchase", "*purchase_*.gz", "--noprobe")
    return user


@pytest.fixture(scope="module")
def far(tmp_path_factory, someone):
    """Run a cluster of three workers that do not see the user's home."""
    with far_cluster(tmp_path_factory.mktemp("far"), someone.home, workers=3) as cluster:
        conf = someone.folder / ".conf"
        conf.mkdir(exist_ok=True)
        (conf / "reservation.json").write_text(cluster.reservation())
        yield cluster


FAR = {"ESS_CLUSTER": "custom"}


def test_stream(someone, far):
    here = someone.ess("stream", "purchase", "*", "*", "sort -k2 -t,")
    there = someone.ess("stream", "purchase", "*", "*", "sort -k2 -t,", env=FAR)
    assert there.stdout == here.stdout
    assert there.stderr == ""
    print(len(here.stdout))


def test_run(someone, far):
    for name, env in (("here", {}), ("far", FAR)):
        text = PIPELINE.replace("WAREHOUSE", f"{name}.duckdb")
        (someone.folder / f"{name}.yaml").write_text(text)
        done = someone.ess("run", f"{name}.yaml", env=env | {"ESS_BATCH_BYTES": "10KiB"}, code=None)
        print(done.stdout, done.stderr)
