"""``ess redshift gentable`` and ``stream`` against the stand-in, as a user sees them."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.redshift import only_standin

pytestmark = pytest.mark.slow

SPEC = "S:name IS:id F:price X:junk L:big I:count LS:change IP:host"
LONG = "é" * 200
NAMES = ["it's", 'say "x"', LONG]


@pytest.fixture
def server(redshift):
    return only_standin(redshift)


def line(name, number):
    quoted = '"' + name.replace('"', '""') + '"'
    return (
        f"{quoted},{number},{number / 4},x,{2**64 - number},{2**32 - number},{-number},10.0.0.1\n"
    )


@pytest.fixture
def user(user, server):
    """Give a user with the category ``sold`` of two files, in a schema of his own."""
    user.schema = f"s{abs(hash(user.home)):x}"
    server.query(f"create schema {user.schema}")
    options = f"&stage={server.stage}&iam_role={server.role}&schema={user.schema}"
    user.env |= server.env | {"ESS_WAREHOUSE": f"{server.url}{options}"}
    user.server, user.url = server, user.env["ESS_WAREHOUSE"]
    lake = user.home / "lake"
    lake.mkdir()
    for day in (1, 2):
        text = "".join(line(name, day * 10 + n) for n, name in enumerate(NAMES))
        (lake / f"sold it's_2014090{day}.csv.gz").write_bytes(gzip.compress(text.encode()))
    user.lake = lake
    user.ess("select", lake, "--label", "lake")
    user.ess("category", "add", "sold", "sold*.gz", "--columnspec", SPEC, "--noprobe")
    yield user
    server.query(f"drop schema {user.schema} cascade")


def ask(user, query):
    server = user.server
    with server.postgres.connect(server.database, server.user) as connection:
        connection.execute(f"set search_path to {user.schema}, public")
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def test_gentable_prints_and_makes_the_table(user):
    keys = ("--key", "Name = sortkey", "--key", "id=sortkey")
    args = ("redshift", "gentable", '"sold ""x"', "sold", "--key", "id = distkey", *keys)
    shown = user.ess(*args, "--dry-run").stdout
    assert ask(user, f"select 1 from pg_tables where schemaname = '{user.schema}'") == []
    assert user.ess(*args).stdout == shown
    assert shown.startswith(f'CREATE TABLE "{user.schema}"."sold ""x" (')
    assert '"name" VARCHAR(1024)' in shown
    assert '"host" VARCHAR(256)' in shown
    assert '"big" DECIMAL(20, 0)' in shown
    assert '"junk"' not in shown
    assert 'DISTKEY ("id")' in shown
    assert 'SORTKEY ("name", "id")' in shown
    assert "_ess_load" in shown
    said = user.ess(*args, code=3).stderr
    assert 'sold "x is there already' in said
    columns = ask(
        user,
        "select column_name, data_type from information_schema.columns "
        f"where table_schema = '{user.schema}' order by ordinal_position",
    )
    assert columns == [
        ("name", "character varying"), ("id", "integer"), ("price", "double precision"),
        ("big", "numeric"), ("count", "bigint"), ("change", "bigint"),
        ("host", "character varying"), ("_ess_load", "character varying"),
        ("_ess_file", "character varying"),
    ]  # fmt: skip


def test_gentable_without_files_and_without_a_cluster(user):
    for path in user.lake.iterdir():
        path.unlink()
    user.env.pop("ESS_WAREHOUSE")
    done = user.ess("redshift", "gentable", "t", "sold", "--dry-run", "--label", "lake")
    assert "lengths of texts are not known" in done.stderr
    assert '"name" VARCHAR(256)' in done.stdout
    assert done.stdout.startswith('CREATE TABLE "public"."t" (')
    assert (
        "no Redshift cluster is chosen"
        in user.ess("redshift", "gentable", "t", "sold", code=2).stderr
    )


def test_gentable_refuses(user):
    def refused(*args, code=2):
        return user.ess("redshift", "gentable", *args, code=code).stderr

    assert "no key of a table" in refused("t", "sold", "--key", "id")
    assert "one distribution key" in refused(
        "t", "sold", "--key", "id = distkey", "--key", "name = distkey"
    )
    assert "'nix' is not among the columns" in refused("t", "sold", "--key", "nix = sortkey")
    assert "unknown category" in refused("t", "nix")
    assert "unknown datastore" in refused("t", "sold", "--label", "nix")
    assert "_ess_" in refused("_ess_ledger", "sold")


PP = "aq_pp -f,qui - -d S:name IS:id F:price S:junk L:big I:count LS:change S:host -o,notitle - "
PP += "-c name id price big count change host"


def stream(user, *args, code=0, table="sold"):
    return user.ess("redshift", "stream", "sold", *args, table, code=code)


def test_each_file_once(user):
    user.ess("redshift", "gentable", "sold", "sold")
    first = stream(user, "*", "2014-09-01", PP)
    assert "loaded               3  into sold" in first.stdout
    assert "stream:sold:" in first.stdout
    stream(user, "*", "*", PP)
    assert "nothing new (2 files are done)" in stream(user, "*", "*", PP).stdout
    rows = ask(user, "select name, id, price, big, change, host from sold order by id")
    assert [row[1] for row in rows] == [10, 11, 12, 20, 21, 22]
    assert rows[1] == ('say "x"', 11, 2.75, 2**64 - 11, -11, "10.0.0.1")
    assert rows[2][0] == LONG
    files = ask(user, "select count(distinct _ess_file), count(distinct _ess_load) from sold")
    assert files == [(2, 2)]
    # Another command is another pipeline.
    report = json.loads(
        user.ess("redshift", "stream", "sold", "2014-09-02", "2014-09-02", f"{PP} | head -1",
                 "sold", "--json", "--threads", "1").stdout
    )  # fmt: skip
    assert (report["rows_loaded"], report["files"]) == (1, 1)


def test_words_of_a_command_and_its_options(user):
    ask(
        user,
        "create table words (file varchar(99), n int, _ess_load varchar(256), "
        "_ess_file varchar(4096))",
    )
    command = "printf 'file|n\\n%s|%s\\n' %FILE 7"
    options = ("--options", "DELIMITER", "|", "IGNOREHEADER 1", "--threads", "2")
    user.ess("redshift", "stream", "sold", "*", "*", command, "words", *options)
    assert ask(user, "select file, n from words order by 1") == [
        (f"sold it's_2014090{day}.csv.gz", 7) for day in (1, 2)
    ]


def test_cat_is_the_default_and_rejects_are_kept(user):
    ask(
        user,
        "create table plain (id int, name varchar(9), _ess_load varchar(256), "
        "_ess_file varchar(4096))",
    )
    (user.lake / "plain_20140901.csv").write_text("1,a\nx,b\n3,c,more\n4,d\n,e\n")
    user.ess("category", "add", "plain", "plain*", "--columnspec", "IS:id S:name", "--noprobe")
    args = ("redshift", "stream", "plain", "*", "*", "plain")
    said = user.ess(*args, code=4).stderr
    assert "2 of 5 rows" in said
    assert ask(user, "select * from plain") == []
    assert "stream:plain" in user.ess(*args, "--options", "MAXERROR", "2").stdout
    assert ask(user, "select id, name from plain order by name") == [
        (1, "a"), (4, "d"), (None, "e"),
    ]  # fmt: skip
    kept = ask(user, "select line, pipeline from _ess_rejects order by line")
    assert kept == [(2, "stream:plain"), (3, "stream:plain")]


def test_what_cannot_be(user):
    ask(user, "create table foreign_one (id int)")
    ask(
        user,
        "create table letters (a char(3), _ess_load varchar(256), _ess_file varchar(4096))",
    )
    assert "column a of" in stream(user, "*", "*", table="letters", code=3).stderr
    ask(user, "create table empty_one (id int, _ess_load varchar(256), _ess_file varchar(4096))")
    assert "no table" in stream(user, "*", "*", table="nix", code=3).stderr
    assert "_ess_load" in stream(user, "*", "*", table="foreign_one", code=3).stderr
    assert (
        "IGNOREHEADER 2"
        in user.ess(
            "redshift",
            "stream",
            "sold",
            "*",
            "*",
            "empty_one",
            "--options",
            "ignoreheader 2",
            code=2,
        ).stderr
    )
    assert (
        "GZIP has no meaning"
        in user.ess(
            "redshift", "stream", "sold", "*", "*", "empty_one", "--options", "CSV", "GZIP", code=2
        ).stderr
    )
    assert "more than a command and a table" in stream(user, "*", "*", "cat", "cat", code=2).stderr
    stream(user, "2014-09-02", "2014-09-01", table="empty_one", code=2)
    said = stream(user, "*", "*", "echo oops >&2; exit 3", table="empty_one", code=3)
    assert "oops" in said.stdout + said.stderr
    wrong = user.url.replace(user.server.password, "wrong-Secret-1")
    said = user.ess("redshift", "stream", "sold", "*", "*", "empty_one", "--url", wrong, code=3)
    assert "wrong-Secret-1" not in said.stderr
    assert "refused" in said.stderr
    assert "in 1 batch" in stream(user, "*", "*", "--dry-run", table="empty_one").stdout
    assert ask(user, "select * from empty_one") == []
