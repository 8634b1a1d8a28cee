"""Casts agree with Python's own int, float, Decimal and datetime."""

from __future__ import annotations

import io
import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ess_dask.records.chunk import FileSource
from ess_dask.records.csv import read_chunks
from ess_dask.records.spec import Column, DataType, ReadSpec
from ess_dask.records.types import INTEGERS, parse_type

quick = settings(max_examples=60)


def cast_all(type_: str | DataType, texts: list[str]) -> list[object]:
    """Return the value of each text, or its reject's reason as ``!reason``."""
    kind = parse_type(type_) if isinstance(type_, str) else type_
    spec = ReadSpec((Column("k", DataType("string")), Column("v", kind)), "|", header=False)
    data = "".join(f"{i}|{text}\n" for i, text in enumerate(texts)).encode()
    out: dict[int, object] = {}
    for chunk in read_chunks(FileSource("f", lambda: io.BytesIO(data)), spec):
        out |= {int(row["k"]): row["v"] for row in chunk.table.to_pylist()}
        out |= {r["line"] - 1: "!" + r["reason"] for r in chunk.rejects.to_pylist()}
    return [out[i] for i in range(len(texts))]


def refused(value: object) -> bool:
    return isinstance(value, str) and value.startswith("!")


NUMBER_LIKE = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-300, 300).map(str),
    st.text("0123456789+-. eExXn_", max_size=8),
    st.floats().map(str),
    st.sampled_from(
        ["TBD", "1_000", "0x1F", "٣", "١٢", "+5", " 5 ", "--5", "1.0", "1e3", "007", "-0", "½"]
    ),
)


@quick
@given(st.sampled_from(INTEGERS), st.lists(NUMBER_LIKE, min_size=1, max_size=20))
def test_integers(name, texts):
    bits = int(re.sub(r"\D", "", name))
    low, high = (0, 2**bits) if name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    for text, got in zip(texts, cast_all(name, texts), strict=True):
        stripped = text.strip(" \t")
        if not stripped:
            assert got is None
        elif not re.fullmatch(r"[+-]?[0-9]+", stripped):
            assert got == f"!not a{'' if name[0] == 'u' else 'n'} {name}: {text!r}"
        elif low <= int(stripped) < high:
            assert got == int(stripped)
        else:
            assert got == f"!out of range for {name}: {text!r}"


@quick
@given(st.lists(NUMBER_LIKE, min_size=1, max_size=20))
@example(["inf", "-Infinity", "NaN", "1e400", ".5", "5.", "1E5", "1d5", "infinit", "1 2"])
def test_floats(texts):
    for text, got in zip(texts, cast_all("float64", texts), strict=True):
        stripped = text.strip(" \t")
        plain = stripped.isascii() and "_" not in stripped
        try:
            expected = float(stripped) if plain else None
        except ValueError:
            expected = None
        if not stripped:
            assert got is None
        elif expected is None:
            assert got == f"!not a float64: {text!r}"
        else:
            assert got == expected or (math.isnan(got) and math.isnan(expected))


@quick
@given(
    st.lists(
        st.one_of(
            st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: f"{d:f}"),
            NUMBER_LIKE,
            st.decimals(-1000, 1000, places=2).map(str),
        ),
        min_size=1,
        max_size=20,
    )
)
@example(["1.23", "1.235", "1.2300", "99999999.99", "100000000", "1e3", ".5", "5.", "."])
def test_decimals_are_exact_or_refused(texts):
    for text, got in zip(texts, cast_all("decimal(10,2)", texts), strict=True):
        stripped = text.strip(" \t")
        if not stripped:
            assert got is None
            continue
        well_formed = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", stripped)
        value = Decimal(stripped) if well_formed else None
        if value is not None and abs(value) < 10**8 and value == round(value, 2):
            assert got == value
        else:
            assert refused(got)


TIMES = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59))  # noqa: DTZ001
LATELY = st.datetimes(datetime(1950, 1, 1), datetime(2049, 12, 31))  # noqa: DTZ001


@pytest.mark.slow
@quick
@given(
    st.lists(
        st.tuples(
            TIMES, st.sampled_from(["T", " "]), st.sampled_from(["auto", "seconds", "minutes"])
        ),
        min_size=1,
        max_size=10,
    )
)
def test_iso_timestamps(items):
    texts = [when.isoformat(sep, spec) for when, sep, spec in items]
    assert cast_all("timestamp", texts) == [datetime.fromisoformat(text) for text in texts]


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@pytest.mark.slow
@quick
@given(LATELY, OFFSETS, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))
@example(datetime(2000, 10, 29, 1), UTC, "Europe/Berlin")  # noqa: DTZ001
def test_an_offset_in_the_text_counts(when, offset, zone):
    when = when.replace(tzinfo=offset)
    text = when.isoformat()
    utc = when.astimezone(UTC)
    assert (
        cast_all("timestamp", [text, text.replace("+00:00", "Z")]) == [utc.replace(tzinfo=None)] * 2
    )
    (zoned,) = cast_all(f"timestamp[, {zone}]", [text])
    # In UTC: in the hour that a clock shows twice, times of two zones are never equal.
    assert zoned.astimezone(UTC) == utc
    assert zoned.utcoffset() == utc.astimezone(ZoneInfo(zone)).utcoffset()


