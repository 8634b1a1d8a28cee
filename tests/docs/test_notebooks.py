"""The notebooks run from top to bottom in a real IPython, and are kept without outputs."""

import json
import re
from pathlib import Path

import pytest

from tests.ipython import Shell

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def read(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def test_there_are_notebooks():
    assert NOTEBOOKS == ["category-to-plot.ipynb", "questions-over-memory.ipynb"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_valid_and_has_no_outputs(name):
    """What the schema of nbformat 4.5 asks of a notebook."""
    notebook = read(name)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert notebook["metadata"]["kernelspec"].keys() >= {"name", "display_name"}
    cells = notebook["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids)
    for cell in cells:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        known = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            known |= {"execution_count", "outputs"}
            assert (cell["execution_count"], cell["outputs"]) == (None, [])
        assert cell["cell_type"] in ("code", "markdown")
        assert set(cell) == known
        assert cell["metadata"] == {}
        assert all(isinstance(line, str) for line in cell["source"])
        assert all(line.endswith("\n") for line in cell["source"][:-1])


@pytest.mark.slow
def test_the_notebooks_run(user):
    for name in NOTEBOOKS:
        with Shell(user) as shell:
            for cell in read(name)["cells"]:
                if cell["cell_type"] == "code":
                    done = shell("".join(cell["source"]))
                    assert done["error"] == "", f"{name} {cell['id']}\n{done['out']}{done['err']}"
