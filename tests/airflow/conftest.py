"""A real Airflow on SQLite, with the ``ess`` of another environment: ``make airflow``.

Skipped where there is no Airflow, as in the environment of all other tests.
"""

import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from datetime import UTC
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.airflow.shop import Shop, connect, wait_for

if find_spec("airflow") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    HOME = Path(tempfile.mkdtemp(prefix="airflow-"))
    os.environ |= {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "TZ": "UTC",
    }
    (HOME / "dags").mkdir()


def pytest_sessionfinish(session):
    if "HOME" in globals():
        shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow():
    """Give the home of an Airflow with an empty database, made once for an environment."""
    empty = Path(sys.prefix) / "empty.db"
    if not empty.exists():
        migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, check=True, timeout=300, capture_output=True)
        shutil.copy(HOME / "airflow.db", empty)
    shutil.copy(empty, HOME / "airflow.db")
    return HOME


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Give a shop with the files of three days; nothing of it may be left running."""
    place = Shop(tmp_path / "shop")
    connect(monkeypatch, "shop", place.extra())
    yield place
    wait_for(lambda: not place.processes())


HEAD = """
from datetime import datetime, timedelta, timezone
from airflow import DAG
from ess_dask.airflow import EssRunOperator, EssSensor

with DAG("DAG_ID", schedule="@daily", start_date=datetime(2014, 9, 1, tzinfo=timezone.utc),
         catchup=False) as dag:
"""


class Ran:
    """A DAG run that has ended: states and XComs by task ({} when killed), and what was logged."""

    def __init__(self, run, log):
        self.log = log
        self._instances = {ti.task_id: ti for ti in run.get_task_instances()} if run else {}
        self.states = {name: str(ti.state) for name, ti in self._instances.items()}

    def link(self, task):
        """Return the address behind the task's button: Airflow 3 keeps it, 2 asks for it."""
        from ess_dask.airflow import EssReportLink

        kept = self.xcom(task, "_link_EssReportLink")
        return kept or EssReportLink().get_link(None, ti_key=self._instances[task].key)

    def xcom(self, task, key="return_value"):
        return self._instances[task].xcom_pull(task_ids=task, key=key)


@contextmanager
def listening():
    """Give the lines that are logged by Airflow 2, which writes to streams of earlier tests."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logging.Formatter().format(record))
    logger = logging.getLogger("airflow.task")
    before = list(logger.handlers)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.handlers[:] = before


def ending_dag_test():
    """Return what ends ``dag.test`` itself in Airflow 2: it runs the task in its own process."""
    from airflow.exceptions import AirflowTaskTerminated, AirflowTaskTimeout

    return AirflowTaskTerminated, AirflowTaskTimeout


@pytest.fixture
def run_dag(airflow, request, capfd):
    """Give a function that runs a DAG, written as its tasks, for the second of September 2014."""
    from datetime import datetime

    from airflow import __version__

    is_old = __version__.startswith("2.")
    of_airflow_2 = ending_dag_test() if is_old else ()
    paths = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}

    def run(body, *, name=None, text=None):
        name = name or f"dag_{abs(hash(request.node.nodeid))}_{len(paths)}"
        path = airflow / "dags" / f"{name}.py"
        lines = [f"    {line}\n" for line in body.strip().splitlines()]
        path.write_text(text or HEAD.replace("DAG_ID", name) + "".join(lines))
        paths.append(path)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        dag = module.dag
        date = "execution_date" if is_old else "logical_date"
        capfd.readouterr()
        ended = None
        with listening() as lines, suppress(*of_airflow_2):
            ended = dag.test(**{date: datetime(2014, 9, 3, tzinfo=UTC)})
        return Ran(ended, "\n".join((*lines, *capfd.readouterr())))

    yield run
    for path in paths:
        path.unlink()
    for number, handler in handlers.items():
        signal.signal(number, handler)
