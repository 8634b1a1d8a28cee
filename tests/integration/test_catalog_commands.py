"""The commands that choose datastores, add categories and look at files."""

import csv
import gzip
import io
import json
import math
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ess_dask.cli._render import (
    Table,
    aligned,
    human_size,
    printable,
    printable_lines,
    render,
    show_date,
)
from ess_dask.cli.main import ess, run
from ess_dask.testing.s3 import moto_s3

ROWS = b"day,user\n" + b"2014-09-01,4084\n" * 20


@pytest.fixture
def type_ess(tmp_path, monkeypatch, capfdbinary):
    """Give a function that runs ``ess`` in an own folder and returns (code, stdout, stderr)."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / ".ess"))
    for day in (1, 2, 3):
        (folder / f"sales_2014090{day}.gz").write_bytes(gzip.compress(ROWS * day))

    def typed(*args, code=0):
        got = run(ess, [str(a) for a in args])
        out, err = (part.decode(errors="surrogateescape") for part in capfdbinary.readouterr())
        assert got == code, err
        assert "Traceback" not in err
        return out, err

    return typed


@pytest.fixture
def shop(type_ess):
    """The same, with a local datastore and the category ``sales``."""
    type_ess("select", "local")
    type_ess("category", "add", "sales", "*sales*")
    return type_ess


def test_setting_up_prints_nothing_on_stdout(type_ess):
    for line in (
        ["purge", "local"],
        ["select", "local"],
        ["category", "add", "sales", f"{os.getcwd()}/*sales*"],
        ["category", "add", "sales", "*"],
        ["category", "add", "nothing", "*nothing*", "--comment=none there"],
        ["category", "change", "columnspec", "sales", "S:day S:user"],
        ["category", "change", "usecache", "sales"],
        ["category", "change", "sales", "usecache", "--nocache"],
        ["category", "copy", "sales", "twin"],
        ["category", "delete", "twin"],
        ["purge", "local"],
    ):
        assert type_ess(*line)[0] == ""


def test_summary_as_the_original_lays_it_out(shop):
    shop("category", "add", "a", "*0901*", "--noprobe", "--dateregex", "none")
    out, _ = shop("summary")
    lines = out.split("\n")
    assert "File summary" in out
    assert lines[-4].split() == ["Name", "Count", "Size", "first", "last"]
    assert lines[-1] == ""
    a, sales = lines[-3], lines[-2]
    assert a.split() == ["a", "1", a.split()[2], "1970-01-01", "1970-01-01"]
    assert sales.split()[:2] == ["sales", "3"]
    assert sales.endswith("2014-09-01  2014-09-03 ")
    assert not a.endswith(" ")


def test_summary_of_nothing(type_ess):
    type_ess("select", "local")
    assert "Name  Count  Size  first  last" in type_ess("summary")[0]


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_summary_for_programs(shop, form):
    out, _ = shop("summary", "--format", form)
    if form == "csv":
        (row,) = csv.DictReader(io.StringIO(out))
        row["count"] = int(row["count"])
    else:
        row = json.loads(out)[0] if form == "json" else json.loads(out)
    assert (row["name"], row["count"]) == ("sales", 3)
    assert (row["first"], row["last"]) == ("2014-09-01", "2014-09-03")


def test_summary_of_one_category(shop):
    out, _ = shop("summary", "sales")
    values = dict(line.split(":", 1) for line in out.splitlines() if ":" in line)
    assert values["# of files"].strip() == "3"
    assert values["Column Spec"].strip() == "S:day I:user"
    assert values["File range"].strip() == "2014-09-01 - 2014-09-03"
    assert "2014-09-01,4084" in out


@pytest.mark.parametrize(
    ("field", "value"),
    [("columnspec", "S:day I:user"), ("delimiter", ","), ("compression", "auto"), ("pkey", "user"),
     ("preprocess", ""), ("schema", "day string\nuser uint32")],
)  # fmt: skip
def test_summary_of_one_field(shop, field, value):
    shop("category", "add", "keyed", "*sales*", "--pkey=user")
    assert shop("summary", "keyed", field)[0] == f"{value}\n"


def test_summary_refuses(shop):
    assert "known are: sales" in shop("summary", "nosuch", code=2)[1]
    assert "fields are" in shop("summary", "sales", "nosuch", code=2)[1]


def test_scan(shop):
    os.unlink("sales_20140901.gz")
    assert json.loads(shop("summary", "--json")[0])[0]["count"] == 3
    out, _ = shop("summary", "--scan", "--short", "--json")
    assert json.loads(out)[0]["Count"] == 2
    assert shop("summary", "--scan", "--short")[0].startswith("2 files, ")


def test_ls_a_folder_a_pattern_and_a_category(shop):
    os.mkdir("deep")
    open("deep/x_20150101.txt", "w").close()
    names = shop("ls", "--nameonly")[0].splitlines()
    assert [n.removeprefix(os.getcwd()) for n in names] == [
        "/deep/", "/sales_20140901.gz", "/sales_20140902.gz", "/sales_20140903.gz",
    ]  # fmt: skip
    assert len(shop("ls", "-r", "--nameonly")[0].splitlines()) == 4
    assert shop("ls", "deep/", "--nosize")[0].split() == [f"{os.getcwd()}/deep/x_20150101.txt",
                                                         "2015-01-01"]  # fmt: skip
    assert shop("ls", "*x_*", "--nodate")[0].split()[1] == "0B"
    rows = json.loads(shop("ls", "--cat", "sales", "--exclude", "*0902*", "--json")[0])
    assert [r["date"] for r in rows] == ["2014-09-01", "2014-09-03"]
    assert len(shop("ls", "*sales*", "--limit", "2")[0].splitlines()) == 2
    assert "1970-01-01" in shop("ls", "*0901*", "--dateregex", "none")[0]


def test_ls_of_a_category_between_two_dates(shop):
    def names(*more):
        out, _ = shop("ls", "--cat", "sales", "--json", *more)
        return [each["name"][-8:-3] for each in json.loads(out)]

    assert names("--from", "2014-09-02") == ["40902", "40903"]
    assert names("--to", "2014-09-02") == ["40901", "40902"]
    assert names("--from", "2014-09-02", "--to", "2014-09-02") == ["40902"]
    assert names("--from", "*", "--to", "2014") == ["40901", "40902", "40903"]
    _, err = shop("ls", "*", "--from", "2014-09-02", code=2)
    assert "--cat" in err


def test_ls_that_finds_nothing_says_so_and_succeeds(shop):
    out, err = shop("ls", "*nothing*")
    assert out == ""
    assert "no file matches" in err


def test_odd_names_come_out_exactly(shop):
    os.mkdir("odd")
    for name in (b"a b", b"n\nl", b"\xff", "ü".encode(), b"\x1b[31m"):
        with open(b"odd/" + name, "wb"):
            pass
    out, _ = shop("ls", "odd/", "--format", "csv", "--nameonly")
    listed = {row[0].rpartition("/")[2] for row in csv.reader(io.StringIO(out), strict=True)}
    assert listed >= {"a b", "n\nl", "\udcff", "ü"}
    table, _ = shop("ls", "odd/")
    assert "\x1b" not in table
    assert len(table.splitlines()) == 5
    json.loads(shop("ls", "odd/", "--json")[0])


def test_cat_and_lsa(shop):
    assert shop("cat", "sales_20140901.gz", "--decompress")[0].encode() == ROWS
    with tarfile.open("all.tgz", "w:gz") as archive:
        archive.add("sales_20140901.gz", "in/one.gz")
        archive.add("sales_20140902.gz", "in/two.gz")
    rows = json.loads(shop("lsa", "all.tgz", "--json")[0])
    assert [r["name"] for r in rows] == ["in/one.gz", "in/two.gz"]
    assert "two" not in shop("lsa", "all.tgz", "--pattern", "*one*")[0]
    assert "no archive" in shop("lsa", "sales_20140901.gz", code=3)[1]
    assert "no file 'nosuch'" in shop("cat", "nosuch", code=3)[1]


def test_cat_writes_the_stored_bytes(shop, capfdbinary):
    with open("sales_20140902.gz", "rb") as file:
        stored = file.read()
    assert run(ess, ["cat", "sales_20140902.gz"]) == 0
    assert capfdbinary.readouterr().out == stored


def test_a_truncated_file_ends_with_its_name_and_code_3(shop):
    with open("sales_20140901.gz", "r+b") as file:
        file.truncate(30)
    assert "sales_20140901.gz" in shop("cat", "sales_20140901.gz", "--decompress", code=3)[1]
    assert "sales_20140901.gz" in shop("probe", "sales", code=3)[1]


def test_probe(shop):
    shop("category", "change", "columnspec", "sales", "S:x")
    out, _ = shop("probe", "sales", "--json")
    assert json.loads(out) == [{"columnspec": "S:day I:user", "delimiter": ",", "header": True}]
    assert shop("summary", "sales", "columnspec")[0] == "S:day I:user\n"
    # The title line stands a second time in this one: the user is no longer a number.
    assert "S:day S:user" in shop("probe", "sales", "--file", "sales_20140902.gz")[0]
    assert shop("probe", "sales", "--pcmd", "head -1")[0] == "day,user\n"
    assert shop("probe", "sales", "--pcmd", "wc -c", "--size", "20")[0].strip() == "9"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_in_two_lines(shop):
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-c", "from ess_dask.cli.main import main; main()", "ls"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ess: no space left on device\n  hint: ")
    assert len(done.stderr.splitlines()) == 2


def test_options_before_and_after_the_positionals(type_ess):
    type_ess("select", "local")
    type_ess("category", "add", "--noprobe", "--label=local", "one", "*sales*", "--exclude=*0901*")
    type_ess("category", "add", "two", "*sales*", "--exclude", "*0901* *0902*", "--alls")
    assert len(type_ess("ls", "--cat=one")[0].splitlines()) == 2
    assert len(type_ess("ls", "--cat", "two")[0].splitlines()) == 1
    assert type_ess("summary", "two", "columnspec")[0] == "S:day S:user\n"


def test_stores_by_label(type_ess, tmp_path):
    (tmp_path / "other").mkdir()
    type_ess("select", tmp_path / "other", "--label", "o")
    type_ess("select", "local")
    type_ess("category", "add", "sales", "*sales*")
    rows = json.loads(type_ess("repository", "--json")[0])
    assert [(r["label"], r["current"]) for r in rows] == [("local", "*"), ("o", "")]
    assert "unknown category" in type_ess("summary", "sales", "--label", "o", code=2)[1]
    type_ess("select", "o")
    assert [
        r["label"] for r in json.loads(type_ess("repository", "--json")[0]) if r["current"]
    ] == ["o"]
    assert "already names" in type_ess("select", tmp_path, "--label", "o", code=2)[1]
    type_ess("purge", "o")
    assert "no datastore is selected" in type_ess("ls", code=2)[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["select", "blob://container"], "blob:// is not supported"),
        (["select", "local", "--account_name", "x"], "blob:// is not supported"),
        (["select", "nosuch"], "unknown datastore"),
        (["select", "/no/such/folder"], "neither a folder nor s3://"),
        (["select", "s3://b", "--aws_access_key", "x"], "belong together\n  hint: give both"),
        (["select", "s3://b", "--credentials", "nosuch.csv"], "nosuch.csv"),
        (["category", "add", "a b", "*"], "holds a blank"),
        (["category", "add", "c", "'open"], "quot"),
        (["category", "add", "c", "*", "--dateregex", "[:%Q:]"], "unknown class"),
        (["category", "add", "c", "*", "--dateregex=x", "--dateformat=Y"], "exclude each other"),
        (["category", "add", "c", "*", "--alls", "--allx"], "exclude each other"),
        (["category", "add", "c", "*", "--columnspec", "Q:x"], "Q:x"),
        (["category", "change", "pattern", "c", "*"], "cannot change"),
        (["category", "change", "comment", "c"], "value"),
        (["category", "delete", "nosuch"], "unknown category"),
        (["category", "add", "c"], "Missing argument"),
        (["ls", "--cat", "nosuch"], "unknown category"),
        (["ls", "--limit", "-1"], "limit"),
        (["summary", "--format", "xml"], "xml"),
    ],
)
def test_usage_errors_end_with_2_and_say_what(type_ess, line, message):
    type_ess("select", "local")
    assert message in type_ess(*line, code=2)[1]


def test_deprecated_dateformat(type_ess):
    type_ess("select", "local")
    type_ess("category", "add", "c", "*sales*", "--dateformat", "YMD", "--noprobe")
    assert json.loads(type_ess("summary", "--json")[0])[0]["last"] == "2014-09-03"


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0B"), (1023, "1023B"), (1164, "1.1K"), (782579, "764.2K"), (2021925, "1.9M"),
     (380900, "372.0K"), (5 << 40, "5.0T"), (3 << 60, "3072.0P")],
)  # fmt: skip
def test_sizes(size, shown):
    assert human_size(size) == shown


def test_tables_are_aligned():
    table = Table(("name", "n", "size"), [("a", 5, 2048), ("long", 10, None)], sizes=("size",))
    assert aligned(table) == ["name   n  size", "a      5  2.0K", "long  10"]
    assert aligned(Table(("a",), [])) == ["a"]
    assert printable("a\tb\x1b\n") == "a\\x09b\\x1b\\x0a"
    # Text that is shown from right to left, or as two lines.
    assert printable("gpj\u202eexe\u2028") == "gpj\\u202eexe\\u2028"
    assert printable_lines("a\tb\x1b\n\x9bc\r") == "a\tb\\x1b\n\\x9bc\\x0d"
    assert show_date(None) == ""
    assert show_date(7) == "7"


def test_rows_for_programs_without_any(capsys):
    render(Table(("a",), []), "json")
    render(Table(("a",), []), "ndjson")
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_numbers_that_json_does_not_have_are_texts(capsys, form):
    render(Table(("a", "b", "c"), [(math.nan, -math.inf, 1.5)]), form)
    refuse = {"parse_constant": pytest.fail}
    told = json.loads(capsys.readouterr().out, **refuse)
    assert told in ({"a": "nan", "b": "-inf", "c": 1.5}, [{"a": "nan", "b": "-inf", "c": 1.5}])


@pytest.mark.slow
def test_the_keys_of_the_command_line_are_found_nowhere(tmp_path):
    with moto_s3() as server:
        server.client().create_bucket(Bucket="lake")
        server.client().put_object(Bucket="lake", Key="a_20140901.csv", Body=ROWS)
        secret = "canary/SECRET+0123456789abcdefghijklmnopq"
        keyless = {k: v for k, v in server.env.items() if "KEY" not in k}
        env = {**os.environ, **keyless, "HOME": str(tmp_path), "ESS_CACHE_DIR": str(tmp_path / "c")}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            env.pop(name, None)
        csv_file = tmp_path.with_name(f"{tmp_path.name}-keys.csv")
        csv_file.write_text(f"User Name,Access Key Id,Secret Access Key\nme,AKCANARY,{secret}\n")
        said = ""

        def typed(*args, code, **more):
            nonlocal said
            done = subprocess.run(
                [sys.executable, "-m", "ess_dask.cli", *args], env=env | more, cwd=tmp_path,
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            said += done.stdout + done.stderr
            assert done.returncode == code, done.stderr
            return done

        keys = ["--aws_access_key", "AKCANARY", "--aws_secret_access_key", secret]
        typed("select", "s3://lake", *keys, code=0)
        assert "are not stored" in said
        typed("ls", code=3)
        exported = {"AWS_ACCESS_KEY_ID": "AKCANARY", "AWS_SECRET_ACCESS_KEY": secret}
        typed("category", "add", "c", "*csv", code=0, **exported)
        assert "a_20140901.csv" in typed("ls", code=0, **exported).stdout
        typed("select", "s3://lake", "--credentials", str(csv_file), "--overwrite", code=0)
        assert "a_20140901.csv" in typed("ls", "--cat", "c", code=0).stdout
        typed("repository", "--json", code=0)
        typed("select", "s3://nosuch", *keys, code=3)
        stored = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        assert stored
        for canary in ("AKCANARY", secret):
            assert canary not in said
            assert canary.encode() not in stored


def test_a_denied_or_missing_bucket_is_told_at_select(type_ess, monkeypatch):
    with moto_s3() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        assert "bucket nosuch does not exist" in type_ess("select", "s3://nosuch", code=3)[1]
        assert json.loads(type_ess("repository", "--json")[0]) == []
