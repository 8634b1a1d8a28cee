"""Patterns: POSIX and PCRE expressions, globs, extraction rules, templates."""

import pytest

from ess_dask.aq.errors import OptionError
from ess_dask.aq.patterns.extract import compile_extraction
from ess_dask.aq.patterns.glob import compile_glob, has_wildcard, literal_of
from ess_dask.aq.patterns.regex import compile_regex
from ess_dask.aq.patterns.render import parse_template, render


def found(pattern, text, *attributes):
    match = compile_regex(pattern, attributes).search(text)
    return None if match is None else match.group(0)


@pytest.mark.parametrize(
    ("pattern", "text", "match"),
    [
        (r"a+", "aaa+", "a+"),
        (r"a\+", "aaa", "aaa"),
        (r"a\{2\}", "aaa", "aa"),
        (r"a\{1,2\}b", "aaab", "aab"),
        (r"\(ab\)*c", "ababc", "ababc"),
        (r"\(a\)\1", "aab", "aa"),
        (r"a|b", "a|b", "a|b"),
        (r"a\|ab", "ab", "ab"),
        (r"*a", "*a", "*a"),
        (r"^*a", "*a", "*a"),
        (r"\(*a\)", "*a", "*a"),
        (r"a^b$c", "a^b$c", "a^b$c"),
        (r"^ab$", "ab", "ab"),
        (r"ab$", "ab\n", None),
        (r"[]a]*", "]a]b", "]a]"),
        (r"[^]a]", "]ab", "b"),
        (r"[[:digit:]-]*", "12-3x", "12-3"),
        (r"[a\]", "\\", "\\"),
        (r"[\n\x41]", "xA", "A"),
        (r"a\.b", "a.b", "a.b"),
        (r".", "\n", "\n"),
        (r"\x41\t", "A\t", "A\t"),
        (r"\<b\w*", "ab bc", "bc"),
        (r"{1}", "{1}", "{1}"),
        (r"a**", "aa", "aa"),
        (r"\"", '"', '"'),
        (r"[a-c-]*", "b-d", "b-"),
    ],
)
def test_basic_expressions(pattern, text, match):
    assert found(pattern, text) == match


@pytest.mark.parametrize(
    ("pattern", "text", "match"),
    [
        (r"(a|ab)(c|bcd)", "abcd", "abcd"),
        (r"x*", "xxx", "xxx"),
        (r"a?(ab)?", "ab", "ab"),
        (r"a+?", "aa", "aa"),
        (r"a{2,}", "aaa", "aaa"),
        (r"a{,2}", "aaa", "aa"),
        (r"a{x", "a{x", "a{x"),
        (r"\(a\)", "(a)", "(a)"),
        (r"a)", "a)", "a)"),
        (r"(^a)|b$", "cb", "b"),
        (r"[[:alpha:]]+", "12ab", "ab"),
        (r"^$", "", ""),
    ],
)
def test_extended_expressions_match_the_longest(pattern, text, match):
    assert found(pattern, text, "rx_extended") == match


def test_options_of_posix_expressions():
    assert found("A", "ba", "ncas") == found("A", "ba", "rx_icase") == "a"
    assert found("^b.*", "a\nbc\nd", "rx_newline") == "bc"
    assert found("[^a]*", "\nb", "rx_newline") == ""


def test_pcre():
    assert found(r"(?<=a)b+?", "abb", "pcre") == "b"
    assert found("b+", "abb", "ungreedy") == "b"
    assert found("b+?", "abb", "ungreedy") == "bb"
    assert found("B", "ab", "caseless") == "b"
    assert found("a.b", "a\nb", "pcre") is None
    assert found("a.b", "a\nb", "dotall") == "a\nb"
    assert found("^b$", "a\nb", "multiline") == "b"
    assert found("a # x", "a", "extended") == "a"
    assert found("b", "ab", "anchored") is None
    assert found("b*", "abb", "notempty") == "bb"
    assert found("a$", "a\n", "pcre") == "a"
    assert found("a$", "a\n", "dollar_endonly") is None
    bytes_of = "é".encode().decode("latin-1")
    assert found("^.$", bytes_of, "utf") == bytes_of
    assert found("^.$", bytes_of, "pcre") is None
    assert compile_regex(r"(?<year>\d+)", ["pcre"]).names == {"year": 1}


@pytest.mark.parametrize(
    ("pattern", "attributes"),
    [(r"\(a", ()), ("a)(", ("rx_extended",)), ("[a", ()), ("[[:no:]]", ()), ("a\\", ()),
     (r"a\{1", ()), ("(", ("pcre",)), ("a", ("firstline",)), ("a", ("nope",)), (r"\(a\)\2", ()),
     ("a{2,1}", ("rx_extended",)), ("a{99999999999}", ("rx_extended",))],
)  # fmt: skip
def test_bad_expressions(pattern, attributes):
    with pytest.raises(OptionError):
        compile_regex(pattern, attributes)


def test_globs():
    assert compile_glob("a*b?").fullmatch("axxbc")
    assert not compile_glob("a*").fullmatch("ba")
    assert compile_glob("A*", ncas=True).fullmatch("abc")
    assert compile_glob(r"\*[a]\\").fullmatch("*[a]\\")
    assert compile_glob("*").fullmatch("a\nb")
    assert has_wildcard("a?")
    assert not has_wildcard(r"a\?")
    assert literal_of(r"a\?\\") == "a?\\"


@pytest.mark.parametrize(
    ("rule", "text", "values"),
    [
        ("%%a%%-%%b%%", "x-y-z", ("x", "y-z")),
        ("%%a:@n%%%*", "12ab", ("12",)),
        ("%%a:[ab]%%%?", "abc", ("ab",)),
        ("%%a:[]b]%%", "]b", ("]b",)),
        ("%%a:2-3%%%*", "abcd", ("abc",)),
        ("%%a:2%%", "a", None),
        ("%%a,,;%%%*", "ab,c", ("ab",)),
        ("%%a%%", "", ("",)),
        ("%%*:@n%%%%b%%", "12b", ("b",)),
        ("%*x%?", "aaxb", ()),
        ("a%=B%=c", "abc", ()),
        ("a%=B%=c", "abC", None),
        (r"\%\\\x41%%v%%", "%\\Az", ("z",)),
        ("%%a:@ab:@n%%", "aB1", ("aB1",)),
        ("100%", "100%", ()),
    ],
)
def test_extraction_rules(rule, text, values):
    match = compile_extraction(rule).pattern.fullmatch(text)
    assert (match.groups() if match else None) == values


@pytest.mark.parametrize("rule", ["%%a", "%%1%%", "%%a:@k%%", "%%a:x%%"])
def test_bad_extraction_rules(rule):
    with pytest.raises(OptionError):
        compile_extraction(rule)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("<%%v%%>", "<a%20b;c>"),
        ("%%v:3%%", "a%2"),
        ("%%v:1:3%%", "%20"),
        ("%%v,;%%", "a%20b"),
        ("%%v:url%%", "a b;c"),
        ("%%v:url1:5%%", "a b"),
        ("%%w:b64%%", "hello"),
        ("%%none%%", ""),
        (r"\%\%v\%\%\n", "%%v%%\n"),
        ("5%", "5%"),
    ],
)
def test_templates(template, text):
    values = {"v": "a%20b;c", "w": "aGVsbG8="}
    assert render(parse_template(template), lambda name: values.get(name, "")) == text


def test_a_template_with_an_open_variable():
    with pytest.raises(OptionError):
        parse_template("%%v")
