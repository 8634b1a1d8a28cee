"""``ess stream`` with a command that imports: beside each other only where imports take turns."""

import pytest

from ess_dask.api.stream import _own_threads
from ess_dask.engine.executor import usable_cores


@pytest.mark.parametrize(
    ("command", "alone"),
    [
        ("aq_pp -f - -d %cols -imp d:t", False),
        ("{ aq_pp -f - -d %cols -imp d:t; }", True),
        ("aq_pp -d s:a | sort | aq_pp -d s:a -imp,ddef,seg=1/2 d:t", True),
        ("cat x-imp -imports -imp-ort", False),
        ("cat", False),
    ],
)
def test_imports_come_in_file_order(command, alone):
    assert _own_threads(command) == (1 if alone else usable_cores())
