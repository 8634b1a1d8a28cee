"""``%load_ext ess_dask`` in a real IPython: cells of SQL, commands, errors, the Tab key."""

import gzip
import time

import pytest

from tests.conftest import User
from tests.ipython import Shell

COLUMNS = '{"who": "string", "n": "int32"}'


@pytest.fixture(scope="module")
def home(tmp_path_factory, warm):
    someone = User(tmp_path_factory.mktemp("home"), warm)
    lake = someone.folder / "lake"
    lake.mkdir()
    for day in range(1, 5):
        text = f"who,n\nann,{day}\nbob,{day * 10}\ncid,TBD\n"
        (lake / f"sale_201409{day:02}.csv.gz").write_bytes(gzip.compress(text.encode()))
    yield someone
    someone.stop_daemon()


@pytest.fixture(scope="module")
def shell(home):
    with Shell(home) as started:
        assert started("%load_ext ess_dask")["error"] == ""
        done = started(
            "%ess select lake\n%ess category add sale sale_*.gz --columnspec 'S:who I:n'"
        )
        assert (done["error"], done["err"]) == ("", "")
        started(
            "import ess_dask, pandas as pd\n"
            "lake = ess_dask.select('lake')\n"
            f"early = lake.category('e', '*.gz', columns={COLUMNS}).between('*', '2014-09-02')\n"
            "people = pd.DataFrame({'who': ['ann'], 'city': ['Rom']})\n"
            "low = '3; drop table sale'\n"
        )
        yield started


def test_importing_the_package_imports_no_ipython(home):
    code = "import sys, ess_dask; ess_dask.select('lake'); print('IPython' in sys.modules)"
    assert home.python(code).stdout == "False\n"


def test_a_cell_is_sql_and_its_answer_is_shown(shell):
    done = shell("%%ess\nselect who, sum(n) as total\nfrom sale:*:2014-09-03 group by who;")
    assert "bob     60" in done["out"]
    assert "<td style='text-align:right'>60</td>" in done["html"]
    assert done["err"] == "ess: 3 rows do not fit their columns and were left out\n"


def test_an_answer_gets_a_name_and_is_asked_again(shell):
    done = shell("%%ess -o best --limit 3\nselect n from sale:*:* order by n desc")
    assert (done["out"], done["kind"]) == ("best: 3 rows, 1 column\n", "")
    assert shell("%ess --as polars select min(n) as least from best")["kind"] == "polars"
    assert shell("list(_.to_dicts())")["out"].endswith("[{'least': 20}]\n")
    assert shell("%ess --as arrow --limit=1 select n from best limit 2")["html"] == ""
    assert shell("_.num_rows")["out"].endswith(": 1\n")
    assert shell("type(best.to_pandas().n.dtype).__name__")["out"].endswith("'ArrowDtype'\n")


def test_a_limit_stops_reading(shell):
    done = shell("%ess --limit 1 --explain select n from sale:*:*")
    assert "1. first 1\n" in done["out"]
    assert "read 1 file, " in done["out"]


def test_variables_stand_behind_from(shell):
    text = "select count(*) as c, max(city) as city from early join PEOPLE using (who)"
    done = shell(f"%%ess --as pandas\n{text}")
    assert "2  Rom" in done["out"]
    assert "3" in shell("%ess --on early select count(*) - 1 as c from this")["out"]
    assert (
        "4" in shell("%ess --lake lake select count(*) as c from sale:*:* where who = 'ann'")["out"]
    )
    assert "4" in shell("%ess --on lake select count(*) as c from sale:*:* where n < 9")["out"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%ess\nselect whom from sale:*:*", ["sql line 1 column 8", "hint: did you mean who?"]),
        ("%%ess\nselect 1\nfrom sale:*:* where", ["sql line 2", "syntax error"]),
        ("%%ess\nselect * from sale:*:* where n > $low", ["a query takes no parameters"]),
        ("%%ess\nselect * from {low}", ["syntax error"]),
        ("%ess select n from sale:*:* where n > '{low}'", ["'{low}'"]),
        ("%%ess\nselect * from low", ["there is no table 'low'"]),
        ("%%ess\nselect * from sale:2015:2014", ["2015"]),
        ("%%ess\n \n", ["there is no statement in this cell"]),
        ("%%ess --limt 3\nselect 1 from sale:*:*", ["no option --limt", "did you mean --limit?"]),
        ("%%ess --limit x\nselect 1", ["--limit x: that is no number of rows"]),
        ("%%ess --as frame\nselect 1", ["pandas, polars, arrow"]),
        ("%%ess -o a.b\nselect 1", ["no name of a variable"]),
        ("%%ess -o\nselect 1", ["-o needs a value"]),
        ("%%ess --on nobody\nselect 1", ["--on nobody"]),
        ("%%ess --on lake --lake lake\nselect 1", ["two places"]),
        ("%ess lss", ["no command 'lss'", "did you mean %ess ls?"]),
        ("%ess ls 'a", ["No closing quotation"]),
        ("%ess -o x ls", ["options stand before a statement"]),
    ],
)
def test_errors_are_words_without_a_traceback(shell, cell, words):
    done = shell(cell)
    assert done["error"]
    for word in words:
        assert word in done["out"]
    assert "Traceback" not in done["out"] + done["err"]
    assert ".py" not in done["out"] + done["err"]
    assert shell("1")["error"] == ""


