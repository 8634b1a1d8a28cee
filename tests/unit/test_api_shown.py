"""How answers look, how they are drawn, and how far a long call is."""

import datetime as dt
import decimal
import io
import json
import re
import sys
import time
import types

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ess_dask as ess
from ess_dask.api import progress
from ess_dask.api.given import Named, is_source
from ess_dask.cli._rows import write_rows
from ess_dask.markup import LONGEST, facts, grid

HOSTILE = "<script>alert(1)</script>"


def answer(**columns):
    return ess.Answer(pa.table(columns))


# --- Rows


def test_a_large_answer_shows_its_ends_at_once():
    rows = 20_000_000
    shown = answer(number=list(range(100)), gone=pa.nulls(100))
    big = ess.Answer(pa.table({"gone": pa.nulls(rows), "also": pa.nulls(rows, pa.string())}))
    _ = repr(shown), shown._repr_html_()  # what is imported for it
    started = time.process_time()
    text, html = repr(big), big._repr_html_()
    assert time.process_time() - started < 0.3  # as Python's own values: seconds
    assert [line.split()[0] for line in text.splitlines()[5:8]] == ["4", "...", "19999995"]
    assert text.endswith(f"[{rows} rows x 2 columns]")
    assert "19,999,999</th>" in html
    assert "20,000,000 rows, 2 columns" in html
    assert html.count("<tr>") == 22
    assert len(html) < 10_000


def test_a_wide_answer_shows_its_ends():
    wide = ess.Answer(pa.table({f"c{number}": [1] for number in range(5_000)}))
    html = wide._repr_html_()
    assert html.count("…") == 2
    assert "c9<" in html
    assert "c10<" not in html
    assert "c4999<" in html
    long = answer(**{"x" * 1000: ["y" * 1_000_000]})
    assert len(long._repr_html_()) < 500


def test_a_small_answer_is_printed_as_pandas_does():
    small = answer(who=["ann", None], n=[1, 2])
    assert repr(small) == str(small.to_pandas())
    assert answer()._repr_html_().startswith("<div><table>")
    long = answer(n=list(range(61)))
    assert "[61 rows x 1 columns]" in repr(long)
    assert re.search(r"^4 +4\n\.\.\.\n56 +56$", repr(long), re.MULTILINE)


def test_what_comes_from_files_is_escaped():
    html = answer(
        **{HOSTILE: [HOSTILE, None], "b": [b"<b>", b""], "l": [["<i>"], []]}
    )._repr_html_()
    assert not re.search(r"<(script|b>|i>')", html)
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert html.count("<i>null</i>") == 1


def test_odd_values_are_shown():
    odd = answer(
        far=pa.array([2**62], pa.timestamp("s")),
        fine=pa.array([1_234_567_891], pa.timestamp("ns")),
        day=[dt.date(2014, 9, 1)],
        money=[decimal.Decimal("1.50")],
        yes=[True],
    )
    html = odd._repr_html_()
    assert re.search(r"146138\d+-\d\d-\d\d \d\d:\d\d:\d\d<", html)
    assert "00:00:01.234567891" in html
    assert "<td style='text-align:right'>1.50</td>" in html
    assert "<td style='text-align:left'>True</td>" in html


STRANGE = {
    "interval '1 year 2 months -3 days 01:02:03.5'": "1 year 2 months -3 days 01:02:03.5",
    "interval '-90 minutes'": "-01:30:00",
    "interval 0 days": "00:00:00",
    "date 'infinity'": "infinity",
    "timestamptz '-infinity'": "-infinity",
    "date '20000-01-02'": "20000-01-02",
    "timestamp '20000-01-02 03:04:05.5'": "20000-01-02 03:04:05.5",
    "timestamptz '20000-01-02 03:04:05+00'": "20000-01-02 03:04:05+00",
    "date '0044-03-15 (BC)'": "0044-03-15 (BC)",
}


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "table", "parquet"])
def test_values_that_python_does_not_have_are_said_in_words(form, capfdbinary, tmp_path):
    lake = ess.select(tmp_path)
    found = lake.sql("select " + ", ".join(f"{sql} as c{at}" for at, sql in enumerate(STRANGE)))
    write_rows(found.table, form)
    out = capfdbinary.readouterr().out
    if form == "parquet":
        assert pq.read_table(io.BytesIO(out)).column("c0")[0].as_py() == next(
            iter(STRANGE.values())
        )
        return
    for at, words in enumerate(STRANGE.values()):
        assert words in out.decode()
        assert words in repr(ess.Answer(found.table.select([f"c{at}"])))
        assert words in found._repr_html_()


def test_a_map_is_an_object_and_what_lies_in_it_is_said(capfdbinary, tmp_path):
    nested = (
        "map {1: [date 'infinity', null]} as m, [interval 3 days] as l, union_value(n := 7) as u"
    )
    found = ess.select(tmp_path).sql(f"select {nested}")
    repr(found), found._repr_html_()
    write_rows(found.table, "ndjson")
    said = json.loads(capfdbinary.readouterr().out)
    assert said == {"m": {"1": ["infinity", None]}, "l": ["3 days"], "u": 7}
    write_rows(found.table, "csv")
    assert b'"[""3 days""]","7"' in capfdbinary.readouterr().out


def test_grids_are_bounded_and_look_at_no_more_than_they_show():
    class Loud:
        def __init__(self, number):
            self.number = number

        def __str__(self):
            assert self.number < 20
            return "x" * 10_000

    html = grid(("t",), ([Loud(number)] for number in range(100_000)))
    assert "and 99,980 more" in html
    assert len(html) < 21 * (LONGEST + 100)
    assert len(facts({"patterns": "x" * 10_000})) < LONGEST + 200


