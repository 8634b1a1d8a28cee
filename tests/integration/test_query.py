"""``ess query`` from outside: real files, what it prints, what it refuses, how it ends."""

import gzip
import io
import os
import re
import signal
import subprocess
import sys
import zipfile

import pytest

from ess_dask.api.query import query
from ess_dask.query.texts import Texts
from tests.integration.test_stream import sleepers, wait_for

DAYS = 6


@pytest.fixture
def shop(user):
    """Give a user with a category ``sale`` of six daily files, 3 good and 1 bad record each."""
    lake = user.folder / "lake"
    lake.mkdir()
    for day in range(1, DAYS + 1):
        rows = [f"ann,{day},0.1", f'"bob, ""b""",{day * 10},', ",0,2", f"ann,TBD{day},1"]
        text = "who,n,price\n" + "\n".join(rows) + "\n"
        (lake / f"sale_201409{day:02}.csv.gz").write_bytes(gzip.compress(text.encode()))
    user.ess("select", "local")
    user.ess("category", "add", "sale", f"{lake}/sale_*.gz", "--columnspec", "S:who I:n F:price")
    return user


def ask(user, text, code=0, **more):
    return user.ess("query", text, code=code, **more)


@pytest.mark.slow
@pytest.mark.quick
@pytest.mark.parametrize(("limit", "files"), [(0, 0), (2, 1), (4, 2), (100, DAYS)])
def test_a_limit_opens_few_files_at_first(shop, monkeypatch, limit, files):
    monkeypatch.setenv("ESS_CACHE_DIR", shop.env["ESS_CACHE_DIR"])
    monkeypatch.setenv("ESS_WINDOW", "1")
    opened = []
    texts_of = Texts.of

    def watched(texts, file):
        opened.append(file.uri)
        return texts_of(texts, file)

    monkeypatch.setattr(Texts, "of", watched)
    out = io.BytesIO()
    query(f"select who, n from sale:*:* limit {limit}", out)
    assert len(opened) == files
    every = ask(shop, "select who, n from sale:*:*").stdout
    assert out.getvalue().decode() == "".join(every.splitlines(keepends=True)[:limit])


@pytest.mark.slow
@pytest.mark.quick
def test_rows_are_printed_as_aq_pp_prints_them(shop):
    done = ask(shop, "select * from sale:2014-09-02:2014-09-03")
    assert done.stdout == (
        '"ann",2,0.10000000000000001\n"bob, ""b""",20,0\n,0,2\n'
        '"ann",3,0.10000000000000001\n"bob, ""b""",30,0\n,0,2\n'
    )
    assert done.stderr == "2 of 8 records do not fit the columns and were left out\n"
    assert ask(shop, "select PRICE,who from sale:*:2014-09-01 limit 1").stdout == (
        '0.10000000000000001,"ann"\n'
    )


def test_counts_and_groups(shop):
    assert ask(shop, "select count(*) from sale:*:*").stdout == '"row"\n18\n'
    assert ask(shop, "SELECT COUNT(price) FROM sale:2014-09-05:* WHERE n > 5").stdout == (
        '"row"\n3\n'
    )
    asked = "select count(distinct who), count(distinct n) from sale:*:*"
    assert ask(shop, asked).stdout == '"row","k_who","k_n"\n18,3,13\n'
    assert ask(shop, "select who, count(*) from sale:*:* where n group by who").stdout == (
        '"who","Count"\n"ann",6\n"bob, ""b""",6\n'
    )
    two = ask(shop, "select count(n) from sale:*:2014-09-01 group by price who").stdout
    assert two == ('"price","who","Count"\n0.10000000000000001,"ann",1\n0,"bob, ""b""",1\n2,,1\n')


def test_order_and_limit(shop):
    assert ask(shop, "select n from sale:*:* order by n desc limit 3").stdout == "60\n50\n40\n"
    ties = ask(shop, "select n from sale:*:* order by price").stdout
    assert ties.split() == ["10", "20", "30", "40", "50", "60", *"123456", *"000000"]
    assert ask(shop, "select who from sale:*:* limit 0").stdout == ""
    assert ask(shop, "select n from sale:*:* limit 5").stdout == "1\n10\n0\n2\n20\n"


def test_where_is_a_filter_with_functions(shop):
    asked = """select n from sale:*:* where PatCmp(who, "bob*") && (SLeng(who) + n) > 37"""
    assert ask(shop, asked).stdout == "30\n40\n50\n60\n"
    assert ask(shop, "select n from sale:*:* where who = 'ann' and not n <= 5").stdout == "6\n"
    failing = ask(shop, "select n from sale:*:2014-09-01 where 10 / n == 1")
    assert failing.stdout == "10\n"
    assert "1 records were left out" in failing.stderr


