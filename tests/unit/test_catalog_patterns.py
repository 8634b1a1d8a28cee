"""Globs over full paths, their anchors and the folders to walk."""

import pytest

from ess_dask.catalog.model import Datastore
from ess_dask.catalog.patterns import anchor, compile_patterns, literal, split_patterns
from ess_dask.errors import UsageError

LAKE = Datastore("lake", "/lake")
BUCKET = Datastore("b", "s3://bucket")
DEEP = Datastore("b", "s3://bucket/raw/logs")


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("*a* *b*", ("*a*", "*b*")),
        ("'my file*' b", ("my file*", "b")),
        ('"it\'s*"', ("it's*",)),
        (r"a\ b", ("a b",)),
        ("  x  ", ("x",)),
        ("a#b #c", ("a#b", "#c")),
    ],
)
def test_split(text, patterns):
    assert split_patterns(text) == patterns


@pytest.mark.parametrize("text", ["", "   ", "it's", '"open'])
def test_split_refuses(text):
    with pytest.raises(UsageError):
        split_patterns(text)


@pytest.mark.parametrize(
    ("store", "pattern", "anchored"),
    [
        (LAKE, "*purchase*", "/lake/*purchase*"),
        (LAKE, "x/y_*.gz", "/lake/x/y_*.gz"),
        (LAKE, "./y_*.gz", "/lake/y_*.gz"),
        (LAKE, "../other/*", "/other/*"),
        (LAKE, "/data//x/*", "/data/x/*"),
        (LAKE, "//x", "/x"),
        (BUCKET, "*x*", "s3://bucket/*x*"),
        (BUCKET, "/x/*", "s3://bucket/x/*"),
        (DEEP, "x/*", "s3://bucket/raw/logs/x/*"),
        (DEEP, "/x/*", "s3://bucket/x/*"),
        (DEEP, "s3://other/k*", "s3://other/k*"),
    ],
)
def test_anchor(store, pattern, anchored):
    assert anchor(store, pattern) == anchored


def test_a_pattern_with_a_nul_is_refused():
    with pytest.raises(UsageError, match=r"the pattern 'a\\x00\*' holds a NUL"):
        compile_patterns(LAKE, ("a\0*",))


def test_a_root_with_glob_characters_is_literal():
    store = Datastore("odd", "/la[k]e*")
    wanted = compile_patterns(store, ("*.csv",))
    assert wanted.matches("/la[k]e*/a.csv")
    assert not wanted.matches("/lake/a.csv")
    assert wanted.prefixes == ("/la[k]e*/",)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/a/*b*", "/a/x/y/b.gz", True),
        ("/a/*b*", "/b/a", False),
        ("/a/?.gz", "/a/x.gz", True),
        ("/a/?.gz", "/a/xy.gz", False),
        ("/a/[ab].gz", "/a/b.gz", True),
        ("/a/[!ab].gz", "/a/b.gz", False),
        ("/a/*.gz", "/a/n\nl.gz", True),
        ("/a/*.gz", "/a/\udcff.gz", True),
        ("/a/x.gz", "/a/x.gz", True),
        ("/a/x.gz", "/a/x.gz2", False),
        ("/a/X.gz", "/a/x.gz", False),
        ("/a/x+(1).gz", "/a/x+(1).gz", True),
    ],
)
def test_matches(pattern, path, matches):
    assert compile_patterns(LAKE, (pattern,)).matches(path) is matches


def test_several_patterns_and_exclusion():
    wanted = compile_patterns(LAKE, ("*a*", "*b*"), ("*bbb*", "tmp_*", "/lake/old/*"))
    assert wanted.matches("/lake/xa")
    assert wanted.matches("/lake/xb")
    assert not wanted.matches("/lake/bbb1")
    assert not wanted.matches("/lake/z")
    assert not wanted.matches("/lake/x/tmp_a")
    assert not wanted.matches("/lake/tmp_x/a")
    assert not wanted.matches("/lake/old/a")


def test_excluded_folders_are_not_walked():
    wanted = compile_patterns(LAKE, ("*",), ("/lake/old/*", "*.tmp"))
    assert wanted.prunes("/lake/old/")
    assert not wanted.prunes("/lake/new/")
    assert not wanted.prunes("/lake/x.tmp/")


@pytest.mark.parametrize(
    ("store", "patterns", "prefixes"),
    [
        (LAKE, ("/home/me/a/*b*",), ("/home/me/a/",)),
        (LAKE, ("/home/me/ab*",), ("/home/me/",)),
        (LAKE, ("x.gz",), ("/lake/x.gz",)),
        (LAKE, ("/a/*", "/a/b/*"), ("/a/",)),
        (LAKE, ("/a/b", "/a/bc/*"), ("/a/b", "/a/bc/")),
        (LAKE, ("/*",), ("/",)),
        (LAKE, ("/a/[[]x]/*",), ("/a/[x]/",)),
        (BUCKET, ("logs/pre*",), ("s3://bucket/logs/pre",)),
        (BUCKET, ("logs/pre*", "logs/pretty*"), ("s3://bucket/logs/pre",)),
        (BUCKET, ("*",), ("s3://bucket/",)),
    ],
)
def test_prefixes(store, patterns, prefixes):
    assert compile_patterns(store, patterns).prefixes == prefixes


def test_literal():
    text = "/a/[x]*?.gz"
    wanted = compile_patterns(LAKE, (literal(text),))
    assert wanted.matches(text)
    assert not wanted.matches("/a/xyz.gz")