# --- Plots


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    yield
    plt.close("all")


def test_bars_stand_along_the_first_column(drawn):
    best = answer(who=["ann", "bob"], total=[decimal.Decimal("1.5"), None], n=[1, 2])
    axes = best.plot.bar(y="n")
    assert [float(bar.get_height()) for bar in axes.patches] == [1.0, 2.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ann", "bob"]
    assert len(best.plot(kind="barh").patches) == 4
    days = answer(day=[dt.date(2014, 9, 1), dt.date(2014, 9, 2)], n=[1, 2])
    assert days.plot().get_lines()[0].get_ydata().tolist() == [1, 2]
    assert days.plot(x="n", y="n", kind="scatter").get_xlabel() == "n"
    assert answer(n=[1, 1, 2]).plot.hist(bins=2).patches[0].get_height() == 2
    assert "bar" in dir(best.plot)
    assert "2 rows" in repr(best.plot)


def test_what_cannot_be_drawn_is_said(monkeypatch):
    best = answer(who=["ann"], n=[1])
    for call, words in (
        (lambda: best.plot(kind="bubble"), "no kind of plot"),
        (lambda: best.plot(y="m"), "no column 'm'"),
        (lambda: best.plot.bar(y=["n", "m"]), "no column 'm'"),
    ):
        with pytest.raises(ess.UsageError, match=words):
            call()
    with pytest.raises(AttributeError):
        _ = best.plot.bubble
    monkeypatch.setattr("ess_dask.api.plot.find_spec", lambda name: None)
    with pytest.raises(ess.UsageError, match="need matplotlib") as caught:
        best.plot.bar()
    assert caught.value.hint == 'pip install "ess-dask[ui]"'


# --- Names


def test_only_what_can_be_asked_has_a_name():
    class Wild:
        def __getattr__(self, name):
            raise AssertionError(f"{name} was looked at")

    frame = pd.DataFrame({"a": [1]})
    values = {"frame": frame, "wild": Wild(), "text": "x", "made": answer(a=[2]), "n": 1}
    named = Named(values)
    assert list(named) == ["frame", "made"]
    assert len(named) == 2
    assert named["made"] is values["made"]
    assert named.get("wild") is None
    assert is_source(pl.DataFrame())
    assert is_source(pa.table({}))


# --- Progress


class Look:
    def __init__(self):
        self.states = []

    def draw(self, state):
        self.states.append(state)


@pytest.fixture
def look(monkeypatch):
    made = Look()
    monkeypatch.setattr(progress, "_Line", lambda: made)
    monkeypatch.setattr(progress, "audience", lambda: "terminal")
    monkeypatch.setattr(progress, "EVERY", 0.0)
    return made


def test_a_short_call_draws_nothing(look):
    with progress.counting(3, "files") as count:
        count(3)
    assert look.states == []


def test_a_long_call_says_how_far_it_is(look, monkeypatch):
    monkeypatch.setattr(progress, "AFTER", -1.0)
    with progress.counting(3, "files") as count:
        count(1)
        count(3)
    first, second, end = look.states
    assert re.fullmatch(r"1 of 3 files in 0\.\d s", str(first))
    assert "<progress value='1' max='3'></progress>" in first._repr_html_()
    assert (second.done, second.total) == (4, 4)
    assert re.fullmatch(r"4 files in 0\.\d s", str(end))
    assert end._repr_html_() == f"<small>{end}</small>"


def test_a_call_that_fails_says_where(look, monkeypatch):
    monkeypatch.setattr(progress, "AFTER", -1.0)
    with pytest.raises(ess.DataError), progress.counting(3, "files") as count:
        count(1)
        raise ess.DataError("x")
    assert str(look.states[-1]).startswith("stopped at 1 of 3 files in ")


def test_the_setting_silences_it(look, monkeypatch):
    monkeypatch.setattr(progress, "AFTER", -1.0)
    monkeypatch.setenv("ESS_PROGRESS", "false")
    with progress.counting(3, "files") as count:
        count(1)
    assert look.states == []


@pytest.mark.parametrize(
    ("shell", "prompt", "tty", "who"),
    [
        (types.SimpleNamespace(kernel=1), False, False, "notebook"),
        (types.SimpleNamespace(), False, True, "terminal"),
        (types.SimpleNamespace(), False, False, ""),
        (None, True, True, "terminal"),
        (None, False, True, ""),
    ],
)
def test_who_looks_on(shell, prompt, tty, who, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: tty, raising=False)
    if prompt:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert progress.audience() == who


def test_a_bar_on_a_terminal_goes_when_it_ends(capsys):
    line = progress._Line()
    for state in (
        progress.State(1, 3, "files", 0.1),
        progress.State(2, 3, "files", 0.2),
        progress.State(3, 3, "files", 0.3, ""),
    ):
        line.draw(state)
    assert capsys.readouterr().out == ""
    progress._Line().draw(progress.State(0, 3, "files", 0.1, "stopped at "))


def test_a_notebook_gets_one_display_that_changes(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=lambda state: shown.append(("update", state)))

    def display(state, display_id):
        shown.append(("display", state))
        return handle

    monkeypatch.setitem(
        sys.modules,
        "IPython",
        types.SimpleNamespace(display=types.SimpleNamespace(display=display)),
    )
    cell = progress._Cell()
    cell.draw(progress.State(1, 3, "files", 0.1))
    cell.draw(progress.State(3, 3, "files", 0.2, ""))
    assert [kind for kind, _ in shown] == ["display", "update"]