def test_the_statement_may_stand_in_several_words(shop):
    words = ["select", "count(*)", "from", "sale:*:*"]
    assert shop.ess("query", *words).stdout == '"row"\n18\n'


def test_an_empty_range_is_told(shop):
    for text, expected in [
        ("select * from sale:2015:*", ""),
        ("select n from sale:2015:* order by n", ""),
        ("select count(distinct n) from sale:2015:*", '"row","k_n"\n0,0\n'),
        ("select count(*) from sale:2015:* group by n", '"n","Count"\n'),
    ]:
        done = ask(shop, text)
        assert (done.stdout, "no file" in done.stderr) == (expected, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("select * from nosuch:*:*", ["nosuch", "sale"]),
        ("select nosuch from sale:*:*", ["nosuch", "character 8", "who, n, price"]),
        ("select * from sale:2014-09-03:2014-09-01", ["after"]),
        ("select * from sale:soon:*", ["soon", "not a date"]),
        ("select * from sale", ["character 15", "CATEGORY:START:END"]),
        ("select * form sale:*:*", ["expected 'from'", "character"]),
        ("select * from sale:*:* where nosuch > 1", ["nosuch"]),
        ("select * from sale:*:* where n >", ["n >"]),
        ("select who from sale:*:* group by who", ["group by", "character 35"]),
        ("select count(*) from sale:*:* order by n", ["order by", "character 31"]),
        ("select count(*) from sale:*:* limit 1", ["limit", "character 31"]),
        ("select count(distinct n) from sale:*:* group by n", ["distinct"]),
    ],
)
def test_refusals(shop, text, words):
    for check in ((), ("--check",)):
        done = shop.ess("query", text, *check, code=2)
        assert done.stdout == ""
        assert [word for word in words if word not in done.stderr] == []


def test_check_reads_nothing(shop):
    for path in (shop.folder / "lake").iterdir():
        path.unlink()
    done = shop.ess("query", "select count(*) from sale:*:* where n > 2", "--check")
    assert (done.stdout, done.stderr) == ("", "")


def test_another_datastore_by_its_label(shop):
    other = shop.folder / "other"
    other.mkdir()
    (other / "sale_20140901.csv").write_text("n,t\n7,x\n")
    shop.ess("select", str(other), "--label", "second")
    shop.ess("category", "add", "sale", "*sale_*")
    assert ask(shop, "select n from sale:*:*").stdout == "7\n"
    shop.ess("select", "local")
    done = shop.ess("query", "select n from sale:*:*", "--label", "second")
    assert done.stdout == "7\n"
    assert (
        "nosuch" in shop.ess("query", "select 1 from sale:*:*", "--label", "nosuch", code=2).stderr
    )


def test_a_broken_file_fails_alone_and_nothing_of_it_counts(shop):
    path = shop.folder / "lake" / "sale_20140903.csv.gz"
    path.write_bytes(path.read_bytes()[:-6])
    for text, expected in [
        ("select count(*) from sale:*:*", '"row"\n15\n'),
        ("select n from sale:2014-09-02:2014-09-04", "2\n20\n0\n4\n40\n0\n"),
        ("select n from sale:2014-09-02:2014-09-04 order by n", "0\n0\n2\n4\n20\n40\n"),
    ]:
        done = ask(shop, text, code=3)
        assert done.stdout == expected
        assert done.stderr.count("sale_20140903.csv.gz") == 1
        assert "1 of" in done.stderr


def test_a_file_that_may_not_be_read_is_named(shop):
    path = shop.folder / "lake" / "sale_20140903.csv.gz"
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path.chmod(0)
    assert path.name in ask(shop, "select count(*) from sale:*:*", code=3).stderr


def test_the_preprocess_command_runs_first(user):
    lake = user.folder / "lake"
    lake.mkdir()
    for day in (1, 2):
        (lake / f"log_2014090{day}.txt").write_text(f"# head\nann|{day}\nbob|x\n# end\n")
    user.ess("select", "local")
    command = "grep -v '^#' | tr '|' ,; test $(date +%Y) -gt 2000"
    user.ess("category", "add", "log", f"{lake}/log_*", "--preprocess", command,
             "--columnspec", "S:who I:n")  # fmt: skip
    assert ask(user, "select * from log:*:*").stdout == '"ann",1\n"ann",2\n'
    user.ess("category", "add", "log", f"{lake}/log_*", "--preprocess", "cat; exit 5", "--noprobe",
             "--columnspec", "S:who I:n", "--overwrite")  # fmt: skip
    failed = ask(user, "select * from log:*:*", code=3)
    assert failed.stdout == ""
    assert failed.stderr.count("failed: exit 5") == 2


