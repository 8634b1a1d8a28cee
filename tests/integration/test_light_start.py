"""Short commands do not wait for packages that they do not need."""

import subprocess
import sys

import pytest

LAKE = {
    "sales_20140901.csv": "user,price\nann,1.5\nbob\ncid,-2\neve,\ngus,TBD\n" + "fay,-1\n" * 60,
    "orders_20140901.csv": "user,x,item,count,price\n" + "ann,,nail,1,1.5\nbob,,saw,2,\n" * 60,
}
FOLD = """
import sys
import ess_dask as ess
columns = {"user": "string", "price": "float64"}
sales = ess.select("lake").category("sales", "sales_*.csv", columns=columns)
rows = sales.all().clean("select * from records where price > 0").fold(lambda t: t.num_rows, sum)
heavy = "pandas", "distributed", "polars", "pyarrow.compute"
print(rows, [name for name in heavy if name in sys.modules])
"""
STREAM = """
import sys
from ess_dask.cli.main import ess, run
run(ess, ["select", "lake"])
run(ess, ["category", "add", "sales", "sales_*.csv"])
run(ess, ["stream", "sales", "*", "*", "wc -l"])
print([name for name in ("pandas", "distributed", "duckdb") if name in sys.modules])
"""

QUERY = """
import sys
from ess_dask.cli.main import ess, run
run(ess, ["select", "lake"])
run(ess, ["category", "add", "sales", "sales_*.csv", "--columnspec", "S:user F:price"])
run(ess, ["query", "select price from sales:*:* limit 2", "--format", "csv"])
print([name for name in ("pandas", "distributed", "dask.bag") if name in sys.modules])
"""

FIRST = """
import sys
from ess_dask.cli.main import ess, run
run(ess, ["select", "lake"])
spec = "S:user F:price"
run(ess, ["category", "add", "sales", "sales_*.csv", "--noprobe", "--columnspec", spec])
run(ess, ["query", "select price, user from sales:*:* where price < 0 limit 9"])
print([name for name in ("numpy", "polars", "pyarrow", "duckdb", "dask") if name in sys.modules])
"""

GROUP = """
import sys
from unittest import mock
import duckdb
from ess_dask.cli.main import ess, run
run(ess, ["select", "lake"])
spec = "S:user X S:item I:count F:price"
run(ess, ["category", "add", "orders", "orders_*.csv", "--columnspec", spec])
text = "select user, sum(price) as total from orders:*:* where price > 1 group by user order by 1"
with mock.patch("duckdb.connect", wraps=duckdb.connect) as connect:
    run(ess, ["query", text, "--format", "csv"])
heavy = "pandas", "distributed", "polars", "pyarrow.compute", "pyarrow.dataset", "dask", "tarfile"
print([name for name in heavy if name in sys.modules], connect.call_count)
"""


@pytest.mark.parametrize(
    ("code", "last"),
    [(FOLD, "1 []"), (STREAM, "[]"), (QUERY, "[]"), (FIRST, "[]"), (GROUP, "[] 1")],
)
def test_heavy_packages_stay_out(code, last, tmp_path):
    (tmp_path / "lake").mkdir()
    for name, text in LAKE.items():
        (tmp_path / "lake" / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1:] == [last], done.stderr
