"""Eight loaders of overlapping files at once, with faults: every file's rows are there once.

Each schedule is drawn from its number: which files each loader takes, and what breaks. 80 of them
here, 2,000 with ``make stress``.
"""

from __future__ import annotations

import os
import random
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import stamina

from ess_dask.testing.loads import Loader, sales, stage
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.model import LoadRequest, Target

LOADERS, FILES = 8, 6
SCHEDULES = int(os.environ.get("ESS_STRESS") or 80)
PIECES = 8
SERIALIZABLE = (
    "1023 DETAIL: Serializable isolation violation on table - 100123, transactions forming"
)
STATEMENTS = (
    "^LOCK", "^COPY", "^commit", "INSERT INTO .*sales", "_ess_digests", "INSERT INTO .*_ess_ledger",
    "INSERT INTO .*_ess_loads", "CREATE TABLE", "CREATE TEMPORARY TABLE", "SELECT load_id",
    "^begin", "svv_columns",
)  # fmt: skip


@pytest.fixture
def url(redshift, monkeypatch):
    for name, value in redshift.env.items():
        monkeypatch.setenv(name, value)
    stamina.set_testing(True, attempts=50)
    yield f"{redshift.url}&stage={redshift.stage}&iam_role={redshift.role}"
    stamina.set_testing(False)
    redshift.faults.clear()


class Lake:
    """Six files that are staged once, each as a part of its own, for all schedules."""

    def __init__(self, url, folder):
        self.versions = [
            sales(f"f{n}", *range(10 * n, 10 * n + n + 1), date=f"2014-09-0{n + 1}")
            for n in range(FILES)
        ]
        warehouse, target = open_warehouse(url), Target(url, "sales", "shop")
        loader = Loader(warehouse, folder)
        plan = loader.plan(target, self.versions)
        sink = warehouse.sink(str(folder), "lake", plan)
        parts = stage(sink, loader.columns, self.versions, per_part=1)
        self.columns = warehouse.fit(plan, parts).columns
        self.part = {part.uris[0]: part for part in parts}

    def load(self, url, target, numbers, load_id):
        """Plan these files and load those that are new, as a run does."""
        warehouse = open_warehouse(url)
        files = [self.versions[n].file for n in numbers]
        plan = warehouse.plan(target, self.columns, files)
        if not plan.new:
            return None
        parts = tuple(self.part[file.uri] for file in plan.new)
        return warehouse.load(LoadRequest(load_id, plan, "plan", plan.new, parts))


def draw(seed):
    """Return the files of each loader, and the faults: kind, statement."""
    chance = random.Random(seed)
    taken = [chance.sample(range(FILES), chance.randint(1, 4)) for _ in range(LOADERS)]
    kinds = ["cut_before", "cut_after", "fail"]
    faults = [
        (chance.choice(kinds), chance.choice(STATEMENTS)) for _ in range(chance.randint(0, 6))
    ]
    return taken, faults


def run(seed, redshift, url, lake):
    taken, faults = draw(seed)
    schema = f"s{seed}_{uuid.uuid4().hex[:8]}"
    redshift.query(f"CREATE SCHEMA {schema}")
    asked = f"{url}&schema={schema}"
    target = Target(asked, "sales", "shop")
    redshift.faults.clear()
    for kind, statement in faults:
        if kind == "fail":
            redshift.faults.fail_matching(statement, "XX000", SERIALIZABLE)
        else:
            getattr(redshift.faults, f"{kind}_matching")(statement)
    with ThreadPoolExecutor(LOADERS) as pool:
        futures = [
            pool.submit(lake.load, asked, target, numbers, f"load-{seed}-{place}")
            for place, numbers in enumerate(taken)
        ]
        results = [future.result(timeout=100) for future in futures]
    redshift.faults.clear()
    loaded = {n for numbers in taken for n in numbers}
    check(redshift, schema, lake, loaded, results)
    redshift.query(f"DROP SCHEMA {schema} CASCADE")


def check(redshift, schema, lake, loaded, results):
    expected = sorted(
        (row[0], lake.versions[n].uri) for n in loaded for row in lake.versions[n].rows
    )
    assert redshift.query(f"SELECT id, _ess_file FROM {schema}.sales ORDER BY id") == expected
    ledger = redshift.query(f"SELECT uri, rows_loaded FROM {schema}._ess_ledger ORDER BY uri")
    assert ledger == [(f"f{n}", n + 1) for n in sorted(loaded)]
    done = [result for result in results if result is not None]
    assert sum(result.rows_loaded for result in done) == len(expected)
    assert sum(result.files for result in done) == len(loaded)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("piece", range(PIECES))
def test_schedules(redshift, url, tmp_path, piece):
    lake = Lake(url, tmp_path)
    for seed in range(piece, SCHEDULES, PIECES):
        try:
            run(seed, redshift, url, lake)
        except BaseException as error:
            error.add_note(f"schedule {seed}: {draw(seed)}")
            raise
