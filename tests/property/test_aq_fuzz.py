"""No option list, expression or input crashes or hangs: an answer or an error with its code."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ess_dask.aq.errors import AqError, EvalError, OptionError
from ess_dask.aq.expression import parse_expression
from ess_dask.aq.inputs.reading import Inputs, typed_rows
from ess_dask.aq.inputs.records import Broken
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.patterns.extract import compile_extraction
from ess_dask.aq.patterns.regex import compile_regex
from ess_dask.aq.patterns.render import parse_template, render
from ess_dask.aq.program import Program
from ess_dask.aq.rows.expressions import compile_expression
from ess_dask.aq.rows.state import State, blank_row
from ess_dask.aq.stores import NoStore
from ess_dask.aq.tree import Reference

NAMES = {
    "s": Reference(0, "s", Kind.S),
    "n": Reference(1, "n", Kind.I),
    "f": Reference(2, "f", Kind.F),
    "p": Reference(3, "p", Kind.IP),
}


class Scope:
    def find(self, name):
        return NAMES.get(name.lower())

    def settable(self):
        return tuple(NAMES.values())


VOCABULARY = """
s n f p 1 2.5 'x' "a*" 1.2.3.4 ( ) , + - * / % == ! && || ~== &= ncas SLeng( PatCmp( RxRep( SubStr(
ToS( QryDec( Min( KeyEnc( Set( DateToTime( ClipStr( $RowNum | BEG
"""
WORDS = st.sampled_from(VOCABULARY.split())
EXPRESSIONS = st.one_of(
    st.lists(WORDS, max_size=12).map(" ".join),
    st.text(st.characters(max_codepoint=255), max_size=30),
)


@pytest.mark.slow
@settings(max_examples=400)
@given(EXPRESSIONS)
def test_expressions(text):
    try:
        tree = parse_expression(text, Scope())
    except OptionError:
        return
    program = Program((), None, (Kind.S, Kind.I, Kind.F, Kind.IP), (), (), (), ())
    evaluate = compile_expression(tree, State.of(program, Inputs(), NoStore()))
    with contextlib.suppress(EvalError):
        evaluate(["ab", 7, 1.5, "1.2.3.4"])


LETTERS = st.text("abc()[]{}|\\^$.*+?,-:1=%@x\n", max_size=14)


@settings(max_examples=400)
@given(LETTERS, st.sampled_from([(), ("rx_extended",), ("pcre",), ("rx_newline", "ncas")]), LETTERS)
def test_patterns(pattern, attributes, text):
    with contextlib.suppress(OptionError):
        compile_regex(pattern, attributes).search(text)
    with contextlib.suppress(OptionError):
        compile_extraction(pattern).pattern.fullmatch(text)
    with contextlib.suppress(OptionError):
        render(parse_template(pattern), lambda name: text)


COMMANDS = """
-f -f,csv -f,jsn -f,div -d s:a i:b:k sep:x X -eval -filt -if -elif -else -endif -o -o,bin - -c *
~a a -map -mapf,rx -mapc s:c -sub -cmb -grep -kenc -kdec a+ -var 1 'x' -ovar -imp db:t -pmod
unwrap_strv('a',';','a') -true -quit -renam -alias -exp -- -cat
"""
OPTIONS = st.sampled_from(COMMANDS.split())


@settings(max_examples=400)
@given(st.lists(OPTIONS, max_size=14))
def test_option_lists(words):
    with contextlib.suppress(AqError):
        parse_command(words, lambda spec: (), lambda request: ())


SPECS = [
    ["-f", "x", "-d", "s:a", "i:b"],
    ["-f,esc", "x", "-d", "s:a", "s,clf:b"],
    ["-f,sep=;", "x", "-d", "s,n=2:a", "f:b"],
    ["-f,fix", "x", "-d", "s,n=2:a", "i,n=1:b"],
    ["-f,div", "x", "-d", "sep:a", "s:a", "sep:;", "s:b"],
    ["-f,tab", "x", "-d", "s:a", "s:b"],
    ["-f,jsn", "x", "-d", "s:a:a[*].b", "i:b:[0].b"],
    ["-f,xml", "x", "-d", "s:a:a.b[*]", "i:b:a.c[1]"],
]
PIECES = ["<a>", "</a>", "<b>", "</b>", "<td>", "</td>", "</tr>", "&#233;", "\n", ","]
PIECES += ['{"a":', "[", "]", "}", '"b"', "1"]
DATA = st.one_of(
    st.binary(max_size=60),
    st.text('",;\\\n\r ab1<>/td&{}[]:x.', max_size=80).map(str.encode),
    st.lists(st.sampled_from(PIECES), max_size=20).map("".join).map(str.encode),
)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SPECS), DATA, st.integers(1, 9))
def test_readers(words, data, step):
    program = parse_command(words, None, None)
    spec, blank = program.inputs[0], blank_row(program.kinds)

    def rows(blocks):
        found = typed_rows(spec, blocks, blank)
        return [row.reason if isinstance(row, Broken) else row for row in found]

    whole = rows([data])
    assert rows([data[at : at + step] for at in range(0, len(data), step)]) == whole
