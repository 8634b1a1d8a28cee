"""What ``import ess_dask`` offers: named, documented, made at first use."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ess_dask as ess


def exported():
    return [name for name in ess.__all__ if name != "__version__"]


def test_all_is_sorted_complete_and_shown():
    assert ess.__all__ == sorted(ess.__all__)
    assert dir(ess) == sorted(ess.__all__)
    homes = {name for names in ess._HOMES.values() for name in names}
    assert homes | {"__version__"} == set(ess.__all__)


def test_every_error_is_exported():
    from ess_dask import errors

    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
    assert kinds <= set(ess.__all__)


@pytest.mark.parametrize("name", exported())
def test_every_name_is_documented(name):
    thing = getattr(ess, name)
    assert thing is getattr(ess, name)
    assert inspect.getdoc(thing), name
    for attribute, value in vars(thing).items() if inspect.isclass(thing) else ():
        plain = inspect.isfunction(value) or isinstance(value, property)
        if plain and not attribute.startswith("_"):
            assert inspect.getdoc(value), f"{name}.{attribute}"


@pytest.mark.parametrize("name", ["connect", "plan_pipeline", "run_pipeline", "select", "sql"])
def test_functions_say_what_they_raise(name):
    assert "Raises" in inspect.getdoc(getattr(ess, name))


def test_the_types_for_editors_are_the_names_at_run_time():
    source = Path(ess.__file__).read_text()
    block = source.partition("if TYPE_CHECKING:")[2].partition("_HOMES")[0]
    for home, names in ess._HOMES.items():
        assert f"from {home} import" in block
        for name in names:
            assert name in block


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'selekt'"):
        _ = ess.selekt
    assert not hasattr(ess, "nothing")


def test_star_import_and_version():
    code = "from ess_dask import *; print(__version__, select.__name__, Lake.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [ess.__version__, "select", "Lake"]


def test_making_a_selection_imports_no_engine_of_rows(tmp_path):
    code = (
        "import sys, ess_dask as ess\n"
        f"ess.select({str(tmp_path)!r}).category('c', '*.csv', columns={{'a': 'int32'}}).all()\n"
        "print([m for m in ('pyarrow', 'polars', 'pandas', 'dask', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TYPED = """
import io
import ess_dask as ess
category = ess.select("lake").category("p", "*.gz", columns={"a": "int32"})
made: ess.Selection = category.between("2014").clean("select * from records", ess.shell("cat"))
blocks = [block.decode() for block in made.stream("cat")]
failed = made.stream("cat", io.BytesIO()).failed
parts: list[int] = made.fold(lambda table: 1, list)
with ess.connect() as cluster:
    table: ess.Table = made.into("a.b", key="a", cluster=cluster)
report: ess.RunReport = ess.run_pipeline("x.yaml", overrides={"load.mode": "replace"})
"""


@pytest.mark.slow
def test_a_users_program_is_checked_by_mypy(tmp_path):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(TYPED)
    bad.write_text("import ess_dask as ess\ness.select(5).category('a')\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    command += ["good.py", "bad.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "good.py" not in done.stdout
    assert 'Argument 1 to "select"' in done.stdout