def test_titles_where_nobody_probed(user):
    lake = user.folder / "lake"
    lake.mkdir()
    (lake / "a_20140901.csv").write_text("Who,what\nann,x\n")
    (lake / "a_20140902.csv").write_text("bob,y\n")
    user.ess("select", "local")
    user.ess("category", "add", "a", f"{lake}/a_*", "--noprobe", "--columnspec", "S:who S:what")
    assert ask(user, "select who from a:*:*").stdout == '"ann"\n"bob"\n'


def test_delimiters_hours_and_archives(user):
    lake = user.folder / "lake"
    lake.mkdir()
    for hour in (3, 4, 5):
        with zipfile.ZipFile(lake / f"x_20140901_{hour:02}.zip", "w") as archive:
            archive.writestr("one.csv", f"a;b\n{hour};'q'\n")
            archive.writestr("two.csv", f'a;b\n{hour}0;"; "\n')
    user.ess("select", "local")
    regex = "_[:%Y:][:%m:][:%d:]_[:%H:]"
    user.ess("category", "add", "x", f"{lake}/x_*", "--dateregex", regex)
    assert ask(user, "select * from x:2014-09-01 04:2014-09-01 05").stdout == (
        '4,"\'q\'"\n40,"; "\n5,"\'q\'"\n50,"; "\n'
    )
    quoted = "select count(*) from x:'2014-09-01 05:00':*"
    assert ask(user, quoted).stdout == '"row"\n2\n'


@pytest.fixture
def wide(user):
    """Give a user with a category ``wide`` of files that take a while to read."""
    lake = user.folder / "lake"
    lake.mkdir()
    rows = "".join(f"{n % 1000},{n},text {n}\n" for n in range(400_000))
    for day in range(1, 9):
        packed = gzip.compress(("k,n,t\n" + rows).encode(), 1)
        (lake / f"wide_2014090{day}.csv.gz").write_bytes(packed)
    user.ess("select", "local")
    user.ess("category", "add", "wide", f"{lake}/wide_*")
    return user


@pytest.mark.parametrize("tail", ["", " where k > 3", " order by n"])
def test_a_reader_that_has_seen_enough_is_no_error(wide, tail):
    binary = f"{sys.executable} -m ess_dask.cli query 'select n from wide:*:*{tail}'"
    spool = wide.folder / "spool"
    spool.mkdir()
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {binary} | head -1"],
        cwd=wide.folder,
        env=wide.env | {"TMPDIR": str(spool)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.fullmatch(rb"\d+\n", done.stdout)
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize(
    ("where", "limit"), [("", 1000), ("", 1001), ("where k == 999", 3), ("where k == 999", 900)]
)
def test_the_first_rows_are_the_same_however_they_are_read(wide, where, limit):
    # The first file holds what is asked for in its first bytes, or behind them, or not at all.
    found = [(n % 1000, n) for n in range(400_000) if not where or n % 1000 == 999]
    rows = (found * 3)[:limit]
    asked = f"select n, t, k from wide:*:* {where} limit {limit}"
    assert ask(wide, asked).stdout == "".join(f'{n},"text {n}",{k}\n' for k, n in rows)


def test_a_small_file_in_front_of_a_large_one_counts_once(wide):
    lake = wide.folder / "lake"
    (lake / "wide_20140801.csv").write_text("k,n,t\n7,1,one\nx,2,bad\n8,3,three\n")
    done = ask(wide, "select n from wide:*:* where k > 6 limit 994")
    assert done.stdout.splitlines() == ["1", "3", *(str(n) for n in range(7, 999))]
    assert "1 of " in done.stderr and "records do not fit" in done.stderr


def test_a_preprocess_command_runs_once_for_a_file(wide):
    command = 'echo >> "$HOME/runs"; cat'
    wide.ess("category", "add", "one", f"{wide.folder}/lake/wide_20140901*", "--noprobe",
             "--columnspec", "I:k I:n S:t", "--preprocess", command)  # fmt: skip
    assert ask(wide, "select n from one:*:* where n > 300000 limit 1").stdout == "300001\n"
    assert (wide.home / "runs").read_text() == "\n"


def test_a_limit_stops_reading(wide):
    # The last files are not what they say: who reads them fails.
    for path in sorted((wide.folder / "lake").iterdir())[-2:]:
        path.write_bytes(path.read_bytes()[:1000])
    env = {"ESS_THREADS": "1", "ESS_WINDOW": "1"}
    assert ask(wide, "select k, n from wide:*:* limit 2", env=env).stdout == "0,0\n1,1\n"
    assert ask(wide, "select count(*) from wide:*:*", env=env, code=3).stdout == '"row"\n2400000\n'


def test_a_long_order_is_the_same_for_any_number_of_threads(wide):
    asked = "select n, k, t from wide:*:2014-09-02 order by k desc"
    found = {ask(wide, asked, env={"ESS_THREADS": threads}).stdout for threads in ("1", "3")}
    (text,) = found
    lines = text.splitlines()
    expected = [n for k in range(999, -1, -1) for _ in range(2) for n in range(k, 400_000, 1000)]
    assert [int(line.partition(",")[0]) for line in lines] == expected


@pytest.fixture
def slow(shop):
    """Give the user of ``shop`` with a category whose preprocess command waits to be killed."""
    command = "touch begun; sleep 300 & sleep 300; wait"
    shop.ess("category", "add", "slow", f"{shop.folder}/lake/sale_*", "--noprobe",
             "--columnspec", "S:who I:n F:price", "--preprocess", command)  # fmt: skip
    return shop


def test_ctrl_c_twice_leaves_nothing_running_and_prints_no_number(slow, end_processes):
    child = slow.start("query", "select count(*) from slow:*:*", start_new_session=True)
    end_processes.append(child)
    wait_for(lambda: (slow.folder / "begun").exists())
    os.kill(child.pid, signal.SIGINT)
    wait_for(lambda: b"once more" in child.stderr.readline())
    os.kill(child.pid, signal.SIGINT)
    out, _ = child.communicate(timeout=30)
    assert (child.returncode, out) == (130, b"")
    # Killed, they go as soon as the machine finds time for it.
    wait_for(lambda: sleepers(slow) == [])


def test_ctrl_c_once_ends_a_count_without_a_number(shop, end_processes):
    command = "touch begun; sleep 1; cat"
    shop.ess("category", "add", "late", f"{shop.folder}/lake/sale_*", "--noprobe",
             "--columnspec", "S:who I:n F:price", "--preprocess", command)  # fmt: skip
    env = {"ESS_THREADS": "1", "ESS_BATCH_BYTES": "1"}
    child = shop.start("query", "select count(*) from late:*:*", start_new_session=True, env=env)
    end_processes.append(child)
    wait_for(lambda: (shop.folder / "begun").exists())
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, b"")
    assert b"once more aborts" in err


