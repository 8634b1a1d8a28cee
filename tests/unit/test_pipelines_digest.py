"""The digest changes with what decides the loaded rows, and with nothing else."""

import pytest

from ess_dask.pipelines.load import read_pipeline

BASE = """\
name: shop
source:
  store: ./lake
  category: purchase
  pattern: "purchase_*.csv.gz"
  columns: {day: timestamp, price: "decimal(10, 2)", n: int32}
clean:
  - python: fixes:fix
  - sql: select * from records
memory: {table: wood.sales, key: day}
load: {to: "duckdb:///a", table: sales, mode: append}
rejects: {limit: "5%"}
settings: {workers: 2}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fixes.py").write_text("def fix(frame):\n    return frame\n")
    return tmp_path


def digest(text, folder):
    return read_pipeline(text.encode(), "p.yaml").digest(folder)


def test_it_is_stable(folder):
    first = digest(BASE, folder)
    assert first == digest(BASE, folder)
    assert len(first) == 32
    assert int(first, 16) >= 0


def test_its_value_is_pinned(folder):
    # A change of this value makes every loaded pipeline look changed: do it on purpose only.
    assert digest(BASE, folder) == "b17228e39c7f9db68d130245c6eb2ec2"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: shop", "name: other"),
        ("./lake", "s3://bucket"),
        ("purchase_*.csv.gz", "*.gz"),
        ("category: purchase", "category: sold"),
        ("duckdb:///a", "duckdb:///b"),
        ("wood.sales", "wood.other"),
        ("5%", "6%"),
        ("workers: 2", "workers: 3"),
        ("decimal(10, 2)", "decimal(10,2)"),
        ("mode: append", "mode: append, on_change: reprocess"),
        ("mode: append", "mode: append, dist_key: n, sort_key: [day, n]"),
        ("mode: append", "mode: append, hooks: {inside: analyze}"),
        ("  - sql: select * from records", "  - sql: {query: select * from records, timeout: 9s}"),
        ("  category: purchase", "  category: purchase\n  date: none"),
    ],
)
def test_it_leaves_out(old, new, folder):
    assert old in BASE
    assert digest(BASE.replace(old, new), folder) == digest(BASE, folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n: int32", "n: int64"),
        ("n: int32", "m: int32"),
        ("day: timestamp, price", "price"),
        ('day: timestamp, price: "decimal(10, 2)"', 'price: "decimal(10, 2)", day: timestamp'),
        ("select * from records", "select * from records where n > 0"),
        ("fixes:fix", "fixes:fix2"),
        ("  - python: fixes:fix\n", ""),
        ("- sql: select * from records", "- sql: {query: select * from records, per: file}"),
        ("table: sales", "table: bought"),
        ("mode: append", "mode: replace"),
        ("mode: append", "mode: upsert, key: day"),
        ("  category: purchase", "  category: purchase\n  delimiter: ';'"),
        ("  category: purchase", "  category: purchase\n  header: false"),
        ("  category: purchase", "  category: purchase\n  encoding: latin-1"),
        ("  category: purchase", "  category: purchase\n  archive: '*.csv'"),
        ("  category: purchase", "  category: purchase\n  extra_columns: fail"),
        ("  category: purchase", "  category: purchase\n  file_columns: file_date"),
    ],
)
def test_it_covers(old, new, folder):
    assert old in BASE
    assert digest(BASE.replace(old, new), folder) != digest(BASE, folder)


def test_it_covers_the_date_pattern_of_a_date_column(folder):
    text = BASE.replace("  category: purchase", "  category: purchase\n  file_columns: file_date")
    assert digest(text, folder) != digest(
        text.replace("  category:", "  date: none\n  category:"), folder
    )


def test_it_covers_the_source_of_a_function_without_running_it(folder):
    before = digest(BASE, folder)
    (folder / "fixes.py").write_text("raise SystemExit('was run')\n")
    after = digest(BASE, folder)
    (folder / "fixes.py").unlink()
    assert len({before, after, digest(BASE, folder)}) == 3


def test_functions_in_packages_are_found(folder):
    text = BASE.replace("fixes:fix", "pack.sub.fixes:fix")
    inside = folder / "pack" / "sub"
    inside.mkdir(parents=True)
    (folder / "pack" / "__init__.py").write_text("raise SystemExit('was run')\n")
    (inside / "fixes.py").write_text("A = 1\n")
    before = digest(text, folder)
    (inside / "fixes.py").write_text("A = 2\n")
    assert digest(text, folder) != before
