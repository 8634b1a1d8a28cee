"""The API as the documents show it, from a folder and from S3, on a made and on the real lake."""

import io
import uuid

import duckdb
import pyarrow.compute as pc
import pytest

import ess_dask as ess
from ess_dask.testing.clusters import private_cluster
from ess_dask.testing.s3 import moto_s3

COLUMNS = {
    "purchaseDate": "timestamp",
    "userID": "string",
    "articleID": "int32",
    "price": "float64",
    "refID": "int32",
}


def fix_ids(frame):
    late = (frame["purchaseDate"].dt.day >= 15).fillna(value=False)
    return frame.assign(articleID=frame["articleID"].where(~late, frame["articleID"] + 1))


@pytest.fixture(scope="module")
def server():
    with moto_s3() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path, monkeypatch):
    """Give a function from a folder of files to the lake's name, here or in a bucket."""
    monkeypatch.chdir(tmp_path)
    with private_cluster(tmp_path / "home"):
        if request.param == "folder":
            yield str
            return
        server = request.getfixturevalue("server")
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield lambda folder: upload(server, folder)


def upload(server, folder):
    client = server.client()
    bucket = f"lake-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    for path in sorted(folder.glob("*purchase*")):
        client.put_object(Bucket=bucket, Key=f"raw/{path.name}", Body=path.read_bytes())
    return f"s3://{bucket}/raw"


@pytest.mark.slow
def test_the_documented_block_on_a_made_lake(place, small_lake, tmp_path):
    folder, account = small_lake
    lake = ess.select(place(folder))
    purchase = lake.category("purchase", "purchase_*.csv.gz", columns=COLUMNS)
    sales = purchase.between("2014-09-01", "2014-09-30").clean(
        fix_ids, "select * from records where price > 0"
    )
    assert len(sales.head()) == 10
    assert "16 files" in str(sales.plan())
    with ess.connect() as cluster:
        with pytest.warns(ess.RejectWarning, match=f"{account.bad} rows"):
            table = sales.into("wood.allsales", key="userID", sort="purchaseDate")
        assert table.count() == account.loadable
        assert cluster.tables() == ("wood.allsales",)
        with pytest.warns(ess.RejectWarning):
            assert table.to_arrow().sort_by(order()).equals(sales.to_arrow().sort_by(order()))
    assert len(sales.rejects()) == account.bad
    report = sales.load("duckdb:///shop.duckdb", table="sales")
    assert (report.rows_loaded, report.rows_dropped) == (account.loadable, account.free)
    assert sales.load("duckdb:///shop.duckdb", table="sales").state == "nothing new"
    with duckdb.connect(str(tmp_path / "shop.duckdb"), read_only=True) as connection:
        query = "select count(*), count(distinct _ess_file) from sales"
        assert connection.execute(query).fetchall() == [(account.loadable, 16)]
    target = io.BytesIO()
    purchase.all().stream("tail -n +2", target)
    assert target.getvalue().count(b"\n") == account.purchases


def order():
    return [
        (name, "ascending") for name in ("userID", "purchaseDate", "articleID", "price", "refID")
    ]


@pytest.mark.slow
def test_the_real_files_give_their_known_numbers(place, woodworking, tmp_path):
    lake = ess.select(place(woodworking))
    purchase = lake.category("purchase", "*purchase_*.gz", columns=COLUMNS)
    sales = purchase.between("2014-09-01", "2014-09-30").clean(fix_ids)
    with ess.connect(), pytest.warns(ess.RejectWarning, match="658 rows were rejected"):
        table = sales.into("wood.allsales", key="userID", sort="purchaseDate")
        assert table.count() == 40_373
        assert len(table.sources) == 30
        arrow = table.to_arrow()
        plain = sales.to_arrow()
    assert arrow.num_rows == plain.num_rows == 40_373
    assert pc.sum(arrow["price"]).as_py() == pytest.approx(pc.sum(plain["price"]).as_py())
    assert pc.sum(arrow["articleID"]).as_py() == pc.sum(plain["articleID"]).as_py()
    assert sales.count() == 40_373
    probed = lake.category(
        "purchase",
        "*purchase_*.gz",
        columns="S:purchaseDate I:userID I:articleID f:price S:refID",
    )
    assert probed.all().count() == 41_031
    assert sales.load("duckdb:///shop.duckdb", table="sales").rows_loaded == 40_373


def test_a_bucket_that_is_not_there_is_told_when_it_is_asked_for(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    made = ess.select("s3://no-such-bucket").category("p", "*", columns=COLUMNS).all()
    with pytest.raises(ess.EssError, match="no-such-bucket"):
        made.files()
    assert "no-such-bucket" in made._repr_html_()
