"""Expressions: words, types, arithmetic, comparisons, and what is wrong with bad ones."""

import pytest

from ess_dask.aq.errors import OptionError
from ess_dask.aq.expression import parse_expression
from ess_dask.aq.kinds import Kind
from ess_dask.aq.text import string_constant, unescape, words
from ess_dask.aq.tree import Reference


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a\\tb\\x41\\0"', "a\tbA\0"),
        ('"\\q\\x4"', "\\q\\x4"),
        ("'a\\nb'", "a\\nb"),
        ("'a \"b\" c'\" d 'e' f\"", "a \"b\" c d 'e' f"),
        ('"one\\\ntwo"', "onetwo"),
        ('""', ""),
    ],
)
def test_string_constants(text, value):
    assert string_constant(text) == (value, len(text))


def test_unescape_keeps_a_lone_backslash():
    assert unescape("a\\") == "a\\"
    assert unescape("\\%", "%") == "%"


@pytest.mark.parametrize("text", ['"open', "'open", "\x80"])
def test_unreadable_words(text):
    with pytest.raises(OptionError):
        words(text)


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("1 + 2 * 3", "i", "9"),
        ("1 + (2 * 3)", "i", "7"),
        ("7 / 2", "f", "3"),
        ("0 - 7 / 2", "is", "-3"),
        ("(0 - 7) % 3", "is", "-1"),
        ("7.5 % 2", "f", "1.5"),
        ("1 / 0.0", "f", "inf"),
        ("0.0 / 0", "f", "nan"),
        ("6 & 3 | 8 ^ 1", "i", "11"),
        ("6.9 & 3", "i", "2"),
        ("0x10 + 1", "i", "17"),
        ("9223372036854775807 + 1", "ls", "-9223372036854775808"),
        ("4294967296 + 5", "i", "5"),
        ("0 - 1", "i", "4294967295"),
        ("0 - 1", "l", "18446744073709551615"),
        ("2147483648", "is", "-2147483648"),
        ("99.91", "i", "99"),
        ("0 - 1.9", "is", "-1"),
        ("1e30", "ls", "9223372036854775807"),
        ("-5 + n", "is", "0"),
        ("-n", "is", "-5"),
        ("+n", "is", "5"),
        ("n == 5", "i", "1"),
        ("(n == 5) + 1", "i", "2"),
        ("!n", "i", "0"),
        ("!(n == 4) && n", "i", "1"),
        ("0 || n && 0", "i", "0"),
        ("n &= 4", "i", "1"),
        ("n !&= 4", "i", "0"),
        ("n !& 2", "i", "1"),
        ('s ~== "AB"', "i", "1"),
        ('s !~= "AB"', "i", "0"),
        ('s ~< "AC"', "i", "1"),
        ('"a" + "b" + s', "s", "abab"),
        ('s < "b"', "i", "1"),
        ("1.2.3.4 < 1.2.3.10", "i", "1"),
        ("1.2.3.4 == ToIP(\"1.2.3.04\")", "i", "1"),
        ("::1 > 255.255.255.255", "i", "1"),
        ("!0.0.0.0", "i", "1"),
        ("Eval(n + 1)", "i", "6"),
        ("S + \"\"", "s", "ab"),
        ("$RowNum", "i", "1"),
        ("n + 0.5 == 5.5", "i", "1"),
        (".5 + 1.", "f", "1.5"),
    ],
)  # fmt: skip
def test_values(aq, expression, kind, value):
    assert aq.value(expression, kind) == value


@pytest.mark.parametrize(
    "expression",
    [
        "", "n +", "(n", "n)", "nope", "s + 1", "s - s", "n == s", "s &= s", "n ~== 1", "-s",
        "Foo(n)", "$Nope", "SLeng()", "SLeng(n)", "SLeng(s, s)", "PatCmp(s, n)", "Min(1)",
        'PatCmp(s, "a", nope)', 'MixedCmp(s, "a", MID)', "1 2", "1.2.3.999", "Abs(s)",
        'RxCmp(s, "\\\\(")', 'RxMap(s, "a", n, "b")', 'RxMap(s, "a", nope, "b")', "ToI(1.2.3.4)",
        'ClipStr(s, "x")', 'IConv(s, "nope", "utf8")', 'KeyDec(s, "Q")', "!", "n ? n", "&& n",
        "n == == n", "QryDec(s)", 'DateToTime(s, "Y.Y")', "(" * 500 + "n" + ")" * 500,
        "!" * 500 + "n", 'RxCmp(s, "a", pcre|rx)',
    ],
)  # fmt: skip
def test_bad_expressions_are_option_errors(aq, expression):
    ended = aq.pp("-d", "s:s", "i:n", "-eval", "-", expression, stdin=b"a,1\n")
    assert ended.code == 2
    assert ended.out == b""
    assert ended.err.startswith("aq_pp: ")


def test_the_error_quotes_the_place():
    with pytest.raises(OptionError, match="at 'here' in expression 'not here'"):
        parse_expression(
            "not here", type("N", (), {"find": lambda s, n: _reference(), "settable": tuple})()
        )


def _reference():

    return Reference(0, "not", Kind.I)


def test_a_failed_evaluation_costs_the_row(aq):
    ended = aq.pp("-stat", "-d", "i:a", "i:b", "-eval", "i:c", "a / b", stdin=b"1,0\n6,3\n")
    assert ended.lines == ['"a","b","c"', "6,3,2"]
    assert "division by zero" in ended.err
    assert "aq_pp: rec=2 err=1 out=1" in ended.err


def test_a_failed_check_is_silently_false(aq):
    ended = aq.pp(
        "-d", "i:a", "i:b", "-if", "-eval", "i:c", "a / b", "-else", "-eval", "c", "9", "-endif",
        "-o,notitle", "-", stdin=b"1,0\n6,3\n",
    )  # fmt: skip
    assert ended.lines == ["1,0,9", "6,3,2"]
    assert ended.err == ""


def test_random_numbers_repeat_with_the_seed(aq):
    def numbers(*seed):
        return aq.pp(
            *seed, "-d", "i:a", "-eval", "i:r", "$Random", "-c", "r", stdin=b"1\n2\n3\n"
        ).lines

    assert numbers() == numbers("-seed", "1")
    assert numbers("-seed", "2") == numbers("-seed", "2") != numbers()
    assert len(set(numbers())) == 4
