"""The main job on a synthetic lake, end to end, with its numbers checked: ``ess demo``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError
from ess_dask.testing.lake import LakeAccount, make_lake

if TYPE_CHECKING:
    from ess_dask.pipelines.report import RunReport
    from ess_dask.pipelines.run import Listener

QUESTION = "Which articles earn the most?"
ANSWER = """
    select articleID as article, sum(price) as earned
    from sales group by articleID order by earned desc, article limit 8
"""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made and found. ``answer`` has (article, money earned), best first."""

    folder: Path
    lake: LakeAccount
    report: RunReport
    answer: tuple[tuple[int, float], ...]

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that was loaded."""
        return self.folder / "warehouse.duckdb"


def run_demo(folder: Path, say: Callable[[str], None], listener: Listener) -> DemoResult:
    """Make a lake in ``folder``, run the woodworking pipeline on it, ask the warehouse.

    ``folder`` must be new or a demo's own. Raises ``DataError`` when a number is not what the lake
    was made with.
    """
    say("making a lake: 30 days of a woodworking shop, with dirt ...")
    lake = make_lake(folder / "lake")
    say(
        f"  {lake.files} files, {lake.stored_bytes:,} bytes; running the pipeline `woodworking` ..."
    )
    report = _run(folder, listener)
    _check(lake, report)
    return DemoResult(folder, lake, report, _ask(folder / "warehouse.duckdb"))


def _run(folder: Path, listener: Listener) -> RunReport:
    from ess_dask.pipelines.load import find_pipeline, load_pipeline
    from ess_dask.pipelines.prepare import make_plan
    from ess_dask.pipelines.run import run_plan
    from ess_dask.settings import load_settings

    path = find_pipeline("woodworking")
    warehouse = f"duckdb:///{(folder / 'warehouse.duckdb').absolute()}"
    places = [f"source.store={folder / 'lake'}", f"load.to={warehouse}"]
    pipeline = load_pipeline(path, places)
    settings = load_settings(pipeline=pipeline.settings)
    return run_plan(make_plan(pipeline, path.parent, settings), settings, listener)


def _check(lake: LakeAccount, report: RunReport) -> None:
    """Compare the account of the run with what was put into the lake."""
    expected = {
        "rows read": (report.rows_read, lake.purchases),
        "rows loaded": (report.rows_loaded, lake.loadable),
        "rows rejected": (report.rows_rejected, lake.bad),
        "rows dropped": (report.rows_dropped, lake.free),
    }
    wrong = [f"{name} {got:,} != {want:,}" for name, (got, want) in expected.items() if got != want]
    if wrong or not report.balanced:
        raise DataError(f"the demo's numbers do not add up: {'; '.join(wrong) or report.render()}")


def _ask(warehouse: Path) -> tuple[tuple[int, float], ...]:
    import duckdb

    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rows = connection.execute(ANSWER).fetchall()
    return tuple((int(article), float(earned)) for article, earned in rows)
