"""Pictures: what they show, that they fit, and that no name can break out of them."""

from datetime import date, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.drawing.bars import Bar, bars_svg, bars_text, histogram_svg, sparkline
from ess_dask.drawing.calendar import calendar_svg, calendar_text
from ess_dask.drawing.page import document, figure
from ess_dask.drawing.shapes import cells, fit, level, short

BAD = "<script>\x1b[2J\"'&\udcff漢"


def boxes(svg):
    """Return {what a box says: its opacity, None for an outline}."""
    found = ElementTree.fromstring(svg).iter("rect")
    return {box.find("title").text: box.get("fill-opacity") for box in found}


def test_a_day_is_the_darker_the_more_lies_on_it():
    first = date(2014, 9, 1)
    svg = calendar_svg({first: 1, first + timedelta(2): 4}, "files", lambda n: f"{n:.0f} files")
    assert boxes(svg) == {
        "2014-09-01: 1 files": "0.5",
        "2014-09-02: none": None,
        "2014-09-03: 4 files": "1",
    }


def test_years_without_anything_are_left_out_and_many_years_are_months():
    svg = calendar_svg({date(1970, 1, 1): 1, date(2014, 12, 31): 1}, "t")
    texts = [each.text for each in ElementTree.fromstring(svg).iter("text")]
    assert [text for text in texts if text.isdigit()] == ["1970", "2014"]
    assert len(boxes(svg)) == 365 + 365
    many = calendar_svg({date(year, 5, 9): 1 for year in range(2000, 2010)}, "t")
    assert len(boxes(many)) == 120
    assert boxes(many)["2003-05: 1"] == "1"
    assert boxes(many)["2003-06: none"] is None


def test_a_calendar_in_a_terminal():
    days = {date(2014, 9, 1) + timedelta(n): n for n in range(16)}
    assert calendar_text(days) == [
        "2014 Sep",
        "Mon  ·▒█",
        "     ░▓█",
        "Wed  ░▓",
        "     ░▓",
        "Fri  ▒▓",
        "     ▒█",
        "     ▒█",
        "",
        "· none  ░▒▓█ up to 15",
    ]
    assert all(line.isascii() for line in calendar_text(days, ascii_only=True))


@pytest.mark.parametrize("svg", [True, False])
def test_nothing_is_drawn_of_nothing(svg):
    assert not (calendar_svg({}, "t") if svg else calendar_text({}))
    assert ElementTree.fromstring(bars_svg([], "t")) is not None
    assert bars_text([]) == []
    assert sparkline([]) == ""


@pytest.mark.slow
@settings(max_examples=50)
@given(
    st.dictionaries(
        st.dates(date(2000, 1, 1), date(2004, 12, 31)), st.floats(0, 1e18), min_size=1, max_size=9
    ),
    st.integers(30, 120),
    st.booleans(),
)
def test_a_calendar_fits_and_shows_each_day_once(days, width, ascii_only):
    lines = calendar_text(days, width, ascii_only=ascii_only)
    assert all(cells(line) <= width for line in lines[:-1])
    ElementTree.fromstring(calendar_svg(days, "t"))
    if len({day.year for day in days}) <= 4:
        shades = ".-+*#" if ascii_only else "·░▒▓█"
        drawn = sum(line.count(shade) for line in lines[:-1] for shade in shades[1:])
        assert drawn == sum(value > 0 for value in days.values())


@settings(max_examples=50)
@given(
    st.lists(st.builds(Bar, st.text(), st.floats(0, 1e300), st.just("7.5K")), max_size=5),
    st.integers(40, 120),
    st.booleans(),
)
def test_bars_fit_and_are_as_long_as_their_values(bars, width, ascii_only):
    lines = bars_text(bars, width, ascii_only=ascii_only)
    assert all(cells(line) <= width for line in lines)
    assert len(lines) == len(bars)
    if ascii_only:
        assert all(line.isascii() for line in lines)
    ElementTree.fromstring(bars_svg(bars, "t"))


def test_bars_in_a_terminal():
    bars = [Bar("a", 4, "4"), Bar("bb", 1, "1"), Bar("c", 0, "0")]
    assert bars_text(bars, 20) == ["a   █████████████  4", "bb  ███▎           1",
                                   "c                  0"]  # fmt: skip
    assert bars_text(bars, 20, ascii_only=True)[1] == "bb  ###            1"
    assert sparkline([0, 1, 8]) == " ▂█"


def test_no_name_breaks_out_of_a_picture():
    day = {date(2014, 9, 1): 1}
    for svg in (
        bars_svg([Bar(BAD, 1, BAD)], BAD),
        histogram_svg([1, 0, 2], (BAD, BAD), BAD),
        calendar_svg(day, BAD, lambda number: BAD),
    ):
        assert ElementTree.fromstring(svg).tag == "svg"
        assert "<script" not in svg
        assert "\x1b" not in svg
    assert not any("\x1b" in line for line in bars_text([Bar(BAD, 1, BAD)]))
    page = document(BAD, figure("<svg/>", BAD))
    assert "<script" not in page
    assert page.count("<h1>") == 1
    assert "http" not in page.replace("http-equiv", "")


def test_a_picture_says_what_it_shows():
    root = ElementTree.fromstring(calendar_svg({date(2014, 9, 1): 1}, "Files by day"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Files by day"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.25, "0.2"), (999, "999"), (999.6, "1k"), (1234, "1.2k"), (35e6, "35M")],
)
def test_numbers_are_short(number, text):
    assert short(number) == text


def test_levels_and_widths():
    assert [level(n, 100) for n in (0, 0.1, 24, 25, 99, 100)] == [0, 1, 1, 2, 4, 4]
    assert fit("漢字", 3) == "漢…" or cells(fit("漢字", 3)) == 3
    assert fit("a\tb", 6) == "a\\x09b"
