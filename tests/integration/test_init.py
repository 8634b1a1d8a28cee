"""``ess init`` from outside: a look at one file gives a pipeline that runs as it is."""

import json

import duckdb
import pytest

from ess_dask.pipelines.init import category_name
from ess_dask.pipelines.load import load_pipeline


def init(user, *args, **more):
    return user.ess("init", *args, **more)


def test_the_result_runs_as_it_is_on_a_dirty_lake(user, small_lake):
    folder, lake = small_lake
    done = init(user, "--store", folder, "--pattern", "purchase_*.gz", "--to", "duckdb:///w.duckdb")
    assert done.stdout == ""
    assert "ess run purchase.yaml" in done.stderr
    report = json.loads(user.ess("run", "purchase.yaml", "--json").stdout)
    assert report["rows_read"] == lake.purchases
    assert report["rows_loaded"] + report["rows_rejected"] == lake.purchases
    with duckdb.connect(str(user.folder / "w.duckdb")) as connection:
        query = "select count(*), min(purchaseDate)::date::varchar from purchase"
        assert connection.execute(query).fetchall() == [(report["rows_loaded"], "2014-09-01")]


def test_the_real_files_load_with_stated_types(user, woodworking):
    init(
        user, "shop.yaml", "--store", woodworking, "--pattern", "*purchase_*",
        "--columns", "articleID=int32", "--columns", "refID=int32",
    )  # fmt: skip
    report = json.loads(user.ess("run", "shop.yaml", "--json").stdout)
    assert (report["rows_loaded"], report["rows_rejected"]) == (40_373, 658)


def test_a_registered_category_brings_what_it_knows(user, small_lake):
    folder, _ = small_lake
    user.ess("select", folder)
    user.ess("category", "add", "buys", "purchase_*", "--exclude", "*0916*",
             "--preprocess", "sed s/TBD//g")  # fmt: skip
    init(user, "shop.yaml", "buys")
    made = load_pipeline(user.folder / "shop.yaml")
    assert (made.name, made.source.store) == ("buys", str(folder))
    assert made.source.exclude == ("*0916*",)
    assert [(step.kind, step.text) for step in made.clean] == [("shell", "sed s/TBD//g")]
    report = json.loads(user.ess("run", "shop.yaml", "--json").stdout)
    assert report["files"] == 15
    assert not any("int64" in reason for reason in report["reasons"])


def test_a_registered_category_needs_no_file_name(user, small_lake):
    user.ess("select", small_lake[0])
    user.ess("category", "add", "buys", "purchase_*")
    assert "wrote buys.yaml" in init(user, "buys").stderr
    assert load_pipeline(user.folder / "buys.yaml").name == "buys"


def test_a_file_without_a_title_line(user):
    (user.folder / "a_20140901.csv").write_text("1;x\n2;y\n")
    init(user, "--pattern", "a_*", "--category", "my log")
    made = load_pipeline(user.folder / "my-log.yaml")
    assert (made.source.header, made.source.delimiter) == (False, ";")
    assert json.loads(user.ess("run", "my-log.yaml", "--json").stdout)["rows_loaded"] == 2


def test_a_file_is_replaced_only_when_that_is_asked_for(user):
    (user.folder / "a_20140901.csv").write_text("a,b\n1,x\n")
    (user.folder / "a.yaml").write_text("mine")
    refused = init(user, "--pattern", "a_*", code=2)
    assert "a.yaml is there already" in refused.stderr
    assert "--force" in refused.stderr
    assert (user.folder / "a.yaml").read_text() == "mine"
    init(user, "--pattern", "a_*", "--force")
    assert load_pipeline(user.folder / "a.yaml").name == "a"
    assert {path.name for path in user.folder.iterdir()} == {"a_20140901.csv", "a.yaml"}


def test_mistakes_get_one_clear_message(user):
    (user.folder / "a_20140901.csv").write_text("a,b\n1,x\n")
    (user.folder / "empty_1.csv").write_text("")
    cases = [
        ((), 2, "--pattern"),
        (("x.yaml", "unknown"), 2, "datastore"),
        (("--pattern", "none_*"), 2, "none_*"),
        (("--pattern", "empty_*"), 2, "holds a record"),
        (("--pattern", "a_*", "--columns", "c=int32"), 2, "'c'"),
        (("--pattern", "a_*", "--columns", "a"), 2, "NAME=TYPE"),
        (("--pattern", "a_*", "--columns", "a=int33"), 2, "int33"),
        (("--pattern", "a_*", "--to", "shop.duckdb"), 2, "warehouse URL"),
        (("--store", "./none", "--pattern", "a_*"), 2, "none"),
        (("no/such/a.yaml", "--pattern", "a_*"), 1, "no/such/a.yaml"),
    ]
    before = sorted(user.folder.iterdir())
    for args, code, words in cases:
        assert words in init(user, *args, code=code).stderr, args
        assert sorted(user.folder.iterdir()) == before, args


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("purchase_*.csv.gz", "purchase"),
        ("/data/lake/*browse*gz", "browse"),
        ("s3://b/logs/2014*/żółw-*.csv", "żółw"),
        ("*", "records"),
        ("2014*.csv", "records"),
    ],
)
def test_a_category_is_named_after_its_pattern(pattern, name):
    assert category_name(pattern) == name
