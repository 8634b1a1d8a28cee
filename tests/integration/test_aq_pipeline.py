"""Rules of the aq language in a pipeline file and from Python, on files."""

import duckdb
import pytest

import ess_dask as ess

PIPELINE = """
name: shop
source:
  store: .
  category: f
  pattern: "f_*.csv"
  columns: {user: string, n: int32, price: float64, bought: timestamp}
clean:
  - aq: -filt 'price > 0' -eval f:net 'price * 0.5'
  - sql: select * from records where n is not null
  - aq: {rules: "-var i:rows 0 -eval rows 'rows + 1' -eval i:row rows", per: file}
load: {to: "duckdb:///shop.duckdb", table: sales}
"""
LINES = (
    "user,n,price,bought\nann,1,2.5,2014-09-01\nbob,2,-1,2014-09-01\ncid,,3,2014-09-01\ndan,4,4,\n"
)


def make(folder):
    for day in (1, 2):
        (folder / f"f_2014090{day}.csv").write_text(LINES)
    (folder / "shop.yaml").write_text(PIPELINE)


def test_rules_clean_in_a_pipeline(user):
    make(user.folder)
    assert "3 rows" not in user.ess("plan", "shop.yaml").stdout
    report = user.ess("run", "shop.yaml").stdout
    assert "dropped              4  by cleaning commands" in report
    with duckdb.connect(str(user.folder / "shop.duckdb")) as connection:
        rows = connection.sql(
            "select user, n, net, row, bought::date::varchar from sales order by all"
        )
        assert rows.fetchall() == [
            ("ann", 1, 1.25, 1, "2014-09-01"),
            ("ann", 1, 1.25, 1, "2014-09-01"),
            ("dan", 4, 2.0, 2, None),
            ("dan", 4, 2.0, 2, None),
        ]


def test_a_rule_that_does_not_fit_is_told_with_its_place(user):
    make(user.folder)
    for right, wrong, line in (
        ("price > 0", "prize > 0", 9),
        ("n is not null", "prize is null", 10),
        ("rows + 1", "prize + 1", 11),
    ):
        (user.folder / "shop.yaml").write_text(PIPELINE.replace(right, wrong))
        for command in ("plan", "run", "preview"):
            done = user.ess(command, "shop.yaml", code=2)
            assert f"shop.yaml:{line}:" in done.stderr, done.stderr
            assert "prize" in done.stderr
            assert "Traceback" not in done.stderr


def test_rules_from_python(user, monkeypatch):
    make(user.folder)
    columns = {"user": "string", "n": "int32", "price": "float64", "bought": "timestamp"}
    lake = ess.select(str(user.folder)).category("f", "f_*.csv", columns=columns)
    rows = lake.all().clean(ess.aq("-filt 'price > 0' -c user n")).to_arrow()
    assert rows.to_pydict() == {
        "user": ["ann", "cid", "dan"] * 2,
        "n": [1, None, 4] * 2,
    }


def test_the_row_of_a_large_file_is_named_by_its_line(user, monkeypatch):
    monkeypatch.setenv("ESS_CHUNK_BYTES", "4096")
    lines = [f"{n},{'żółw' if n == 4321 else 'ann'}" for n in range(1, 5001)]
    (user.folder / "f_20140901.csv").write_text("n,user\n" + "\n".join(lines) + "\n")
    lake = ess.select(str(user.folder)).category(
        "f", "f_*.csv", columns={"n": "int32", "user": "string"}
    )
    cut = lake.all().clean(ess.aq("-eval user 'SubStr(user, 0, 1)'", per="file"))
    with pytest.raises(ess.DataError, match=r"not UTF-8.*f_20140901\.csv, line 4322\)"):
        cut.to_arrow()
