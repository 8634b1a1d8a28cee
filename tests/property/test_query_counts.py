"""Counts, groups, filters and orders against plain Python, over dirty files, for any threads."""

import io
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ess_dask.api.query import query
from ess_dask.catalog.categories import add_category
from ess_dask.catalog.datastores import local_datastore
from ess_dask.catalog.index import open_catalog
from ess_dask.catalog.model import Category
from ess_dask.catalog.registry import select_store

DIRT = ["", "only", "u1,x,2.5", "u2,3", "u3,1,1.2.3", ",,", "u1,99999999999,1", "-,-,-"]
"""Lines of no value but for ``,,`` (a row of blanks); the last has a dash for a float."""


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """Give a function that makes days of (user, n, price) rows with dirt, as a category ``c``."""
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ESS_BATCH_BYTES", "300")
    folder = tmp_path / "lake"
    folder.mkdir()

    def make(seed):
        rng = random.Random(seed)
        for old in folder.iterdir():
            old.unlink()
        rows = []
        for day in range(1, rng.randint(2, 12)):
            lines = ["user,n,price"]
            for _ in range(rng.randint(0, 40)):
                if rng.random() < 0.15:
                    lines.append(rng.choice(DIRT))
                    rows += [(day, "", 0, 0.0)] if lines[-1] == ",," else []
                    continue
                user = rng.choice(["", "ann", "Bob", "b,c", "d\ne", "0"])
                n, price = rng.randint(0, 6), rng.choice([0.0, 1.5, 2.25, 0.1])
                rows.append((day, user, n, price))
                shown = f'"{user}"' if set(user) & {",", "\n"} or rng.random() < 0.2 else user
                lines.append(f"{shown},{n or rng.choice(['', 0])},{price}")
            (folder / f"c_201409{day:02}.csv").write_text("\n".join(lines) + "\n")
        return rows

    with open_catalog() as catalog:
        select_store(catalog, local_datastore())
        spec = "S:user I:n F:price"
        category = Category("c", (f"{folder}/c_*",), columnspec=spec, header=True)
        add_category(catalog, local_datastore(), category, probe=False)
    return make


def ask(text, threads, monkeypatch):
    monkeypatch.setenv("ESS_THREADS", str(threads))
    target = io.BytesIO()
    assert query(text, target).exit_code == 0
    return target.getvalue().decode()


def quoted(user):
    return f'"{user}"' if user else ""


def printed(row):
    return f"{quoted(row[1])},{row[2]},{row[3]:.17g}\n"


def expectations(rows, lower, upper):
    """Yield queries and what they print, computed row by row."""
    span = f"c:2014-09-{lower:02}:2014-09-{upper:02}"
    rows = [row for row in rows if lower <= row[0] <= upper]
    some = [row for row in rows if row[2] > 2 and row[1] != "ann"]
    where = 'where n > 2 && user != "ann"'
    yield f"select * from {span}", "".join(map(printed, rows))
    yield f"SELECT n, user FROM {span} {where}", "".join(f"{r[2]},{quoted(r[1])}\n" for r in some)
    yield f"select * from {span} limit 7", "".join(map(printed, rows[:7]))
    ordered = sorted(rows, key=lambda row: (row[3], row[1].encode()))
    yield f"select * from {span} order by price, user", "".join(map(printed, ordered))
    falling = sorted(some, key=lambda row: -row[2])
    yield f"select * from {span} {where} order by n desc", "".join(map(printed, falling))
    yield (
        f"select * from {span} {where} order by N desc limit 4",
        "".join(map(printed, falling[:4])),
    )
    many = f"select price from {span} order by price limit 100000"
    yield many, "".join(f"{row[3]:.17g}\n" for row in ordered)
    users, prices = {row[1] for row in some}, {row[3] for row in some}
    counts = f"{len(some)},{len(users)},{len(prices)}"
    asked = f"select count(distinct user), count(*), count(distinct price) from {span} {where}"
    yield asked, f'"row","k_user","k_price"\n{counts}\n'
    yield f"select count(user) from {span}", f'"row"\n{len(rows)}\n'
    twice = Counter(row[2] for row in rows)
    shown = "".join(f"{n},{count}\n" for n, count in twice.items())
    yield f"select count(*) from {span} group by n, N", f'"n","Count"\n{shown}'
    groups = Counter((row[1], row[2]) for row in rows)
    shown = "".join(f"{quoted(user)},{n},{count}\n" for (user, n), count in groups.items())
    asked = f"select user, count(*) from {span} group by user, n"
    yield asked, f'"user","n","Count"\n{shown}'


@pytest.mark.slow
@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 1 << 30), st.sampled_from([1, 2, 5]))
def test_every_kind_of_query_for_any_number_of_threads(lake, monkeypatch, seed, threads):
    rows = lake(seed)
    lower, upper = sorted(random.Random(seed).choices(range(1, 12), k=2))
    for text, expected in expectations(rows, lower, upper):
        assert ask(text, threads, monkeypatch) == expected, text
