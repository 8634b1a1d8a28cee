"""Memory does not grow with the lake."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
from pathlib import Path
from bench.memory import measure
for name, peaks in measure(Path(sys.argv[1]), int(sys.argv[2])).items():
    print(name, peaks.small, peaks.large)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_times_the_lake_needs_no_more_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path, "1000000"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=280, check=True,
    )  # fmt: skip
    found = {name: (float(a), float(b)) for name, a, b in map(str.split, done.stdout.splitlines())}
    assert set(found) == {"stream", "run"}
    for name, (small, large) in found.items():
        assert 20 < small < 800, name
        assert large / small < 1.3, (name, small, large)
