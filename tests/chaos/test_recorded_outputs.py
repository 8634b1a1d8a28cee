"""Essentia's recorded outputs, byte for byte: on one worker and on four, also with workers killed.

The cases and their data lie beside the repository. A killed worker is one that ``ess udbd ckmem``
names; it dies in the middle of an import, and again before each program that uses the database.
In ``make stress`` the programs are as they are installed, here they have their imports done.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SHARED

RUNNER = SHARED / "essentia" / "run_cases.py"
CASES = SHARED / "essentia" / "cases.jsonl"
DATABASES = ("rec-wordcount", "rec-ww-database")
STRESS = bool(os.environ.get("ESS_STRESS"))
WORKERS = [1, 4] if STRESS else [4]
"""One worker alone is what the shared cases themselves run on."""
STREAMS = ("rec-ww-etl", "rec-ww-read_purchase", "rec-ww-summary")

pytestmark = [
    pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here"),
    pytest.mark.timeout(600),
]

# A worker that was killed a moment ago may still be named, or be the only one.
KILL = r"""#!/bin/bash
for attempt in {1..60}; do
  pid=$(ess udbd ckmem </dev/null | sed -n '1s/.*: worker [0-9]* (\([0-9]*\)).*/\1/p')
  kill -9 $pid 2>/dev/null && echo $pid >> "$KILLED" && exit
done
"""
MIDWAY = r"""#!/bin/bash
awk 'NR == 500 { fflush(); system("kill-worker") } { print }'
"""
INTO = {
    "rec-wordcount": (r"\| (aq_pp .* -imp)", r"| midway | \1"),
    "rec-ww-database": (
        r'"(aq_pp .* -imp)',
        r'"if test %file = purchase_20140911; then midway; else cat; fi | \1',
    ),
}
"""Where the input of an import passes by a place at which a worker is killed."""


def recorded():
    cases = map(json.loads, CASES.read_text(encoding="utf-8").splitlines())
    return {case["id"]: case for case in cases if case["kind"] == "recorded"}


def disturbed(case):
    """Return the case with a worker killed in an import and before whatever asks the database."""
    what, by = INTO[case["id"]]
    command, found = re.subn(what, by, case["command"])
    assert found == 1
    command, found = re.subn(r'^(ess exec "aq_udb|aq_udb)', r"kill-worker; \1", command, flags=re.M)
    assert found >= 1
    return {**case, "command": command}


@pytest.fixture
def path(tmp_path, warm_programs):
    """Give the search path of the cases, with the programs that kill."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("kill-worker", KILL), ("midway", MIDWAY)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    warm = [] if STRESS else [warm_programs()]
    folders = [folder, *warm, Path(sys.executable).parent, os.environ["PATH"]]
    return ":".join(map(str, folders))


def check(case, tmp_path, workers, path):
    """Run the case and compare its output; return the pids of the workers that were killed."""
    cases, report, killed = (tmp_path / name for name in ("cases.jsonl", "report.json", "killed"))
    cases.write_text(json.dumps(case) + "\n")
    killed.write_text("")
    env = {
        "PATH": path,
        "LC_ALL": "C.UTF-8",
        "ESS_WORKERS": str(workers),
        "KILLED": str(killed),
    }
    words = ["--cases", cases, "--jobs", "1", "--timeout", "200", "--json", report, "-v"]
    done = subprocess.run(
        [sys.executable, RUNNER, *words], capture_output=True, text=True, env=env, check=False
    )
    (result,) = json.loads(report.read_text())
    assert result["ok"], done.stdout[-3000:]
    return killed.read_text().split()


def test_these_are_all_there_are():
    assert sorted(recorded()) == sorted((*DATABASES, *STREAMS))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream(name, workers, tmp_path, path):
    check(recorded()[name], tmp_path, workers, path)


@pytest.mark.skipif(not STRESS, reason="as below, where workers are killed besides: make stress")
@pytest.mark.parametrize("name", DATABASES)
def test_a_database_on_four_workers(name, tmp_path, path):
    # On one: tests/integration/test_aq_cases.py.
    check(recorded()[name], tmp_path, 4, path)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("name", DATABASES)
def test_a_database_whose_workers_are_killed(name, workers, tmp_path, path):
    case = disturbed(recorded()[name])
    killed = check(case, tmp_path, workers, path)
    assert len(set(killed)) == case["command"].count("kill-worker; ") + 1