def test_killed_it_takes_its_children_along(slow):
    env = {"TMPDIR": str(slow.folder)}
    child = slow.start("query", "select * from slow:*:*", start_new_session=True, env=env)
    wait_for(lambda: (slow.folder / "begun").exists())
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=10)
    wait_for(lambda: sleepers(slow) == [])


def is_good(line):
    """Whether a line of the synthetic lake is a record: its quotes are never closed."""
    fields = line.split(",")
    if len(fields) < 5 or '"' in line:
        return False
    whole = all(re.fullmatch(r"\d*", fields[at]) for at in (2, 4))
    return whole and bool(re.fullmatch(r"(\d+(\.\d+)?)?", fields[3]))


def test_files_in_s3(user, small_lake):
    from ess_dask.testing.s3 import moto_s3

    folder, _ = small_lake
    good = 0
    with moto_s3() as server:
        client = server.client()
        client.create_bucket(Bucket="lake")
        for path in sorted(folder.glob("purchase_*")):
            client.put_object(Bucket="lake", Key=path.name, Body=path.read_bytes())
            data = path.read_bytes()
            data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            lines = data.decode().splitlines()[1:]
            good += sum(map(is_good, lines))
        user.env |= server.env
        user.ess("select", "s3://lake")
        spec = "S:purchaseDate S:userID I:articleID F:price I:refID"
        user.ess("category", "add", "purchase", "purchase_*", "--columnspec", spec)
        done = ask(user, "select count(*) from purchase:*:*")
    assert done.stdout == f'"row"\n{good}\n'


def test_the_counts_of_the_real_files(user, woodworking):
    user.ess("select", "local")
    user.ess("category", "add", "purchase", f"{woodworking}/*purchase_*")
    spec = "S:purchaseDate S:userID I:articleID f:price I:refID"
    user.ess("category", "change", "columnspec", "purchase", spec)
    span = "purchase:2014-09-01:2014-09-10"
    assert ask(user, f"select count(distinct userID) from {span}").stdout == (
        '"row","k_userID"\n13618,4929\n'
    )
    grouped = ask(user, f"select count(refID) from {span} group by articleID").stdout.splitlines()
    assert grouped[0] == '"articleID","Count"'
    assert sum(int(line.rpartition(",")[2]) for line in grouped[1:]) == 13618
