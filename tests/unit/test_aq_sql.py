"""The small SQL: what is understood, and where a statement is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.aq.errors import OptionError
from ess_dask.aq.sql import as_filter, parse_statement


def names(found):
    return [name.text for name in found]


def test_a_select_with_everything():
    text = (
        'SELECT a, b\nFrom s:1:2 WHERE x > "order by )" && limit > 3 Order  By c d DESC LIMIT 4 ;'
    )
    found = parse_statement(text)
    assert names(found.columns) == ["a", "b"]
    assert (found.source, found.where) == ("s:1:2", 'x > "order by )" && limit > 3')
    assert (names(found.order), found.descending, found.limit) == (["c", "d"], True, 4)


def test_a_source_may_have_blanks():
    assert parse_statement("select * from c:2014-09-01 05:2014-09-01 07 limit 1").source == (
        "c:2014-09-01 05:2014-09-01 07"
    )


def test_counts():
    found = parse_statement("select Count( * ), count(DISTINCT a),count(b.c) from t where x")
    assert [(c.column.text, c.distinct) for c in found.counts] == [
        ("*", False),
        ("a", True),
        ("b.c", False),
    ]
    grouped = parse_statement("select a, count(*) from t group by A, b c")
    assert (names(grouped.columns), names(grouped.groups)) == (["a"], ["A", "b", "c"])


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("", 1, "expected 'select'"),
        ("  delete from t", 3, "expected 'select'"),
        ("select a frm t", 15, "expected 'from'"),
        ("select (a from t)", 18, "expected 'from'"),
        ("select from t", 8, "expected a column"),
        ("select a,, b from t", 10, "expected a column"),
        ("select a b from t", 8, "'a b'"),
        ("select max(a) from t", 8, "max(a)"),
        ("select distinct a from t", 8, "distinct a"),
        ("select count(distinct a, b) from t", 8, "count(distinct a, b)"),
        ("select a from", 14, "expected a source"),
        ("select a from where b", 14, "expected a source"),
        ("select a from t where", 22, "expected a filter"),
        ("select a from t where b = 'x", 27, "quote"),
        ("select a from t where (b > 1", 23, "'('"),
        ("select a from t where b > 1)", 28, "')'"),
        ("select a from t limit", 22, "expected a number"),
        ("select a from t limit x", 23, "'x'"),
        ("select a from t limit -1", 23, "'-1'"),
        ("select a from t limit 1 2", 23, "'1 2'"),
        ("select a from t order by", 25, "expected a column"),
        ("select a from t order by desc", 26, "expected a column"),
        ("select a from t order by a desc, b asc", 28, "'desc'"),
        ("select a from t limit 1 where b", 25, "'where' cannot stand behind 'limit'"),
        ("select a from t order by a where b", 28, "'where' cannot stand behind 'order'"),
        ("select a from t where a where b", 25, "'where' cannot stand behind 'where'"),
        ("select a from t group by a", 26, "group by needs a count"),
        ("select count(*) from t order by a", 24, "no order by"),
        ("select count(*) from t limit 3", 24, "no limit"),
        ("select count(distinct a) from t group by a", 23, "distinct"),
        ("select b, count(*) from t group by a", 8, "'b' is beside a count"),
        ("select a, count(*) from t", 8, "'a' is beside a count"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, where, words):
    with pytest.raises(OptionError) as raised:
        parse_statement(text)
    assert words in raised.value.message
    assert f"at character {where} " in raised.value.message
    assert raised.value.exit_code == 2


@given(st.text(alphabet="selct frombyhgupidn*,;()'\"=1 \n", max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    for query in (text, f"select {text}", f"select a from {text}"):
        try:
            parse_statement(query)
        except OptionError:
            continue


def test_sql_words_of_a_filter():
    where = "a = 1 and not(b <> 'x and = y') or not c >= 2 && android == \"or\""
    assert as_filter(where) == ("a == 1 && !(b != 'x and = y') || ! c >= 2 && android == \"or\"")
