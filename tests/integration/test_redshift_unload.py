"""``ess redshift unload`` and ``ess.unload`` against the stand-in, as a user sees them."""

from __future__ import annotations

import json

import pytest

from ess_dask.catalog.datastores import make_datastore
from ess_dask.warehouse.redshift.unload import Destination, read_manifest
from tests.redshift import only_standin

pytestmark = pytest.mark.slow

ODD = "a 'b' \\ $$ ; -- é"


@pytest.fixture
def server(redshift):
    running = only_standin(redshift)
    running.query(
        'create table "odd ""näme"" x" (id int, "näme" varchar(100), price numeric(10,2), '
        "big bigint, day date, ok boolean, _ess_load varchar(256), _ess_file varchar(4096))"
    )
    running.query(
        'insert into "odd ""näme"" x" select n, $q$' + ODD + "$q$ || chr(10) || n, n / 4.0, "
        "n * 10000000000, date '2014-09-01' + n, n % 2 = 0, 'l', 'f' from generate_series(1, 10) n"
    )
    yield running
    running.query('drop table "odd ""näme"" x"')


@pytest.fixture
def user(user, server):
    user.env |= server.env
    user.url = f"{server.url}&stage={server.stage}&iam_role={server.role}"
    user.env["ESS_WAREHOUSE"] = user.url
    user.place = f"s3://{server.bucket}/{user.home.parent.name}"
    return user


def keys(server, place):
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    found = server.s3.client().list_objects_v2(Bucket=bucket, Prefix=prefix)
    return sorted(item["Key"].removeprefix(prefix) for item in found.get("Contents", ()))


TABLE = '"odd ""näme"" x"'


def test_a_table_by_its_name_and_the_account(user, server):
    done = user.ess("redshift", "unload", f"{TABLE}", f"{user.place}/it's $$ é/")
    files = done.stdout.splitlines()
    assert len(files) == 4
    assert all(file.startswith(f"{user.place}/it's $$ é/") for file in files)
    assert "10 rows in 4 files" in done.stderr
    assert all(file.endswith(".parquet") for file in files)
    again = user.ess("redshift", "unload", TABLE, f"{user.place}/it's $$ é/", code=3)
    assert "not empty" in again.stderr
    assert "overwrite" in again.stderr


HOSTILE = [
    ("select 'it''s' as a, '\"' as b", [{"a": "it's", "b": '"'}]),
    ("select '$$' || $q$x'y$q$ as a", [{"a": "$$x'y"}]),
    ("-- a comment; with 'a quote\nselect 1 as a;  ", [{"a": 1}]),
    ("/* x */ with t as (select 2 as a)\nselect a from t", [{"a": 2}]),
    ("select 5 as a union all select 4 order by a limit 1 -- one", [{"a": 4}]),
    ("select 'a\nb' as a", [{"a": "a\nb"}]),
    ("select 'x'') TO ''s3://other/'' --' as a", [{"a": "x') TO 's3://other/' --"}]),
]


def rows(user, query):
    code = (
        "import ess_dask as ess, json\n"
        f"found = ess.unload({query!r}, form='arrow')\n"
        "print(json.dumps(found.to_pylist(), default=str))"
    )
    return json.loads(user.python(code).stdout)


@pytest.mark.parametrize(("query", "wanted"), HOSTILE)
def test_a_query_is_a_query_whatever_is_in_it(user, query, wanted):
    assert rows(user, query) == wanted


def test_a_backslash_is_what_it_is_in_the_query_itself(user, server):
    found = rows(user, TABLE)
    assert sorted(row["näme"] for row in found) == sorted(f"{ODD}\n{n}" for n in range(1, 11))
    assert "_ess_load" not in found[0]
    assert keys(server, f"{server.stage}/unload-") == []


def test_frames_from_python(user):
    code = f"""
import ess_dask as ess
frame = ess.unload('select id, price, day, ok from {TABLE} order by 1')
print(len(frame), frame["price"].sum(), frame["day"].max(), sorted(frame["id"]))
print(dict(frame.dtypes.astype(str)))
nothing = ess.unload('select id, price, "näme" from {TABLE} where id < 0', form="polars")
print(nothing.shape, nothing.schema)
files = ess.unload('{TABLE}', to="{user.place}/files/")
print(sum(file.rows for file in files), len(files), type(files[0]).__name__)
"""
    lines = user.python(code).stdout.splitlines()
    assert lines[0] == f"10 13.75 2014-09-11 {list(range(1, 11))}"
    assert "decimal128(10, 2)" in lines[1]
    assert lines[2].startswith("(0, 3)")
    assert lines[3] == "10 4 UnloadedFile"


def test_no_rows_have_the_types_of_the_query(user):
    code = (
        "import ess_dask as ess\n"
        "query = \"select 1::bigint i, 1.5::numeric(9, 2) d, current_timestamp t, 'x'::text s, \" "
        "\"timestamp '2014-01-01' n, '0a'::varbyte v where false\"\n"
        "found = ess.unload(query, form='arrow')\n"
        "print(found.num_rows, *found.schema.types, sep='|')"
    )
    wanted = "0|int64|decimal128(9, 2)|timestamp[us, tz=UTC]|string|timestamp[us]|large_binary\n"
    assert user.python(code).stdout == wanted


