"""``ess stream`` with a command that imports: beside each other only where imports take turns."""

import pytest

from ess_dask.api.stream import _imports_inside, _own_threads
from ess_dask.engine.executor import usable_cores


@pytest.mark.parametrize(
    ("command", "alone"),
    [
        ("aq_pp -f - -d %cols -imp d:t", False),
        ("{ aq_pp -f - -d %cols -imp d:t; }", True),
        ("{ aq_pp -f - -d %cols '-imp' d:t; }", True),
        ("aq_pp -d s:a | sort | aq_pp -d s:a -imp,ddef,seg=1/2 d:t", True),
        ("cat x-imp -imports -imp-ort", False),
        ("cat", False),
    ],
)
def test_imports_come_in_file_order(command, alone):
    assert _own_threads(command) == (1 if alone else usable_cores())


@pytest.mark.parametrize("option", ["-imp", "'-imp'", '"-imp,ddef"', "\\-imp", '-i"m"p'])
def test_imports_inside_take_turns_however_they_are_written(option):
    assert _imports_inside(f"aq_pp -f - -d %cols {option} d:t")
    assert not _imports_inside(f"aq_pp -f - -d %cols | sort | aq_pp {option} d:t")