def test_a_command_prints_and_its_failure_fails_the_cell(shell):
    done = shell("%ess ls sale_20140901.csv.gz")
    assert "sale_20140901.csv.gz" in done["out"]
    done = shell("%ess ls --label nowhere")
    assert done["error"] == "CommandError"
    assert "unknown datastore 'nowhere'" in done["err"]
    assert done["out"] == "CommandError: %ess ls ended with exit code 2\n"
    assert "Usage" in shell("%ess --help")["out"]


def test_a_long_output_is_cut(shell, home):
    (home.folder / "lake" / "long.txt").write_text("é" * 2_000_000)
    done = shell("%ess cat long.txt")
    assert (done["error"], done["out"].count("é")) == ("", 1 << 20)
    assert "951,424 more characters" in done["out"]


def test_an_interrupted_command_ends(shell, home):
    mark = home.folder / "begun"
    done = shell.interrupt(f"%ess stream sale * * 'touch {mark}; sleep 60'", mark.exists)
    assert "%ess stream ended with exit code 130" in done["out"]
    assert "interrupted: finishing what runs; once more aborts" in done["err"]
    assert "1" in shell("1")["out"]


def test_an_interrupted_question_ends(shell):
    text = "%ess select count(*) from range(9000000) a, range(9000000) b where a.range > b.range"
    begun = time.monotonic()
    done = shell.interrupt(text, lambda: time.monotonic() - begun > 1, presses=1)
    assert done["out"] == "InterruptedRunError: interrupted\n"
    assert done["error"] == "InterruptedRunError"


def test_what_there_is_to_ask(shell):
    done = shell("%ess")
    assert "sale:*:*" in done["out"]
    assert "early" in done["html"]
    assert shell.complete("%%ess\nselect * from sa") == ["sale:*:*"]
    assert shell.complete("%%ess\nselect * from PEO") == ["people"]
    assert shell.complete("%%ess --ex") == ["--explain"]
    assert shell.complete("%ess cate") == ["category"]
    assert "early" in shell.complete("earl")


def test_tables_in_memory(shell):
    done = shell("%ess connect\ntable = early.into('shop.early', key='who')")
    assert "started the local cluster" in done["err"]
    assert "shop.early" in shell("%ess")["html"]
    assert shell.complete("%%ess\nselect * from shop.e") == ["shop.early"]
    assert "33" in shell("%%ess\nselect sum(n) as s from shop.early")["out"]
    both = "select count(*) as c from table join shop.early using (who, n)"
    assert "4" in shell(f"%%ess --on table\n{both.replace('table', 'this')}")["out"]
    html = shell("table")["html"]
    assert "rows of a partition" in html
    assert "x the average" in html
    assert shell("table.close()\n%ess disconnect")["error"] == ""
    assert "not connected" in shell("%ess")["out"]
    assert "33" in shell("%%ess\nselect sum(n) as s from shop.early")["out"]


def test_plots(shell):
    done = shell(
        "%ess -o best select who, sum(n) as total from early group by who\nbest.plot.bar()"
    )
    assert "Axes" in done["out"]
    assert shell("[float(bar.get_height()) for bar in _.patches]")["out"].endswith("[3.0, 30.0]\n")
    assert shell("best.plot(y='totl')")["error"] == "UsageError"
    # Between two dollars matplotlib sees a formula, or fails.
    shell("%%ess -o odd\nselect 'a $x^$' as price, 2 as n from early limit 1")
    drawn = shell("axes = odd.plot.bar()\naxes.figure.canvas.draw()\n"
                  "[each.get_text() for each in axes.get_xticklabels()]")  # fmt: skip
    assert (drawn["error"], r"a \\$x^\\$" in drawn["out"]) == ("", True)


def test_unloading_takes_the_magics_away(shell):
    assert shell("%reload_ext ess_dask\n%ess")["error"] == ""
    assert shell.complete("%%ess\nselect * from sa") == ["sale:*:*"]
    shell("%unload_ext ess_dask")
    assert shell("%ess")["error"] == "UsageError"
    assert "sale:*:*" not in shell.complete("%%ess\nselect * from sa")
    assert shell("%load_ext ess_dask\n%ess")["error"] == ""