def test_columns_of_one_name_are_refused_where_a_frame_is_wanted(user):
    code = (
        "import ess_dask as ess\n"
        "try: ess.unload('select 1 as a, 2 as a, 3 as b')\n"
        "except ess.DataError as error: print(error.message)"
    )
    said = user.python(code).stdout
    assert said == "the query has more than one column called a\n"


def test_a_category_of_what_was_unloaded(user, server):
    user.ess("select", f"s3://{server.bucket}", "--label", "lake")
    to = f"lake:{user.home.parent.name}/out [x]*/"
    args = ("redshift", "unload", f"select * from {TABLE}", to, "--category", "sold")
    said = user.ess(*args).stderr
    assert "10 rows in 4 files" in said
    out = user.ess("stream", "sold", "*", "*", "aq_pp -f,qui - -d %cols -o,notitle - -c id big")
    assert sorted(out.stdout.splitlines()) == sorted(f"{n},{n}0000000000" for n in range(1, 11))
    listed = json.loads(user.ess("summary", "sold", "--json").stdout)
    assert "IS:id" in json.dumps(listed)
    assert "has a category sold already" in user.ess(*args, code=2).stderr
    # One row now: the files of the earlier unload are gone with it.
    less = f"select * from {TABLE} where id = 3"
    user.ess("redshift", "unload", less, to, "--category", "sold", "--overwrite", "--header")
    out = user.ess("stream", "sold", "*", "*", "aq_pp -f,+1,qui - -d %cols -o,notitle - -c id")
    assert out.stdout.splitlines() == ["3"]


def test_files_of_others_beside_the_target_stay_and_are_not_read(user, server):
    """Daily files of a lake whose names begin as the target does."""
    user.ess("select", f"s3://{server.bucket}", "--label", "lake")
    own = f"{user.home.parent.name}/sales_"
    bucket = server.s3.client()
    others = ["20140901.gz", "001.gz", "0000_part.gz"]
    for name in others:
        bucket.put_object(Bucket=server.bucket, Key=f"{own}{name}", Body=b"1,2,3\n")
    args = ("redshift", "unload", TABLE, f"lake:{own}", "--category", "sold", "--overwrite")
    assert "10 rows in 4 files" in user.ess(*args).stderr
    user.ess(*args[:2], f"select * from {TABLE} where id = 3", *args[3:])
    out = user.ess("stream", "sold", "*", "*", "aq_pp -f,qui - -d %cols -o,notitle - -c id")
    assert out.stdout.splitlines() == ["3"]
    kept = keys(server, f"s3://{server.bucket}/{own}")
    assert kept == sorted([*others, "0000_part_00.gz", "manifest"])


def test_frames_need_a_stage(user, server):
    code = f"""
import ess_dask as ess
try:
    ess.unload("select 1 a", {server.url!r})
except ess.ConfigError as error:
    print(error)
"""
    assert "stage=s3://bucket/prefix" in user.python(code).stdout


def test_what_cannot_be(user, server):
    def refused(*args, code):
        return user.ess("redshift", "unload", *args, code=code).stderr

    assert "no table" in refused("missing", f"{user.place}/x/", code=3)
    assert "missing" in refused("select * from missing", f"{user.place}/x/", code=3)
    assert "no place in a bucket" in refused("select 1", "s3://bucket", code=2)
    assert "no place for files" in refused("select 1", "somewhere", code=2)
    assert "unknown datastore" in refused("select 1", "label:x", code=2)
    user.ess("select", "local")
    assert "cannot write into the folder" in refused("select 1", "local:x", code=2)
    assert "no datastore holds" in refused(
        "select 1 a", f"{user.place}/x/", "--category", "c", code=2
    )
    assert "text files" in refused(
        "select 1", f"{user.place}/x/", "--category", "c", "--format", "parquet", code=2
    )
    assert "no title line" in refused("select 1", f"{user.place}/x/", "--header", code=2)
    assert keys(server, f"{user.place}/x/") == []
    other = user.url.replace(server.role, "arn:aws:iam::123456789012:role/nobody")
    said = refused("select 1", f"{user.place}/x/", "--url", other, code=3)
    assert "role" in said
    assert server.password not in said


def test_a_cluster_that_writes_nothing_for_no_rows(server, monkeypatch):
    """As some are told to: no file and no manifest are no rows."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    prefix = f"s3://{server.bucket}/nothing/"
    unloaded = read_manifest(Destination(make_datastore(prefix), prefix))
    assert (unloaded.rows, unloaded.files) == (0, ())


def test_a_query_reads_a_table_of_redshift(user, server):
    server.query("create table goals as select 2 as id, 7 as goal union all select 3, 9")
    try:
        text = 'select sum(g.goal) as goal, max(price) as top from warehouse."odd ""näme"" x" o'
        join = "join warehouse.public.goals g using (id) where o.id > 1"
        done = user.ess("query", f"{text} {join}")
    finally:
        server.query("drop table goals")
    assert done.stdout == '"goal","top"\n16,0.75\n'
    assert keys(server, server.stage) == []
    missing = user.ess("query", "select 1 + n from warehouse.nosuch", code=3)
    assert "nosuch" in missing.stderr
    assert missing.stdout == ""
