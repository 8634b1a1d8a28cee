"""The woodworking pipeline: shown in ``pipelines/`` as it is shipped, and right about its month."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from ess_dask.pipelines.load import SHIPPED, load_pipeline
from ess_dask.pipelines.shipped.woodworking import add_missing_article_offset
from ess_dask.pipelines.steps import make_step

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["woodworking.yaml", "woodworking.py"])
def test_the_shown_files_are_the_shipped_ones(name):
    assert (REPOSITORY / "pipelines" / name).read_bytes() == (SHIPPED / name).read_bytes()


def test_it_says_what_it_does():
    pipeline = load_pipeline(SHIPPED / "woodworking.yaml", environment={})
    assert pipeline.load.to == "duckdb:///warehouse.duckdb"
    assert (pipeline.load.table, pipeline.load.mode) == ("sales", "append")
    assert pipeline.memory.table == "wood.allsales"
    assert [step.kind for step in pipeline.clean] == ["python", "sql"]


def test_the_warehouse_can_be_chosen():
    environment = {"ESS_WAREHOUSE": "duckdb:///other"}
    assert load_pipeline(SHIPPED / "woodworking.yaml", (), environment).load.to == "duckdb:///other"


def frame(days, articles, dtype):
    stamps = pd.to_datetime([f"2014-09-{day:02d}T23:59:59" if day else None for day in days])
    return pd.DataFrame({"purchaseDate": stamps, "articleID": pd.array(articles, dtype=dtype)})


@pytest.mark.parametrize("dtype", ["int32", "Int32", "int32[pyarrow]"])
def test_articles_are_put_right_from_the_15th_on(dtype):
    given = frame([1, 14, 15, 30], [7, 7, 7, 7], dtype)
    kept = given.copy(deep=True)
    got = add_missing_article_offset(given)
    assert got["articleID"].tolist() == [7, 7, 8, 8]
    assert str(got["articleID"].dtype) == dtype
    pd.testing.assert_frame_equal(given, kept)


@pytest.mark.parametrize("dtype", ["Int32", "int32[pyarrow]"])
def test_blanks_stay_blank(dtype):
    given = frame([0, 20, 20], [7, None, 7], dtype)
    if dtype.endswith("[pyarrow]"):
        given["purchaseDate"] = given["purchaseDate"].astype("timestamp[us][pyarrow]")
    got = add_missing_article_offset(given)["articleID"]
    assert got.isna().tolist() == [False, True, False]
    assert got.dropna().tolist() == [7, 8]


def test_no_rows():
    assert len(add_missing_article_offset(frame([], [], "int32"))) == 0


@pytest.mark.slow
def test_its_steps_can_be_made_and_run():
    from ess_dask.clean.protocol import StepContext

    pipeline = load_pipeline(SHIPPED / "woodworking.yaml", environment={})
    table = pa.table(
        {
            "purchaseDate": pa.array([1409529600000000, 1411084800000000], pa.timestamp("us")),
            "userID": ["1", "2"],
            "articleID": pa.array([5, 5], pa.int32()),
            "price": [0.0, 2.5],
            "refID": pa.array([None, 1], pa.int32()),
            "_ess_row": pa.array([0, 1], pa.int64()),
        }
    )
    for step in pipeline.clean:
        table = make_step(step, SHIPPED).apply(table, StepContext(folder=str(SHIPPED)))
    assert table.column("articleID").to_pylist() == [6]
    assert table.column("refID").to_pylist() == [1]
