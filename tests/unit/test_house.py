"""The house itself: imports point one way, rooms stay small, start-up stays light."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "ess_dask"

GROUND = {"errors", "folders", "settings", "_settings_model", "_settings_sources", "_version"}
GROUND |= {
    "allocator",
    "credentials",
    "dataclass",
    "documents",
    "drawing",
    "locks",
    "markup",
    "openblas",
    "redact",
    "retry",
    "secret",
    "spool",
}

FLOORS = {
    "documents": {"dataclass", "errors", "folders"},
    "drawing": {"dataclass", "markup"},
    "catalog": GROUND,
    "records": GROUND,
    "cluster": GROUND,
    "clean": {"records", "catalog", "cluster"} | GROUND,
    "aq": {"clean", "records", "catalog"} | GROUND,
    "engine": {"clean", "aq", "cluster", "records", "catalog"} | GROUND,
    "tables": {"engine", "clean", "aq", "cluster", "records", "catalog"} | GROUND,
    "udb": {"engine", "clean", "aq", "cluster", "tables", "records", "catalog"} | GROUND,
    "warehouse": {"engine", "clean", "aq", "records", "catalog"} | GROUND,
    "runs": {"catalog"} | GROUND,
    "profiling": {"engine", "clean", "tables", "records", "catalog"} | GROUND,
    "query": {"engine", "clean", "aq", "cluster", "tables", "records", "catalog"} | GROUND,
    "observe": {"engine", "clean", "records", "catalog", "runs"} | GROUND,
}
ALL_ROOMS = set(FLOORS) | GROUND
FLOORS["pipelines"] = ALL_ROOMS
FLOORS["api"] = ALL_ROOMS | {"pipelines"}
FLOORS["doctor"] = ALL_ROOMS | {"pipelines"}
FLOORS["testing"] = ALL_ROOMS | {"pipelines", "api"}
FLOORS["cli"] = ALL_ROOMS | {"pipelines", "api", "testing", "doctor"}
FLOORS["notebook"] = ALL_ROOMS | {"pipelines", "api", "cli"}
# It lives in the environment of Airflow, where nothing of the engine is.
FLOORS["airflow"] = {"_version"}

NEIGHBOURS = {
    # What a datastore holds is opened there and read by records: both only describe files.
    ("catalog", "records"),
    ("cluster", "tables"),
}


@cache
def modules():
    return sorted(PACKAGE.rglob("*.py"))


@cache
def nodes(path):
    """Return all nodes of a module's code: several tests look at them."""
    return list(ast.walk(ast.parse(path.read_text())))


def imported_rooms(path):
    """Yield (room, line) of every import inside the package, at any depth of the code."""
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ess_dask."):
            yield node.module.split(".")[1], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "ess_dask":
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("ess_dask."):
                    yield name.name.split(".")[1], node.lineno


def test_imports_point_one_way():
    wrong = []
    for path in modules():
        parts = path.relative_to(PACKAGE).parts
        if len(parts) < 2:
            continue
        room = parts[0]
        for other, line in imported_rooms(path):
            allowed = other == room or other in FLOORS[room] or (room, other) in NEIGHBOURS
            if not allowed:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {other}")
    assert wrong == []


GIVEN_OUT = {"cluster", "given", "lake", "loading", "selection", "sql", "table"}
GIVEN_OUT = {f"ess_dask.api.{name}" for name in GIVEN_OUT}
"""Modules of what the API hands out: a selection gives a table, a table an answer, and so on."""


