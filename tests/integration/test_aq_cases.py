"""The shared compatibility cases, where they are at hand, run against the installed programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SHARED

RUNNER = SHARED / "essentia" / "run_cases.py"
CASES = SHARED / "essentia" / "cases.jsonl"
PROGRAMS = ("aq_cat", "aq_cnt", "aq_ord", "aq_pp", "aq_sess", "aq_udb", "loginf", "objcnv")
PROGRAMS += ("ess query",)
WARM = ("aq_udb", "ess query")
"""Those of long imports, again and again in each case: here they have them done. As they are, the
programs run in ``make cases``, in the pages and, the recorded ones, in ``make stress``."""
PIECE = 20
"""Cases of one test: the two processes of a test run share them evenly."""


def pieces():
    """Yield (program, its cases in pieces); a case of two programs is run once, with the last."""
    cases = {}
    for line in CASES.read_text(encoding="utf-8").splitlines() if CASES.exists() else ():
        case = json.loads(line)
        programs = [name for name in case["tool"].split("+") if name in PROGRAMS]
        if programs:
            cases.setdefault(programs[-1], []).append(case)
    for program, mine in sorted(cases.items()):
        for start in range(0, len(mine), PIECE):
            yield pytest.param(program, mine[start : start + PIECE], id=f"{program} {start}")


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("program", "cases"), [*pieces()])
def test_cases(program, cases, tmp_path, warm_programs):
    report, chosen = tmp_path / "report.json", tmp_path / "cases.jsonl"
    chosen.write_text("".join(json.dumps(case) + "\n" for case in cases))
    folders = [Path(sys.executable).parent, os.environ["PATH"]]
    if program in WARM:
        folders.insert(0, warm_programs())
    env = {"PATH": ":".join(map(str, folders)), "LC_ALL": "C.UTF-8"}
    words = ["--cases", chosen, "--jobs", "1", "--json", report, "-v"]
    done = subprocess.run(
        [sys.executable, RUNNER, *words], capture_output=True, text=True, env=env, check=False
    )
    results = json.loads(report.read_text())
    failed = [case["id"] for case in results if not case["ok"]]
    assert len(results) == len(cases)
    assert failed == [], done.stdout[-3000:]