@pytest.mark.parametrize(
    "text",
    [
        "2014-02-30T00:00:00",
        "2014-09-01T24:00:00",
        "2014-09-01T00:00:60",
        "2014-09-01T00:60:00",
        "2014-13-01",
        "0000-01-01",
        "20140901",
        "2014-09-01T",
        "12:00:00",
        "now",
        "2014-09-01T00:00:00X",
        "2014-09-01T00:00:00.",
        "2014-09-01T00:00:00+25:00:00",
    ],
)
def test_no_timestamp(text):
    assert cast_all("timestamp", [text]) == [f"!not a timestamp: {text!r}"]


def test_a_date_alone_is_midnight_and_long_fractions_are_cut():
    texts = ["2014-09-01", "2014-09-01T00:00:00.123456789", "2014-09-01 05:06Z"]
    assert cast_all("timestamp", texts) == [
        datetime(2014, 9, 1),  # noqa: DTZ001
        datetime(2014, 9, 1, 0, 0, 0, 123456),  # noqa: DTZ001
        datetime(2014, 9, 1, 5, 6),  # noqa: DTZ001
    ]


FORMATS = [
    "%Y%m%d%H%M%S",
    "%d/%b/%Y:%H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y-%m-%d %H:%M:%S.%f",
    "%d %B %Y",
    "%Y-%m-%d %H",
]


@quick
@given(st.sampled_from(FORMATS), st.lists(TIMES, min_size=1, max_size=5))
def test_declared_formats(pattern, times):
    texts = [when.strftime(pattern) for when in times]
    expected = [datetime.strptime(text, pattern) for text in texts]  # noqa: DTZ007
    assert cast_all(f"timestamp[{pattern}]", texts) == expected


def test_a_format_with_an_offset():
    texts = ["01/Sep/2014:00:00:02 -0800", "01/Sep/2014:00:00:60 -0800"]
    got = cast_all("timestamp[%d/%b/%Y:%H:%M:%S %z]", texts)
    assert got[0] == datetime(2014, 9, 1, 8, 0, 2)  # noqa: DTZ001
    assert refused(got[1])


def test_a_local_time_that_a_zone_skips_is_refused_and_of_two_the_earlier_taken():
    got = cast_all("timestamp[, Europe/London]", ["2014-03-30T01:30:00", "2014-10-26T01:30:00"])
    assert refused(got[0])
    assert got[1].astimezone(UTC) == datetime(2014, 10, 26, 0, 30, tzinfo=UTC)


@quick
@given(st.lists(st.dates(date(1000, 1, 1), date(9999, 12, 30)), min_size=1, max_size=10))
def test_dates(days):
    assert cast_all("date", [day.isoformat() for day in days]) == days
    assert cast_all("date[%d.%m.%Y]", [day.strftime("%d.%m.%Y") for day in days]) == days


def test_no_dates():
    texts = ["2014-02-30", "TBD", "2014-09-01x", "0099-01-01"]
    assert all(refused(value) for value in cast_all("date", texts))
    assert refused(cast_all("date[%m/%d/%Y]", ["9/1/14"])[0])


def test_booleans():
    yes, no = ["true", "T", "Yes", "1", " TRUE "], ["false", "F", "NO", "0"]
    assert cast_all("boolean", yes + no) == [True] * 5 + [False] * 4
    assert all(refused(value) for value in cast_all("boolean", ["2", "y", "on", "truee"]))


def test_addresses():
    good = [
        "0.0.0.0",
        "255.255.255.255",
        "1.2.3.4",
        "::1",
        "2001:db8::ff00:42:8329",
        "::ffff:1.2.3.4",
    ]
    bad = ["256.1.1.1", "1.2.3", "1.2.3.4.5", "a.b.c.d", ":::", "1.2.3.4:80", "1.2.3.", "12345::"]
    got = cast_all(DataType("ip"), good + bad)
    assert got[: len(good)] == good
    assert all(refused(value) for value in got[len(good) :])


def test_binary_is_the_bytes_of_the_field():
    assert cast_all("binary", ["é", "", "x"]) == ["é".encode(), None, b"x"]
