"""The memory table of a pipeline: what a later run adds, and what it refuses."""

import json
import os
import shutil

import pytest

PIPELINE = """
name: shop
source:
  store: {store}
  category: purchase
  pattern: "*purchase_*.gz"
  columns: {{purchaseDate: timestamp, userID: string, price: float64}}
memory: {{table: wood.sales, key: userID}}
"""

COUNT = """
import ess_dask as ess
with ess.connect() as cluster, cluster.table("wood.sales") as table:
    print(table.count())
"""


@pytest.mark.slow
def test_a_table_grows_by_new_files_and_never_loses_others(user, small_lake, tmp_path):
    source, _ = small_lake
    lake = tmp_path / "lake"
    lake.mkdir()
    days = [f"purchase_201409{day:02}.csv.gz" for day in range(1, 5)]
    for name in days[:3]:
        shutil.copy(source / name, lake / name)
    (user.folder / "shop.yaml").write_text(PIPELINE.format(store=lake))

    def run(*args, code=0):
        return user.ess("run", "shop.yaml", "--json", *args, code=code)

    def rows():
        return int(user.python(COUNT).stdout)

    first = json.loads(run().stdout)
    assert (first["files"], rows()) == (3, first["rows_loaded"])
    shutil.copy(source / days[3], lake / days[3])
    second = json.loads(run().stdout)
    assert (second["files"], rows()) == (1, first["rows_loaded"] + second["rows_loaded"])
    assert json.loads(run().stdout)["state"] == "nothing new"
    # A changed file: within a range the other files' rows would be lost, so it is refused.
    before = rows()
    os.utime(lake / days[0], ns=(1, 1))
    refused = run("--from", "2014-09-01", "--to", "2014-09-02", code=3)
    assert "without a date range" in refused.stderr
    assert rows() == before
    again = json.loads(run().stdout)
    assert (again["files"], rows()) == (4, before)


@pytest.mark.slow
def test_what_holds_the_files_already_is_not_named_as_filled(user, small_lake):
    source, _ = small_lake
    load = "load: {to: 'duckdb:///shop.duckdb', table: sales}\nrejects: {limit: 100%}\n"
    (user.folder / "shop.yaml").write_text(PIPELINE.format(store=source) + load)

    def run():
        return json.loads(user.ess("run", "shop.yaml", "--json").stdout)

    first = run()
    assert (first["table"], first["memory"]) == ("sales", "wood.sales")
    assert first["warehouse"].startswith("duckdb://")
    held = user.ess("server", "summary").stdout
    assert f"wood.sales: {first['rows_loaded']:,} rows of 16 files" in held
    user.ess("udbd", "restart")
    assert user.ess("server", "summary").stdout == ""
    again = run()
    assert (again["warehouse"], again["table"], again["memory"]) == ("", "", "wood.sales")
    assert again["rows_loaded"] == first["rows_loaded"]


@pytest.mark.slow
@pytest.mark.parametrize("load", ["", "load: {to: 'duckdb:///shop.duckdb', table: sales}\n"])
def test_a_table_that_is_made_anew_keeps_the_rows_of_a_file_that_fails(
    user, small_lake, tmp_path, load
):
    source, _ = small_lake
    lake = tmp_path / "lake"
    lake.mkdir()
    for day in (1, 2, 3):
        shutil.copy(source / f"purchase_2014090{day}.csv.gz", lake)
    text = PIPELINE.format(store=lake) + load + "rejects: {limit: 100%}\n"
    (user.folder / "shop.yaml").write_text(text)
    user.ess("run", "shop.yaml")
    before = int(user.python(COUNT).stdout)
    whole = (lake / "purchase_20140902.csv.gz").read_bytes()
    (lake / "purchase_20140902.csv.gz").write_bytes(whole[:-20])
    shutil.copy(source / "purchase_20140904.csv.gz", lake / "purchase_20140901.csv.gz")
    again = "shop.yaml", "--json", *(("--set", "load.on_change=reprocess") if load else ())
    done = user.ess("run", *again, code=3)
    assert "wood.sales stays as it was" in done.stderr
    assert "20140902" in done.stdout + done.stderr
    assert int(user.python(COUNT).stdout) == before
    if load:
        assert json.loads(done.stdout)["memory"] == ""
    (lake / "purchase_20140902.csv.gz").write_bytes(whole)
    mended = json.loads(user.ess("run", *again).stdout)
    assert mended["memory"] == "wood.sales"
    held = user.ess("server", "summary").stdout
    assert "of 3 files" in held
    assert int(user.python(COUNT).stdout) != before
