"""aq programs at the start of a stream's command run in the worker: the outcome is bash's."""

import gzip
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
DAYS = 9
SPEC = "S:id I:n F:x S:text"


@pytest.fixture
def logs(user):
    """A user with files that hold numbers, quotes, line ends in fields and a bad record each."""
    lake = user.folder / "lake"
    lake.mkdir()
    for day in range(1, DAYS + 1):
        rows = "".join(
            f'k{n % 7},{n * day},{n / 7 + day},"t ""{n}"",\n{day}"\n' for n in range(day * 40)
        )
        bad = f"k0,{day}x,1,bad\n"
        (lake / f"log_201409{day:02}.csv.gz").write_bytes(gzip.compress((rows + bad).encode()))
    user.ess("select", "local")
    user.ess("category", "add", "logs", f"{lake}/log_*.gz", "--noprobe", "--columnspec", SPEC)
    user.env["PATH"] = f"{BIN}{os.pathsep}{user.env['PATH']}"
    return user


@pytest.mark.slow
def test_an_import_on_other_machines_without_a_place_for_rows_is_one_error(logs):
    words = ["stream", "logs", "*", "*", f"{READ} -imp d:t"]
    told = logs.ess(*words, code=2, env={"ESS_CLUSTER": "ec2"})
    assert told.stdout == "" and told.stderr.count("no place is set that all of them reach") == 1
    assert "set ESS_SHARED_TABLES" in told.stderr


def in_processes(command):
    """What means the same to bash, but is not plain."""
    return f"{{ {command}; }}"


def unnamed(stderr):
    return re.sub("the command `.*?`", "it", stderr)


READ = "aq_pp -f,eok - -d %cols"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        f"{READ} -filt 'n > 3' -eval x 'x * 2' -c id n x text",
        f"{READ} -eval S:file '\"%file\"' -c n file -o,notitle -",
        f"{READ} -if -filt 'n % 2' -eval text '\"odd\"' -else -skip -endif",
        f"{READ} -o,notitle - | aq_pp -f - -d %cols -eval x 'x + n' -c n x",
        f"{READ} -o,notitle - | aq_cnt -f - -d %cols -k ids id -kX - all id stats:n",
        f"{READ} -c n text | tail -n +2 | aq_pp -f - -d I:n S:text -filt 'n < 100' -o,jsn -",
        f"{READ} -c n | sort -n -t, | tail -2",
        f"{READ} -c n | head -1",
        "aq_ord -f,eok - -d %cols -sort,dec n",
        "aq_cat -f - -o - | wc -l",
        "aq_pp -f - -d %cols",
        f"{READ} | false",
        f"{READ} -filt nosuch",
        f"{READ} -filt nosuch | cat",
    ],
)
def test_both_ways_give_the_same(logs, command):
    inside = logs.ess("stream", "logs", "*", "*", command, code=None)
    outside = logs.ess("stream", "logs", "*", "*", in_processes(command), code=None)
    assert inside.stdout == outside.stdout
    assert inside.returncode == outside.returncode
    assert unnamed(inside.stderr) == unnamed(outside.stderr)
    for threads in (1, 4):
        again = logs.ess("stream", "logs", "*", "*", command, "--threads", threads, code=None)
        assert (again.stdout, again.stderr) == (inside.stdout, inside.stderr)


def test_no_process_is_needed(logs):
    logs.env["PATH"] = "/usr/bin:/bin"
    command = f"{READ} -filt 'n < 2' -o,notitle - -c id n"
    done = logs.ess("stream", "logs", "*", "2014-09-02", command)
    assert done.stdout == '"k0",0\n"k1",1\n"k0",0\n'
    assert "not found" in logs.ess("stream", "logs", "*", "*", in_processes(command), code=3).stderr


def test_what_fails_is_told_as_bash_would(logs):
    done = logs.ess("stream", "logs", "*", "2014-09-01", "aq_pp -f - -d %cols | cat", code=3)
    assert done.stdout == ""
    assert "exit 13" in done.stderr
    assert "aq_pp: <stdin>: record 41: column 'n': '1x' is not an integer" in done.stderr


def test_a_broken_file_is_no_result(logs):
    path = logs.folder / "lake" / "log_20140902.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    for command in (READ, f"{READ} | cat", f"{READ} | aq_cat -f - | aq_cat -f -"):
        done = logs.ess("stream", "logs", "*", "2014-09-03", f"{command}", code=3)
        assert "ends too early" in done.stderr
        assert "Traceback" not in done.stderr
        assert "1 of 3 files failed" in done.stderr


def database(user):
    user.ess("create", "database", "d")
    user.ess("create", "table", "t", "S,pkey:id", "I:n")
    user.ess("create", "vector", "v", "S,pkey:id", "I,+first:one", "I,+last:n", "F,+add:x")


def export(user, target, *more):
    return user.ess("exec", f"aq_udb -exp d:{target} {' '.join(more)}").stdout


@pytest.mark.slow
@pytest.mark.parametrize("target", ["t", "v", "v attr"])
def test_imports_have_the_order_of_the_files(logs, target):
    database(logs)
    target, *attribute = target.split()
    option = "-imp,nonew" if attribute else "-imp"
    command = f"{READ} -filt 'x > 2' -alias n one {option} d:{target}"
    seed = f"{READ} -filt 'n == 9' -alias n one -imp d:{target}"
    found = set()
    for way, threads in ((in_processes(command), 1), (command, 1), (command, 4)):
        logs.ess("exec", "aq_udb -clr d")
        if attribute:
            logs.ess("stream", "logs", "*", "2014-09-01", seed)
        logs.ess("stream", "logs", "*", "2014-09-05", way, "--threads", threads)
        found.add(export(logs, target, "-sort", "id"))
    assert len(found) == 1
    assert len(found.pop().splitlines()) > 1


@pytest.mark.slow
def test_a_file_that_fails_imports_nothing(logs):
    database(logs)
    path = logs.folder / "lake" / "log_20140902.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    done = logs.ess("stream", "logs", "*", "2014-09-03", f"{READ} -c n -imp d:t", code=3)
    assert "ends too early" in done.stderr
    assert logs.ess("exec", "aq_udb -cnt d:t").stdout.splitlines()[-1] == f'"row",{4 * 40}'


@pytest.mark.slow
def test_a_stream_inside_can_be_aborted(logs):
    rows = "".join(f"k{n % 7},{n},1,t\n" for n in range(1_000_000))
    for day in range(10, 14):
        (logs.folder / "lake" / f"log_201409{day}.csv.gz").write_bytes(
            gzip.compress(rows.encode(), 1)
        )
    # Row by row, and each row written at once: more than a minute of work.
    command = "aq_pp -f - -d %cols -eval x 'x * 2' -o,nodelay out.%file"
    child = logs.start("stream", "logs", "2014-09-10", "*", command)
    deadline = time.monotonic() + 60
    while not list(logs.folder.glob("out.*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert b"once more" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert time.monotonic() - started < 30
