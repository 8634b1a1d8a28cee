"""Type names and Essentia column specs: what they mean, and how bad ones are told."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.errors import ConfigError
from ess_dask.records.columnspec import (
    LETTERS,
    MAX_COLUMNS,
    MAX_NAME,
    parse_columnspec,
    parse_items,
)
from ess_dask.records.spec import Column, DataType
from ess_dask.records.types import INTEGERS, arrow_type, format_type, parse_type

GOOD = [
    ("string", DataType("string"), pa.string()),
    *((name, DataType(name), getattr(pa, name)()) for name in INTEGERS),
    ("float32", DataType("float32"), pa.float32()),
    ("float64", DataType("float64"), pa.float64()),
    ("decimal(10,2)", DataType("decimal", precision=10, scale=2), pa.decimal128(10, 2)),
    ("boolean", DataType("boolean"), pa.bool_()),
    ("date", DataType("date"), pa.date32()),
    ("date[%d.%m.%Y]", DataType("date", format="%d.%m.%Y"), pa.date32()),
    ("timestamp", DataType("timestamp"), pa.timestamp("us")),
    ("timestamp[%d/%b/%Y:%H:%M:%S %z]", None, pa.timestamp("us")),
    ("timestamp[%d %b, %Y %H:%M]", DataType("timestamp", format="%d %b, %Y %H:%M"), None),
    (
        "timestamp[%Y-%m-%d %H:%M, Europe/Berlin]",
        DataType("timestamp", format="%Y-%m-%d %H:%M", zone="Europe/Berlin"),
        pa.timestamp("us", tz="Europe/Berlin"),
    ),
    ("timestamp[, UTC]", DataType("timestamp", zone="UTC"), pa.timestamp("us", tz="UTC")),
    ("binary", DataType("binary"), pa.binary()),
]


@pytest.mark.parametrize(("text", "type_", "arrow"), GOOD)
def test_a_type_name_means_its_type_and_comes_back(text, type_, arrow):
    parsed = parse_type(text)
    assert type_ is None or parsed == type_
    assert arrow is None or arrow_type(parsed) == arrow
    assert format_type(parsed) == text
    assert parse_type(f"  {text} ") == parsed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("int", "unknown type 'int'"),
        ("String", "unknown type"),
        ("", "unknown type"),
        ("ip", "unknown type"),
        ("decimal", "unknown type"),
        ("decimal(39,2)", "impossible type"),
        ("decimal(2,3)", "impossible type"),
        ("decimal(0,0)", "impossible type"),
        ("date[]", "no directive"),
        ("date[year]", "no directive"),
        ("timestamp[%Q]", "%Q"),
        ("timestamp[%Y-%m-%d, Mars/Olympus]", "unknown time zone 'Mars/Olympus'"),
        ("timestamp[%Y-%m-%d, ../etc/passwd]", "unknown time zone"),
    ],
)
def test_a_bad_type_name_is_told(text, says):
    with pytest.raises(ConfigError, match=r"type") as caught:
        parse_type(text)
    assert says in str(caught.value)
    assert caught.value.hint


def test_the_hint_lists_every_type():
    with pytest.raises(ConfigError) as caught:
        parse_type("integer")
    for name in ("string", "int8", "uint64", "float32", "decimal(precision,scale)", "timestamp"):
        assert name in caught.value.hint


def test_a_skipped_column_has_no_arrow_type():
    with pytest.raises(ConfigError, match=r"skipped"):
        arrow_type(DataType("skip"))


def test_every_letter_of_a_column_spec():
    columns = parse_columnspec('S:userID I:articleID F,attr:price X X:skipped "is:a" l:b LS:c ip:d')
    assert [(c.name, c.type.name) for c in columns] == [
        ("userID", "string"),
        ("articleID", "uint32"),
        ("price", "float64"),
        ("", "skip"),
        ("skipped", "skip"),
        ("a", "int32"),
        ("b", "uint64"),
        ("c", "int64"),
        ("d", "ip"),
    ]


def test_attributes_are_kept_in_order():
    (item, other) = parse_items("s,up,trm:name X[S]:gone")
    assert (item.letter, item.attributes, item.name) == ("S", ("up", "trm"), "name")
    assert (other.letter, other.name) == ("X", "gone")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "Q:x",
        "S",
        "S:",
        "S:1a",
        "S:a-b",
        "S:" + "a" * 32,
        "S:a I:A",
        'S:"a',
        "userID",
        ":a",
    ],
)
def test_a_bad_column_spec_is_told(text):
    with pytest.raises(ConfigError) as caught:
        parse_columnspec(text)
    assert "column" in caught.value.message
    assert caught.value.hint


def test_a_column_spec_may_be_as_long_as_the_manual_says():
    spec = " ".join(f"S:c{number}" for number in range(MAX_COLUMNS - 1))
    assert len(parse_columnspec(f"{spec} I:{'a' * MAX_NAME}")) == MAX_COLUMNS
    with pytest.raises(ConfigError, match="2049 columns") as caught:
        parse_columnspec(f"{spec} I:a I:b")
    assert "ess init" in str(caught.value.hint)


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(LETTERS)), NAMES),
        min_size=1,
        max_size=8,
        unique_by=lambda c: c[1].lower(),
    )
)
def test_each_item_of_a_column_spec_is_a_column(items):
    columns = tuple(Column(name, DataType(LETTERS[letter])) for letter, name in items)
    assert parse_columnspec(" ".join(map(":".join, items))) == columns
