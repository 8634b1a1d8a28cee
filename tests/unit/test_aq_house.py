"""The aq programs as processes: light start-up, exit codes, pipes that break, flat memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.vector.plan import why_rows

BIN = Path(sys.executable).parent
HEAVY = ("numpy", "polars", "pyarrow", "pandas", "duckdb", "dask", "click", "pydantic", "regex")


def run(*words, **more):
    return subprocess.run([BIN / words[0], *words[1:]], capture_output=True, check=False, **more)


@pytest.mark.parametrize(
    "words", ["'-test', '-d', 's:a', '-filt', 'a'", "'-d', 's:a', '-eval', 's:b', 'a'"]
)
def test_start_up_is_light(words):
    code = f"import sys; from ess_dask.aq.programs.aq_pp import aq_pp; aq_pp([{words}]); "
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, input="x\n", check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_start_up_is_light_with_databases_wired_in():
    code = "import sys; from ess_dask.udb.programs.aq_pp import wired; "
    code += "wired(['-test', '-d', 's:a', '-filt', 'a']); "
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "program",
    ["aq_cat", "aq_cnt", "aq_ord", "aq_pp", "aq_sess", "aq_udb", "loginf", "logcnv", "objcnv"],
)
def test_console_scripts(program):
    assert run(program, "-h").stdout.startswith(program.encode())
    assert run(program, "-no-such-option", input=b"").returncode == 2


def test_a_reader_that_has_enough(tmp_path):
    source = tmp_path / "in"
    source.write_bytes(b"x,1\n" * 400000)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{BIN}/aq_pp' -f '{source}' -d s:a i:b | head -2"],
        capture_output=True,
        check=False,
    )
    assert done.stdout == b'"a","b"\n"x",1\n'
    assert done.stderr == b""


@pytest.mark.slow
def test_memory_is_flat(tmp_path):
    block = "".join(f"user{n % 977},{n},{n / 7:.3f}\n" for n in range(60000)).encode()
    code = (
        "import os, resource, sys; from ess_dask.aq.programs.aq_pp import aq_pp;"
        "words = ['-d', 's:u', 'i:n', 'f:f', '-filt', 'n % 3 == 0', '-eval', 'f:g', 'f * n'];"
        "aq_pp([*words, '-o', '/dev/null']);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak(times):
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(times):
            child.stdin.write(block)
        out, _ = child.communicate()
        assert child.returncode == 0
        return int(out)

    assert peak(400) < 1.3 * peak(100)


def test_what_runs_by_batches():
    def why(*rules, form="-f"):
        return why_rows(parse_command([form, "x", "-d", "s:a", "i:n", *rules], None, None))

    assert why("-filt", "n > 1") == ""
    assert why("-var", "i:v", "0", "-eval", "v", "v + n") == ""
    assert why("-var", "i:v", "0", "-eval", "v", "v * n")
    assert why("-var", "i:v", "0", "-filt", "v > 1", "-eval", "v", "n")
    assert why("-eval", "n", "$Random")
    assert why("-quit")
    assert why("-o", "x", "-o", "./x")
    assert why("-o,nodelay", "x")
    assert why(form="-f,esc")
