"""The step that the how-to page shows is a step, and the suite it shows passes."""

import re
import sys
import types
from pathlib import Path

import pytest

from ess_dask.testing.steps import RowStepConformance

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "plugin-step.md"


@pytest.fixture(scope="module")
def page():
    """The page's Python blocks, run one after the other as one module."""
    module = types.ModuleType("plugin_step_page")
    sys.modules[module.__name__] = module  # so that its classes can be pickled
    module.__dict__["__name__"] = module.__name__
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec", flags=0, dont_inherit=True), module.__dict__)
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("check", [name for name in dir(RowStepConformance) if name[:5] == "test_"])
def test_the_step_of_the_page_conforms(page, check):
    getattr(page.TestDropNulls(), check)()


def test_the_step_of_the_page_is_made_from_its_pipeline_value(page):
    assert page.DropNulls.from_pipeline("refID", ".").name == "drop_nulls: refID"
