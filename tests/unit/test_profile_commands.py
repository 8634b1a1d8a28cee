"""``ess profile``, ``ess summary --plot`` and ``ess ls --cat``, and what they say of bad input."""

import gzip
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ess_dask as ess
from ess_dask.cli.main import ess as command
from ess_dask.cli.main import run
from ess_dask.drawing.shapes import cells

ROWS = b"day,user,price\n2014-09-01,ada,1.5\n2014-09-01,,2.5\nx,bob\n"


@pytest.fixture
def typed(tmp_path, monkeypatch, capfd):
    """Give a function that runs ``ess`` beside a lake of three days; returns (stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / ".ess"))
    monkeypatch.setenv("COLUMNS", "60")
    for day in (1, 2, 4):
        Path(f"sales_2014090{day}.gz").write_bytes(gzip.compress(ROWS))

    def typed(*args, code=0):
        got = run(command, [str(arg) for arg in args])
        out, err = capfd.readouterr()
        assert got == code, err
        assert "Traceback" not in err
        return out, err

    typed("select", "local")
    typed("category", "add", "sales", "*sales*")
    return typed


def test_a_profile_for_people_and_programs(typed):
    out, err = typed("profile", "sales", "2014-09-02", "*")
    assert out.isascii()
    assert "4 rows from 2 files" in out
    assert "2 of 6 rows read were rejected (33.3 %)" in out
    assert "         2  too few fields" in out
    assert err == ""
    found = json.loads(typed("profile", "sales", "--columns", "price,user", "--json")[0])
    assert [column["name"] for column in found["columns"]] == ["price", "user"]
    assert found["columns"][0]["mean"] == 2.0
    assert found["columns"][0]["histogram"]["counts"][0] == 3
    assert found["columns"][1]["blank"] == 3
    assert found["rejects"][0]["samples"][0]["raw"] == "x,bob"
    assert [day for day, _ in found["files"]["days"]] == ["2014-09-01", "2014-09-02", "2014-09-04"]


def test_a_page_of_a_profile(typed):
    out, err = typed("profile", "sales", "--html", "p.html")
    assert (out, err) == ("", "written: p.html\n")
    page = Path("p.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "color-scheme: light dark" in page
    assert "x,bob" in page
    root = ElementTree.fromstring(page[page.index("<body>") : page.index("</body>") + 7])
    assert all(picture.get("aria-label") for picture in root.iter("svg"))
    assert len(list(root.iter("h2"))) == 4


@pytest.mark.parametrize(
    ("files", "chosen"),
    [("1", ["2014-09-04"]), ("50%", ["2014-09-01", "2014-09-02"]), ("9", None), ("100%", None)],
)
def test_a_sample_of_files_says_so(typed, files, chosen):
    found = json.loads(typed("profile", "sales", "--files", files, "--json")[0])["files"]
    assert [day for day, _ in found["days"]] == (
        chosen or ["2014-09-01", "2014-09-02", "2014-09-04"]
    )
    assert bool(found["sampled"]) == (chosen is not None)
    assert found["of"] == 3


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["sales", "--columns", "pirce"], "did you mean 'price'?"),
        (["sales", "--files", "many"], "--files cannot be 'many'"),
        (["sales", "--files", "0"], "files cannot be 0"),
        (["sales", "--files", "200%"], "files cannot be 2.0"),
        (["sale"], "unknown category 'sale'"),
        (["sales", "2014-09-04", "2014-09-01"], "2014-09-04"),
        (["bare"], "category 'bare' has no columns"),
    ],
)
def test_bad_input_is_said_and_nothing_is_read(typed, args, said):
    typed("category", "add", "bare", "*sales*", "--noprobe")
    out, err = typed("profile", *args, code=2)
    assert out == ""
    assert said in err


def test_an_empty_range_and_nothing_but_rejects(typed):
    out, err = typed("profile", "sales", "2020", "*")
    assert "0 rows from 0 files" in out
    assert err == "warning: no file lies in this range\n"
    typed("category", "change", "columnspec", "sales", "I:day I:user I:price I:more")
    found = json.loads(typed("profile", "sales", "--json", "--rejects", "1")[0])
    assert (found["rows"], found["rejected"]) == (0, 9)
    assert [len(kind["samples"]) for kind in found["rejects"]] == [1] * len(found["rejects"])
    assert all(column["min"] is None for column in found["columns"])


def test_a_file_that_cannot_be_read_is_named(typed):
    whole = Path("sales_20140902.gz").read_bytes()
    Path("sales_20140902.gz").write_bytes(whole[:-9])
    out, err = typed("profile", "sales", code=3)
    assert out == ""
    assert "sales_20140902.gz" in err


def test_a_page_that_cannot_be_written(typed):
    assert "no/p.html" in typed("profile", "sales", "--html", "no/p.html", code=1)[1]
    assert "no/p.html" in typed("summary", "--html", "no/p.html", code=1)[1]


def test_a_drawing_of_what_the_index_holds(typed):
    for number in range(3):
        os.unlink(f"sales_2014090{(1, 2, 4)[number]}.gz")
    out, _ = typed("summary", "sales", "--plot")
    assert out.splitlines()[2:11] == [
        "2014 Sep", "Mon  #", "     #", "Wed  .", "     #", "Fri", "", "", "",
    ]  # fmt: skip
    assert out.isascii()
    assert all(cells(line) <= 60 for line in out.splitlines()[1:])
    assert [line.split()[0] for line in out.splitlines()[-3:]] == [
        "2014-09-01", "2014-09-02", "2014-09-04",
    ]  # fmt: skip
    assert "0 files" in typed("summary", "sales", "--scan", "--plot")[0]


def test_drawings_of_all_categories(typed):
    typed("category", "add", "other", "*0901*")
    out, _ = typed("summary", "--plot")
    assert "2 categories in local" in out
    assert "up to 2 files" in out
    typed("summary", "--html", "s.html")
    page = Path("s.html").read_text()
    assert "2014-09-04: 1 file, " in page
    assert "2014-09-03: none" in page
    err = typed("summary", "--plot", "--json", code=2)[1]
    assert "--plot and --html draw" in err


def test_files_of_each_category(typed):
    typed("category", "add", "other", "*0901*")
    rows = json.loads(typed("ls", "--cat", "--json")[0])
    assert [row["category"] for row in rows] == ["other", "sales", "sales", "sales"]
    assert rows[0]["name"].endswith("sales_20140901.gz")
    assert '"category"' not in typed("ls", "--cat", "other", "--json")[0]


def test_a_selection_shows_its_days_in_a_notebook(typed):
    columns = {"day": "string"}
    shown = ess.select(".").category("sales", "*sales*", columns=columns)._repr_html_()
    assert "2014-09-02: 1 file, " in shown
    assert "2014-09-03: none" in shown
    profile = ess.select(".").category("sales", "*sales*", columns=columns).profile(files=1)
    assert "the newest 1 of 3 files" in profile._repr_html_()
    assert list(profile.to_pandas()["name"]) == ["day"]
    assert repr(profile) == "<Profile of sales: 2 rows, 1 column>"
    with pytest.raises(KeyError):
        profile.column("no")
