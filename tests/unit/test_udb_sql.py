"""Queries to option lists."""

import pytest

from ess_dask.aq.errors import OptionError
from ess_dask.udb.sql import compile_query


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("select * from d:t", "-exp d:t -o,notitle -"),
        ("SELECT a, b FROM d:t LIMIT 3", "-exp d:t -top 3 -o,notitle - -c a b"),
        ("select * from d:t where n > 2", "-exp d:t -filt 'n > 2' -o,notitle -"),
        (
            "select a from d:t where n = 2 and s <> 'x = or y' order by n desc limit 1",
            """-exp d:t -filt 'n == 2 && s != '"'"'x = or y'"'"'' """
            "-sort,dec n -top 1 -o,notitle - -c a",
        ),
        ('select * from d:t where a ~== "x" || n >= 2', None),
    ],
)
def test_select(query, shown):
    compiled = compile_query(query)
    assert compiled.count == ()
    if shown:
        assert str(compiled) == f"aq_udb {shown}"
    else:
        assert compiled.export[3] == 'a ~== "x" || n >= 2'


@pytest.mark.parametrize(
    ("query", "export", "count"),
    [
        ("select count(*) from d:t", "-o,aq -", "-f,aq - -o -"),
        ("select count(distinct a), count(*) from d:t", "-o,aq - -c a", "-f,aq - -k k_a a -o -"),
        ("select a, count(*) from d:t group by a", "-o,aq - -c a", "-f,aq - -kX - - a"),
        ("select count(*) from d:t group by a b", "-o,aq - -c a b", "-f,aq - -kX - - a b"),
    ],
)
def test_counts(query, export, count):
    compiled = compile_query(query)
    assert " ".join(compiled.export) == f"-exp d:t {export}"
    assert " ".join(compiled.count) == count


def test_keys_of_another_table():
    group = ["-pp,post=next_key", "v", "-if", "-filt", "s > 1", "-goto", "proc_key", "-endif"]
    query = "select * from d:t where id in (select id from d:v where s > 1) and n > 2"
    assert list(compile_query(query).export[2:-2]) == [*group, "-endpp", "-filt", "n > 2"]
    query = "select * from d:t where n > 2 && id in (select id from v)"
    short = ["-pp,post=next_key", "v", "-goto", "proc_key", "-endpp", "-filt", "n > 2"]
    assert list(compile_query(query).export[2:-2]) == short


@pytest.mark.parametrize(
    "query",
    [
        "",
        "delete from d:t",
        "select from d:t",
        "select a from",
        "select a from d:",
        "select count(*) from d:t order by a",
        "select count(*) from d:t limit 1",
        "select count(distinct a) from d:t group by a",
        "select a from d:t group by a",
        "select b, count(*) from d:t group by a",
        "select max(a) from d:t",
        "select * from d:t order by a desc, b asc",
        "select * from d:t where id in (select id from other:v)",
    ],
)
def test_what_is_not_supported_is_said(query):
    with pytest.raises(OptionError):
        compile_query(query)