def run_time(node):
    """Yield the nodes below one, without what is there for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from run_time(child)


@pytest.mark.slow
def test_modules_import_one_way_but_for_what_the_api_hands_out():
    names = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in modules()}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {name: set() for name in names}
    for name, path in names.items():
        for node in run_time(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                inside = {f"{node.module}.{each.name}" for each in node.names}
                graph[name] |= inside & set(names) or {node.module} & set(names)
    merged = {}
    for name, imported in graph.items():
        mine = "api" if name in GIVEN_OUT else name
        theirs = {"api" if other in GIVEN_OUT else other for other in imported}
        merged.setdefault(mine, set()).update(theirs - {mine})
    TopologicalSorter(merged).prepare()  # names a circle in its error


def test_no_module_is_a_mansion():
    sizes = {path: len(path.read_text().splitlines()) for path in modules()}
    assert {str(path): size for path, size in sizes.items() if size > 450} == {}


def test_functions_fit_the_eye():
    long = []
    for path in modules():
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = node.end_lineno - node.lineno + 1
                if size > 60:
                    long.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name} {size}")
    assert long == []


@cache
def imported_packages():
    """Return the top-level names of the foreign packages that the package imports anywhere."""
    found = set()
    for path in modules():
        for node in nodes(path):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"ess_dask"}


COME_ALONG = {"aiohttp", "botocore", "msgpack", "packaging", "pydantic_core"}
"""Parts of s3fs, Dask and pydantic: these bring them. ``compression`` is Python's own from 3.14
on, and the packages of ``ess_dask.testing`` come with the extras ``test`` and ``standin`` (werkzeug
with moto), that of ``ess_dask.cluster.ec2`` with ``ec2``."""

WITH_EXTRAS = {"boto3", "dask_cloudprovider", "moto", "psycopg", "pyroute2", "pytest"}
WITH_EXTRAS |= {"werkzeug", "yaml"}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", text)[0] for text in project["dependencies"]}
    declared = {name.replace("-", "_") for name in names}
    assert declared - imported_packages() == set()
    further = imported_packages() - declared - OF_REDSHIFT - OF_AIRFLOW - OF_NOTEBOOKS
    assert further == COME_ALONG | {"compression"} | WITH_EXTRAS


def test_what_redshift_needs_comes_with_its_extra():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["redshift"]
    declared = {re.match(r"[\w-]+", text)[0].replace("-", "_") for text in extra}
    assert OF_REDSHIFT & imported_packages() - declared == set()


OF_REDSHIFT = {"redshift_connector", "sqlalchemy", "sqlalchemy_redshift"}
"""Packages of the extra ``redshift``, imported inside the functions that need them."""


OF_NOTEBOOKS = {"IPython"}
"""Comes with the extra ``ui``; imported only where IPython runs already."""


def test_notebooks_and_plots_come_with_their_extra():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    declared = {re.match(r"[\w-]+", text)[0] for text in project["optional-dependencies"]["ui"]}
    assert declared == {"ipython", "matplotlib"}
    assert imported_packages() >= OF_NOTEBOOKS


OF_AIRFLOW = {"airflow", "asgiref", "flask_appbuilder", "wtforms"}
"""Airflow and what comes with it; only the room ``airflow`` imports them."""


@pytest.mark.slow
def test_only_its_own_room_imports_airflow():
    found = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if OF_AIRFLOW & {name.partition(".")[0] for name in names}:
                found.add(path.relative_to(PACKAGE).parts[0])
    assert found == {"airflow"}


def test_without_airflow_its_room_says_so():
    code = "import sys; sys.modules['airflow'] = None; import ess_dask.airflow"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: ess_dask.airflow needs Apache Airflow 2.10 to 3.x" in done.stderr
    assert "--no-deps" in done.stderr


def test_airflow_is_told_of_the_provider():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    point = project["entry-points"]["apache_airflow_provider"]
    assert point == {"provider_info": "ess_dask.airflow:get_provider_info"}


HEAVY = ["boto3", "botocore", "dask", "distributed", "duckdb", "fsspec", "numpy", "pandas"]
HEAVY += [
    "polars",
    "pyarrow",
    "pydantic",
    "redshift_connector",
    "rich",
    "ruamel",
    "s3fs",
    "stamina",
]


@pytest.mark.parametrize(
    "code",
    [
        "import ess_dask",
        "import ess_dask.cli.main",
        "from ess_dask.cli.main import run, ess; run(ess, ['--help'])",
    ],
)
def test_start_up_imports_nothing_heavy(code, tmp_path):
    script = (
        f"import sys\n{code}\nprint([m for m in {HEAVY} if m in sys.modules], len(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path), "PATH": ""},
    )
    last = done.stdout.strip().splitlines()[-1]
    heavy, count = last.rsplit(" ", 1)
    assert heavy == "[]"
    # A budget in modules, not in milliseconds: 190 modules are about 60 ms on two slow cores.
    assert int(count) < 320
