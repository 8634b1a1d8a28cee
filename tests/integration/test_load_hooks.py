"""SQL around the loads of a pipeline, as a user of the command line and of Python sees it."""

import json

import duckdb
import pytest

from tests.redshift import only_standin

pytestmark = pytest.mark.slow

PIPELINE = """
name: shop
source:
  store: lake
  category: sold
  pattern: "*.csv"
  columns: {{id: int32, name: string}}
load:
  to: duckdb:///shop.duckdb
  table: sales
{more}
"""
AUDIT = "insert into audit select current_timestamp, count(*) from {table}"


@pytest.fixture
def shop(user):
    (user.folder / "lake").mkdir()
    (user.folder / "lake" / "sold_20140901.csv").write_text("id,name\n1,a\n2,b\n")
    with duckdb.connect(str(user.folder / "shop.duckdb")) as connection:
        connection.execute("create table audit (loaded timestamptz, rows bigint)")

    def write(more=""):
        (user.folder / "p.yaml").write_text(PIPELINE.format(more=more))

    user.write = write
    return user


def ask(user, query):
    with duckdb.connect(str(user.folder / "shop.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_hooks_run_with_a_load_and_not_without(shop):
    shop.write(
        f"  hooks: {{inside: '{AUDIT}', after: 'create or replace view v as from {{table}}'}}"
    )
    shop.ess("run", "p.yaml")
    assert ask(shop, "select rows from audit") == [(2,)]
    assert ask(shop, "select id from v order by 1") == [(1,), (2,)]
    assert "nothing new" in shop.ess("run", "p.yaml").stdout
    assert ask(shop, "select rows from audit") == [(2,)]


def test_a_hook_that_fails_inside_loads_nothing(shop):
    shop.write(f"  hooks: {{inside: ['{AUDIT}', 'grant select to nobody']}}")
    said = shop.ess("run", "p.yaml", code=3).stderr
    assert "statement 2 of hooks.inside (grant select to nobody)" in said
    assert ask(shop, "from audit") == []
    assert ask(shop, "select 1 from duckdb_tables() where table_name = 'sales'") == []
    shop.write()
    assert "2" in shop.ess("run", "p.yaml").stdout
    assert ask(shop, "select count(*) from sales") == [(2,)]


def test_a_hook_that_fails_after_the_load_leaves_it(shop):
    shop.write("  hooks: {after: insert into missing select 1}")
    said = shop.ess("run", "p.yaml", code=3).stderr
    assert "the load is done, but statement 1 of hooks.after" in said
    assert ask(shop, "select count(*) from sales") == [(2,)]
    [told] = (shop.home / ".ess" / "runs").glob("*/report.json")
    report = json.loads(told.read_text())
    assert (report["rows_loaded"], report["exit_code"]) == (2, 3)
    assert report["state"] == "done, but a statement after it failed"
    assert "nothing new" in shop.ess("run", "p.yaml").stdout


def test_a_hook_that_fails_after_the_load_leaves_the_memory_table(shop):
    memory = "memory: {table: shop.sales, key: id}"
    shop.write(f"  hooks: {{after: insert into missing select 1}}\n{memory}")
    assert "the load is done" in shop.ess("run", "p.yaml", code=3).stderr
    assert "shop.sales: 2 rows of 1 files" in shop.ess("server", "summary").stdout
    shop.ess("udbd", "stop")


def test_duckdb_has_no_distribution_keys(shop):
    shop.write("  dist_key: id")
    said = shop.ess("run", "p.yaml", code=2).stderr
    assert "no distribution and sort keys" in said


def test_redshift_has_keys_and_hooks(shop, redshift):
    server = only_standin(redshift)
    server.query("create role analyst")
    server.query("create schema keyed")
    where = f"{server.url}&stage={server.stage}&iam_role={server.role}&schema=keyed"
    shop.write(
        "  dist_key: id\n  sort_key: [name, id]\n  hooks:\n"
        "    inside: GRANT SELECT ON {table} TO analyst\n    after: ANALYZE {table}\n"
    )
    set_to, env = f"load.to={where}", server.env
    try:
        plan = shop.ess("plan", "p.yaml", "--set", set_to, env=env).stdout
        assert 'DISTKEY ("id")' in plan
        assert 'SORTKEY ("name", "id")' in plan
        shop.ess("run", "p.yaml", "--set", set_to, env=env)
        assert server.query("select count(*) from keyed.sales") == [(2,)]
        granted = "select has_table_privilege('analyst', 'keyed.sales', 'select')"
        assert server.query(granted) == [(True,)]
        assert "nothing new" in shop.ess("run", "p.yaml", "--set", set_to, env=env).stdout
    finally:
        server.query("drop schema keyed cascade")
        server.query("drop role analyst")


def test_hooks_and_layouts_from_python(shop):
    code = f"""
import ess_dask as ess
sold = ess.select("lake").category("sold", "*.csv", columns={{"id": "int32", "name": "string"}})
lake = sold.all()
with_layout = dict(layout=ess.TableLayout(dist_key="id"))
try:
    lake.load("duckdb:///shop.duckdb", table="sales", **with_layout)
except ess.UsageError as error:
    print(error.message)
lake.load("duckdb:///shop.duckdb", table="sales", hooks=ess.Hooks(inside={AUDIT!r}))
"""
    assert "no distribution" in shop.python(code).stdout
    assert ask(shop, "select rows from audit") == [(2,)]
