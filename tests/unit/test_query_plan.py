"""A statement over a category: its range, its columns, what is refused before anything is read."""

import pytest

from ess_dask.aq.sql import parse_statement
from ess_dask.catalog.model import Category
from ess_dask.errors import EssError
from ess_dask.query.answer import RowCut
from ess_dask.query.plan import make_plan, source_of

SHOP = Category("shop", ("*",), columnspec='S:userID X:gone "I:articleID" f,trm:Price IP:addr')


def plan(text, category=SHOP):
    return make_plan(parse_statement(text), category)


@pytest.mark.parametrize(
    ("text", "lower", "upper"),
    [
        ("c:*:*", "*", "*"),
        ("c:2014-09-01:*", "2014-09-01", "*"),
        ("c:*:2014-09", "*", "2014-09"),
        ("c:2014-09-01 05:2014-09-02 20", "2014-09-01 05", "2014-09-02 20"),
        ("c:2014-09-01 05:10:2014-09-02 06:20", "2014-09-01 05:10", "2014-09-02 06:20"),
        ("c:2014-09-01T05:10:*", "2014-09-01T05:10", "*"),
        ("c:'2014-09-01 05:10':\"2014-09-02 06\"", "2014-09-01 05:10", "2014-09-02 06"),
        ("c:20140901:20140902", "20140901", "20140902"),
        ("c:17:23", "17", "23"),
    ],
)
def test_ranges(text, lower, upper):
    source = source_of(parse_statement(f"select * from {text} where a"))
    assert (source.category, source.lower, source.upper) == ("c", lower, upper)


@pytest.mark.parametrize("text", ["c", "c:*", ":*:*", "c:*:*:*", "c d:*:*", "c:1:2:3:4"])
def test_what_is_no_range(text):
    with pytest.raises(EssError, match="CATEGORY:START:END") as raised:
        source_of(parse_statement(f"select * from {text}"))
    assert raised.value.exit_code == 2


def test_columns_have_the_spelling_of_their_definition():
    assert [c.name for c in plan("select PRICE, userid from shop:*:*").columns] == [
        "Price",
        "userID",
    ]
    everything = plan("select * from shop:*:*").columns
    assert [c.name for c in everything] == ["userID", "articleID", "Price", "addr"]
    distinct = plan("select count(distinct USERID), count(distinct *) from shop:*:*").distinct
    assert [title for title, _ in distinct] == ["k_userID", "k_*"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("select nosuch from shop:*:*", "nosuch"),
        ("select gone from shop:*:*", "gone"),
        ("select count(nosuch) from shop:*:*", "nosuch"),
        ("select count(distinct nosuch) from shop:*:*", "nosuch"),
        ("select count(*) from shop:*:* group by nosuch", "nosuch"),
        ("select * from shop:*:* order by nosuch", "nosuch"),
        ("select * from shop:*:* where nosuch > 1", "nosuch"),
        ("select * from shop:*:* where userID > 1", "compare"),
        ("select * from shop:*:* where articleID >", "articleID"),
        ("select * from shop:*:* where NoSuch(articleID)", "NoSuch"),
        ("select userID+%s from shop:*:*", "userID+%s"),
    ],
)
def test_what_does_not_fit_the_columns(text, word):
    with pytest.raises(EssError, match=word.replace("+", r"\+")) as raised:
        plan(text)
    assert raised.value.exit_code == 2


def test_a_category_needs_columns():
    for spec in ("", "X X:a"):
        with pytest.raises(EssError, match="'bare'") as raised:
            plan("select * from bare:*:*", Category("bare", ("*",), columnspec=spec))
        assert raised.value.exit_code == 2


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_rows_are_cut_where_they_end_whatever_the_blocks(size):
    rows = [b'"a",1\n', b'"b\nc",2\n', b'"d""\n",3\n', b",4\n"]
    text = b"".join(rows)
    for wanted in range(6):
        cut = RowCut(wanted)
        taken = [cut.take(text[at : at + size]) for at in range(0, len(text), size)]
        assert b"".join(taken) == b"".join(rows[:wanted])
