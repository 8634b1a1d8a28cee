"""SQL around a load: what is one statement, what a transaction can hold, layouts beside it."""

import pickle

import pytest

from ess_dask.errors import ConfigError, DataError, InterruptedRunError, TransientError
from ess_dask.warehouse.hooks import run_after, run_inside
from ess_dask.warehouse.model import Hooks, LoadResult, TableLayout

DONE = LoadResult("load", files=1, rows_loaded=2, rows_rejected=0)
GOOD = [
    "GRANT SELECT ON {table} TO analyst",
    "  -- why; indeed\n  /* ; */ grant select on {table} to x ; \n",
    "insert into audit values ('a; b', 'it''s', $$x; y$$, $q$;$q$)",
    'insert into "a; ""b" select 1',
    "comment on table {table} is 'commit; no'",
]


@pytest.mark.parametrize("text", GOOD)
def test_one_statement_is_taken(text):
    assert Hooks(inside=(text,), after=(text,)).inside == (text,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" ; ", "empty"),
        ("-- nothing", "empty"),
        ("select 1; commit", "more than one"),
        ("select 'a'; drop table x", "more than one"),
        # One literal for Redshift and two statements for DuckDB, or the other way round.
        (r"select 'a\'; commit; --'", "more than one"),
        (r"select '\\'; commit; --'", "more than one"),
        ("select 1\0", "NUL"),
    ],
)
def test_other_texts_are_refused(text, said):
    for kind in ("inside", "after"):
        with pytest.raises(ConfigError, match=said):
            Hooks(**{kind: (text,)})


@pytest.mark.parametrize(
    "text", ["commit", "COMMIT;", "/* x */ rollback", "begin", "end", "abort", "truncate {table}",
             "start transaction", "vacuum {table}"],
)  # fmt: skip
def test_a_transaction_is_not_ended_inside(text):
    with pytest.raises(ConfigError, match="cannot be inside"):
        Hooks(inside=(text,))
    assert Hooks(after=(text,)).after == (text,)


def test_one_text_is_one_statement():
    hooks = Hooks(inside="analyze", after="vacuum")
    assert (hooks.inside, hooks.after) == (("analyze",), ("vacuum",))
    assert TableLayout(sort_key="day").sort_key == ("day",)
    assert pickle.loads(pickle.dumps(hooks)) == hooks


def test_layouts_that_contradict_themselves():
    with pytest.raises(ConfigError, match="exclude each other"):
        TableLayout("even", "id")
    with pytest.raises(ConfigError, match="'odd' is no way"):
        TableLayout("odd")


def test_what_may_be_tried_again_stays_so():
    def conflict(_):
        raise TransientError("serializable isolation violation")

    with pytest.raises(TransientError):
        run_inside(Hooks(inside=("select 1",)), "t", conflict)


def test_an_aborted_hook_is_an_aborted_run():
    def abort(_):
        raise InterruptedRunError("aborted")

    with pytest.raises(InterruptedRunError):
        run_inside(Hooks(inside=("select 1",)), "t", abort)
    with pytest.raises(
        InterruptedRunError, match=r"load is done.*\(select \.\.\.\).*aborted.*1 after"
    ):
        run_after(Hooks(after=("select 1", "analyze")), "t", abort, DONE)


def test_the_table_stands_quoted_and_values_are_not_shown():
    seen = []

    def refuse(statement):
        seen.append(statement)
        raise DataError("no such user")

    with pytest.raises(DataError) as caught:
        run_inside(Hooks(inside=("create user x password 'Secret1'",)), '"a""b"', refuse)
    assert "(create user x password ...)" in caught.value.message
    assert "Secret1" not in str(caught.value)
    with pytest.raises(DataError):
        run_inside(Hooks(inside=("grant select on {table} to x",)), '"a""b"', refuse)
    assert seen[-1] == 'grant select on "a""b" to x'
