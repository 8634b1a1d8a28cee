"""Stages inside a worker: rows pass between them as they are, and stages end when they are told."""

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import cancel_all
from ess_dask.engine.inside import Staged, run_staged
from ess_dask.engine.pipes import Pipe
from ess_dask.engine.turns import Place, Turns
from ess_dask.errors import CleanError, InterruptedRunError, ReadError
from ess_dask.udb.programs.inside import find_program

pytestmark = pytest.mark.slow

SPEC = ("-d", "L:n", "F:x", "S:t")
ROWS = b"".join(b'%d,%d.5,"t%d"\n' % (n, n, n) for n in range(40_000))


def run(*stages, source=(ROWS,), rest="", find=find_program, place=None):
    words = tuple(tuple(stage) for stage in stages)
    staged = Staged(words, rest, " | ".join(stage[0] for stage in stages))
    place = place or Place()
    return run_staged(staged, source, StepContext(), find, place, lambda text: None)


def printed(*stages, **more):
    return b"".join(run(*stages, **more))


def handed_over(*stages):
    """Return how many batches passed as rows, and the output."""
    with patch.object(Pipe, "hand_over", autospec=True, side_effect=Pipe.hand_over) as passed:
        output = printed(*stages)
    return passed.call_count, output


READ = ("aq_pp", "-f", "-", *SPEC)


@pytest.mark.parametrize(
    ("first", "second", "passes"),
    [
        ((*READ, "-o,notitle", "-"), READ, True),
        ((*READ, "-o", "-"), ("aq_pp", "-f,+1", "-", *SPEC), True),
        ((*READ, "-o,notitle", "-", "-c", "t", "n"), ("aq_pp", "-f", "-", "-d", "S:t", "X:"), True),
        ((*READ, "-o,notitle,sep=;", "-"), ("aq_pp", "-f,sep=;", "-", *SPEC), False),
        ((*READ, "-o,notitle", "-", "-c", "n"), ("aq_pp", "-f", "-", "-d", "S:n"), False),
        ((*READ, "-o,notitle", "-", "-c", "t"), ("aq_pp", "-f", "-", "-d", "S,up:t"), False),
        ((*READ, "-o,notitle", "-"), ("aq_cat", "-f", "-"), False),
    ],
)
def test_rows_pass_where_text_is_the_same(first, second, passes):
    count, output = handed_over(first, second)
    assert bool(count) == passes
    assert output == printed(second, source=[printed(first)])


def test_a_batch_that_text_would_change_passes_as_text():
    rows = ROWS + b'1,inf,"x"\n2,1,"a\rb"\n'
    first, second = (*READ, "-o,notitle", "-"), READ
    assert printed(first, second, source=[rows]) == printed(
        second, source=[printed(first, source=[rows])]
    )


def test_what_is_wrong_with_the_source_is_told_as_it_is():
    def source():
        yield ROWS
        raise ReadError("it broke off")

    for stages in ([READ], [(*READ, "-o,notitle", "-"), READ]):
        with pytest.raises(ReadError, match="broke off"):
            printed(*stages, source=source())
        with pytest.raises(ReadError, match="broke off"):
            printed(*stages, source=source(), rest="cat")


def test_a_reader_that_has_enough_ends_the_stages():
    def endless():
        while True:
            yield ROWS

    output = run((*READ, "-o,notitle", "-"), READ, source=endless())
    assert next(output)
    output.close()
    assert printed((*READ, "-o,notitle", "-"), source=endless(), rest="head -1") == ROWS[:11]
    assert not [thread for thread in threading.enumerate() if "run" in thread.name]


def test_cancelled_stages_stop_wherever_they_are():
    begun = threading.Event()

    def waits(words):
        from ess_dask.aq.surroundings import turn

        begun.set()
        turn().wait()

    def spins(words):
        begun.set()
        while True:
            pass

    for program in (waits, spins):
        begun.clear()
        place = Place(Turns(), 1)
        output = run(["x"], find=lambda words, program=program: program, place=place)
        outcome = []

        def read(output=output, outcome=outcome):
            try:
                outcome.append(list(output))
            except InterruptedRunError as error:
                outcome.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        assert begun.wait(10)
        cancel_all()
        thread.join(10)
        assert isinstance(outcome[0], InterruptedRunError)


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "link", "fifo"])
def test_a_program_that_reads_a_device_has_a_process(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/dev/stdin")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "plain").write_text("x")
    assert find_program(["aq_pp", "-f", path]) is None
    assert find_program(["aq_pp", "-f", "plain", "-o", "/dev/null"]) is not None


FAILS = ("aq_pp", "-f", "-", *SPEC, "-filt", "nosuch == 1")


@pytest.mark.parametrize(
    ("stages", "rest", "fails"),
    [
        ([FAILS], "cat", True),
        ([FAILS], "yes | head -1", False),
        ([FAILS, ("aq_cat", "-f", "-")], "", True),
        ([READ], "true", False),
        ([READ], "false", True),
    ],
)
def test_the_outcome_is_that_of_pipefail(stages, rest, fails):
    shell = " | ".join(shlex.join(stage) for stage in stages) + (f" | {rest}" if rest else "")
    script = f"set -o pipefail; {shell}"
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    bash = subprocess.run(["bash", "-c", script], input=ROWS, capture_output=True, env=env)
    assert (bash.returncode not in (0, 141)) == fails
    if fails:
        with pytest.raises(CleanError):
            printed(*stages, rest=rest)
    else:
        assert printed(*stages, rest=rest) == bash.stdout


def test_complaints_of_the_stages_come_first():
    with pytest.raises(CleanError, match=r"exit 3\naq_pp: rec=40000.*\noops"):
        printed((*READ, "-stat"), rest="sh -c 'cat >/dev/null; echo oops >&2; exit 3'")


def test_nothing_is_imported_from_a_stage_that_failed():
    published = []

    def imports(words):
        from ess_dask.aq.surroundings import standard_input, turn

        while standard_input().read(1 << 20):
            pass
        turn().wait()
        published.append(words)

    def find(words):
        return imports if words[0] == "import" else find_program(words)

    bad = [ROWS, b"not,a,row,at,all\n"]
    with pytest.raises(CleanError, match="exit 13"):
        printed(READ, ["import"], source=bad, find=find)
    assert published == []
    printed(READ, ["import"], find=find)
    assert len(published) == 1
