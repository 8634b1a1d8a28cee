"""Databases in memory from outside: imports, questions, upkeep, on a real cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

BIN = Path(sys.executable).parent
ROWS = "x,1\nx,2\ny,3\ny,4\nz,5\n"


class Shop:
    """A user with a database ``d``: table t, vector v, variable g."""

    def __init__(self, user):
        self.user = user
        user.ess("create", "database", "d")
        user.ess("create", "table", "t", "s,pkey:id", "i,tkey:n")
        user.ess("create", "vector", "v", "s,pkey:id", "i,+add:s")
        user.ess("create", "variable", "i:g", "s:w")

    def run(self, *words, data="", code=0):
        """Run a program; return its output (bytes) after checking its exit code."""
        data = data if isinstance(data, bytes) else data.encode()
        ended, out, err = self.user.program(*words, data=data)
        assert ended == code, (words, err)
        assert b"Traceback" not in err, err
        self.err = err.decode()
        return out

    def load(self, data=ROWS, target="d:t", *more, column="i:n"):
        self.run("aq_pp", "-d", "s:id", column, *more, "-imp", target, data=data)

    def rows(self, *words):
        """Return an export without its title, as text."""
        return self.run("aq_udb", "-exp", *words, "-o,notitle", "-").decode()


@pytest.fixture
def shop(user):
    return Shop(user)


def test_floats_are_summed_row_after_row_over_imports(shop):
    """Folded onto nothing, onto what is there, and added by the workers: the same digits."""
    shop.user.ess("create", "vector", "f", "s,pkey:id", "f,+add:x", "i,+add:n")
    numbers = [key * 0.1 + row * 1e-3 for row in range(40) for key in range(5)]
    data = "".join(f"k{at % 5},{x!r},1\n" for at, x in enumerate(numbers))
    few = "".join(f"k{key},0.7,1\n" for key in range(2))
    for text in (data, data, few):
        shop.run("aq_pp", "-d", "s:id", "f:x", "i:n", "-imp", "d:f", data=text)
    sums = [0.0] * 5
    for at, x in [*enumerate(numbers), *enumerate(numbers), (0, 0.7), (1, 0.7)]:
        sums[at % 5] += x
    wanted = [f'"k{key}",{x:.17g},{80 + (key < 2)}\n' for key, x in enumerate(sums)]
    assert shop.rows("d:f") == "".join(wanted)


def test_a_database_from_first_import_to_the_end(shop):
    shop.load()
    assert "started the local cluster" in shop.err
    shop.load(target="d:v", column="i:s")
    assert shop.run("aq_udb", "-exp", "d:t", "-c", "*", "v.s", "g").decode() == (
        '"id","n","v.s","var.g"\n"x",1,3,0\n"x",2,3,0\n"y",3,7,0\n"y",4,7,0\n"z",5,5,0\n'
    )
    # Keys without rows: a vector has a row for each, a count counts them.
    shop.load("q,0\nx,0\n", "d")
    assert shop.rows("d:v") == '"x",3\n"y",7\n"z",5\n"q",0\n'
    assert shop.run("aq_udb", "-inf", "d") == b'"pkey","var","t","v"\n4,1,5,4\n'
    # What is sorted keeps its keys' places; -ord on the keys changes these.
    shop.run("aq_udb", "-ord,dec", "d:t", "n")
    assert shop.rows("d:t") == '"x",2\n"x",1\n"y",4\n"y",3\n"z",5\n'
    shop.run("aq_udb", "-ord,dec", "d", "id")
    assert shop.rows("d") == '"z"\n"y"\n"x"\n"q"\n'
    shop.load("a,7\nz,6\n")
    assert shop.rows("d:t") == '"z",5\n"z",6\n"y",4\n"y",3\n"x",2\n"x",1\n"a",7\n'
    shop.run("aq_udb", "-ord", "d")
    assert shop.rows("d:t", "-filt", 'id == "x"') == '"x",1\n"x",2\n'
    # A cleared table leaves its keys, a cleared database nothing.
    shop.run("aq_udb", "-clr", "d:t")
    assert shop.run("aq_udb", "-cnt", "d:t") == b'"field","count"\n"pkey",5\n"row",0\n'
    shop.run("aq_udb", "-probe", "d")
    shop.run("aq_udb", "-clr", "d")
    shop.run("aq_udb", "-probe", "d", code=34)
    assert shop.rows("d") == ""


def test_rules_write_the_database(shop):
    shop.load()
    shop.run("aq_udb", "-scn", "d:t", "-var", "g", "0", "-eval", "g", "g + n", "-var", "w", '"é"')
    assert shop.run("aq_udb", "-exp", "d:var").decode() == '"g","w"\n15,"é"\n'
    shop.run("aq_udb", "-scn", "d:t", "-eval", "v.s", "v.s + n", "-if", "-filt", "n == 2",
             "-del_row", "-elif", "-filt", "n == 3", "-del_key", "-else", "-eval", "n", "n * 10",
             "-endif")  # fmt: skip
    assert shop.rows("d:t") == '"x",10\n"z",50\n'
    assert shop.rows("d:v") == '"x",3\n"z",5\n'
    shop.run("aq_udb", "-scn", "d:t", "-del_row")
    assert shop.rows("d") == '"x"\n"z"\n'
    shop.run("aq_udb", "-clr", "d:var")
    assert shop.rows("d:var") == "0,\n"
    shop.run("aq_pp", "-d", "i:g", "s:w", "-imp", "d:var", data="4,ww\n")
    assert shop.rows("d:var") == '4,"ww"\n'
    assert shop.run("aq_udb", "-exp", "d:var", "-filt", "g > 3", "-c", "w", "g") == (
        b'"w","g"\n"ww",4\n'
    )
    shop.user.ess("create", "variable", "f:more")
    shop.run("aq_udb", "-exp", "d:var", code=34)
    shop.run("aq_udb", "-alt", "d")
    assert shop.rows("d:var") == '4,"ww",0\n'


def test_what_an_import_takes(shop):
    shop.load(b"\xff\xfe,1\n,2\ngr\xc3\xbcn,3\n", "d:t")
    assert shop.run("aq_udb", "-exp", "d:t", "-sort", "n", "-o,notitle", "-") == (
        b'"\xff\xfe",1\n,2\n"gr\xc3\xbcn",3\n'
    )
    shop.run("aq_pp", "-d", "s:id", "i:n", "-imp,noold", "d:t", data=",8\nnew,8\nnew,9\n")
    shop.run("aq_pp", "-d", "s:id", "i:n", "-imp,nonew", "d:t", data=",7\nother,7\n")
    assert shop.rows("d:t", "-filt", "n > 6") == ',7\n"new",8\n"new",9\n'
    shop.run("aq_pp", "-d", "s:id", "-imp", "d:t", data="x\n", code=2)
    assert "no column 'n'" in shop.err
    shop.run("aq_pp", "-d", "s:id", "s:n", "-imp", "d:t", data="x,1\n", code=2)
    shop.run("aq_pp", "-d", "s:id", "-imp,ddef", "d:t", data="blank\n")
    assert shop.rows("d:t", "-filt", 'id == "blank"') == '"blank",0\n'
    # An import that fails leaves nothing behind.
    shop.run("aq_pp", "-d", "s:id", "i:n", "-imp", "d:t", data="w,1\nw,x\n", code=13)
    assert shop.rows("d:t", "-filt", 'id == "w"') == ""


def test_samples_part_the_keys(shop):
    names = [f"k{number}" for number in range(60)]
    shop.load("".join(f"{name},1\n" for name in names))
    parts = [shop.rows("d:t").splitlines()]
    parts += [
        shop.run("aq_udb", f"-exp,seg={n}/3:7", "d:t", "-o,notitle", "-").decode().splitlines()
        for n in (1, 2, 3)
    ]
    whole, *segments = parts
    assert sorted(line for part in segments for line in part) == sorted(whole)
    assert all(segments)
    shop.run("aq_udb", "-clr", "d")
    data = "".join(f"{name},1\n" for name in names)
    shop.run("aq_pp", "-d", "s:id", "i:n", "-imp,seg=2/3:7", "d:t", data=data)
    assert shop.rows("d:t").splitlines() == segments[1]


def test_as_a_source_and_by_sql(shop):
    shop.load(ROWS + "ü,7\n")
    words = ["-exp", "d:t", "-filt", 'n > 4 || id == "y"', "-sort,dec", "n", "--", "-eval", "n"]
    assert shop.run("aq_pp", *words, "n + 1").decode() == '"id","n"\n"ü",8\n"z",6\n"y",5\n"y",4\n'
    counted = shop.run("aq_pp", "-cnt", "d:t", "-filt", 'id == "ü"', "--", "-filt", "count > 0")
    assert counted == b'"field","count"\n"pkey",1\n"row",1\n'
    query = "select n from d:t where n > 1 and n <> 3 order by n desc limit 2"
    assert shop.run("udbsql", query) == b"7\n5\n"
    assert shop.run("udbsql", "select count(distinct id), count(*) from d:t") == (
        b'"row","k_id"\n6,4\n'
    )
    assert shop.run("udbsql", "-l", "select * from d:t") == b"aq_udb -exp d:t -o,notitle -\n"
    shop.run("udbsql", "select count(*) from nosuch:t", code=3)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_worker_killed_in_the_middle(shop, workers):
    shop.user.env["ESS_WORKERS"] = workers
    lines = "".join(f"user{n * 7919 % 5003},{n % 97}\n" for n in range(40_000))
    shop.load(lines)
    words = ["aq_udb", "-exp", "d:t", "-eval", "n", "n + 1", "-sort,dec", "n", "-o", "-"]
    before = shop.run("aq_udb", "-exp", "d:t")
    pids = shop.user.python(
        "from ess_dask.cluster.local import attach, connect\n"
        "import os\n"
        "with connect(attach()) as client: print(*client.run(os.getpid).values())"
    ).stdout.split()
    child = subprocess.Popen(
        [BIN / words[0], *words[1:]],
        cwd=shop.user.folder,
        env=shop.user.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.kill(int(pids[0]), signal.SIGKILL)
    out, err = child.communicate(timeout=100)
    assert child.returncode == 0, err
    wanted = [
        (int(line.rpartition(",")[2]) + 1, at, line.rpartition(",")[0])
        for at, line in enumerate(before.decode().splitlines()[1:])
    ]
    wanted.sort(key=lambda row: (row[0], row[1]), reverse=True)
    assert out.decode().splitlines()[1:] == [f"{name},{n}" for n, _, name in wanted]
    # What the rules wrote is there once, too.
    assert shop.run("aq_udb", "-cnt", "d:t") == b'"field","count"\n"pkey",5003\n"row",40000\n'
    total = shop.run("aq_pp", "-exp", "d:t", "--", "-var", "l:s", "0", "-eval", "s", "s + n",
                     "-ovar,notitle", "-")  # fmt: skip
    assert int(total) == sum(n for n, _, _ in wanted)


def wait_for_work(daemon, child):
    """Wait until the workers of a daemon have worked for half a second."""

    def used():
        return sum(sum(worker.cpu_times()[:2]) for worker in daemon.children(recursive=True))

    before = used()
    while used() < before + 0.5 and child.poll() is None:
        time.sleep(0.02)


def test_the_cluster_killed_in_the_middle(shop):
    """It is told as such, nothing is half done, and the next command begins anew."""
    shop.load("".join(f"user{n % 5003},{n % 97}\n" for n in range(200_000)))
    state = json.loads((shop.user.home / ".ess" / "daemon" / "state.json").read_text())
    # A group with a variable goes row by row, in one place.
    words = ["-scn", "d:t", "-pp", ".", "-eval", "g", "g + 1", "-endpp", "-eval", "n", "n + 1"]
    with subprocess.Popen(
        [BIN / "aq_udb", *words], cwd=shop.user.folder, env=shop.user.env, stderr=subprocess.PIPE
    ) as child:
        wait_for_work(psutil.Process(state["pid"]), child)
        os.kill(state["pid"], signal.SIGKILL)
        _, err = child.communicate(timeout=100)
    assert child.returncode == 32, err
    assert b"the cluster stopped or was restarted; what it held in memory is lost" in err
    assert b"Traceback" not in err
    assert shop.run("aq_udb", "-cnt", "d:t") == b'"field","count"\n"pkey",0\n"row",0\n'
