"""The shared compatibility cases, where they are at hand, run against the installed programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SHARED

CASES = SHARED / "essentia" / "run_cases.py"
PROGRAMS = ("aq_cat", "aq_cnt", "aq_ord", "aq_pp", "aq_sess", "aq_udb", "loginf", "objcnv")
PROGRAMS += ("ess query",)


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", PROGRAMS)
def test_cases(program, tmp_path):
    report = tmp_path / "report.json"
    env = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    done = subprocess.run(
        [sys.executable, CASES, "--tool", program, "--jobs", "1", "--json", report, "-v"],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    results = json.loads(report.read_text())
    failed = [case["id"] for case in results if not case["ok"]]
    assert results
    assert failed == [], done.stdout[-3000:]
