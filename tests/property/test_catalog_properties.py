"""What must hold for all dates, names and listings."""

# ruff: noqa: DTZ001 - dates in names are naive

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.catalog.bounds import parse_bounds
from ess_dask.catalog.dates import compile_dates
from ess_dask.catalog.index import open_catalog
from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.catalog.patterns import compile_patterns, literal
from ess_dask.catalog.selection import select_from

AUTO = compile_dates("auto")
moments = st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31, 23, 59, 59)).map(
    lambda d: d.replace(microsecond=0)
)
hours = moments.map(lambda d: d.replace(minute=0, second=0))
days = moments.map(lambda d: d.replace(hour=0, minute=0, second=0))
letters = st.text("abcxyz_é ü#?%\n", max_size=8)

AUTO_FORMATS = [
    ("%Y%m%d", days), ("%Y-%m-%d", days), ("%Y/%m/%d/", days), ("%Y_%m_%d", days),
    ("%Y%m%d%H", hours), ("%Y-%m-%dT%H", hours), ("%Y%m%dT%H%M%S", moments),
    ("%Y%m%d%H%M%S", moments), ("%Y-%m-%dT%H:%M:%S", moments), ("%Y-%m-%d %H-%M-%S", moments),
]  # fmt: skip

CLASS_FORMATS = [
    "%Y%m%d", "%d.%m.%Y", "%y%m%d", "%d%b%Y", "%d-%B-%y", "%Y%m%d%H", "%Y%m%d_%H%M",
    "%Y-%m-%dT%H:%M:%S", "%m-%d-%Y_%I%p", "%Y%m%d%H%z",
]  # fmt: skip


@given(st.data(), st.sampled_from(AUTO_FORMATS), letters, letters)
def test_auto_finds_what_was_formatted(data, form, before, after):
    text, moments_ = form
    value = data.draw(moments_)
    assert AUTO.find(f"/{before}/{before}{value.strftime(text)}x{after}") == value


@pytest.mark.slow
@given(st.data(), st.sampled_from(CLASS_FORMATS), letters)
def test_classes_find_what_was_formatted(data, form, before):
    value = data.draw(moments)
    if "%y" in form:
        value = value.replace(year=1969 + value.year % 100, day=min(value.day, 28))
    shown = value.strftime(form.replace("%z", "+0000"))
    regex = form
    for letter in "YymdHMSbBzp":
        regex = regex.replace(f"%{letter}", f"[:%{letter}:]")
    regex = regex.replace("%I", "[:%H:]")
    found = compile_dates(regex).find(f"/lake/{before}{shown}.gz")
    assert isinstance(found, datetime)
    assert found.strftime(form) == value.strftime(form)


@given(st.integers(1900, 2099), st.integers(0, 99), st.integers(0, 99))
def test_auto_finds_a_date_exactly_when_the_calendar_has_it(year, month, day):
    try:
        wanted = datetime(year, month, day)
    except ValueError:
        wanted = None
    assert AUTO.find(f"x_{year:04}{month:02}{day:02}.gz") == wanted
    assert AUTO.find(f"x_{year:04}-{month:02}-{day:02}.gz") == wanted


@given(st.text())
def test_any_name_is_dated_or_not_but_never_an_error(name):
    AUTO.find(name)
    compile_dates("[:%Y:][:%m:][:%d:][:%H:][:%M:][:%S:]").find(name)


@given(st.text(st.characters(exclude_characters="\x00"), min_size=1))
def test_a_literal_pattern_matches_exactly_its_text(name):
    wanted = compile_patterns(Datastore("b", "s3://b"), (literal(f"s3://b/{name}"),))
    assert wanted.matches(f"s3://b/{name}")
    assert not wanted.matches(f"s3://b/{name}x")
    assert f"s3://b/{name}".startswith(wanted.prefixes)


@given(
    st.lists(st.text("ab/*?[]", min_size=1, max_size=8), min_size=1, max_size=3),
    st.text("ab/", min_size=1, max_size=8),
    st.sampled_from(["/lake", "s3://b"]),
)
def test_every_match_starts_with_a_prefix(patterns, name, root):
    wanted = compile_patterns(Datastore("x", root), patterns)
    path = f"{root}/{name}"
    if wanted.matches(path):
        assert path.startswith(wanted.prefixes)


names = st.builds(
    lambda d, n, dated: f"/lake/{d.strftime('%Y%m%d')}_{n}" if dated else f"/lake/{n}",
    days, st.text("abc\udcff", max_size=3), st.booleans(),
)  # fmt: skip


@given(st.lists(names, unique=True, max_size=30), st.randoms(use_true_random=False))
def test_order_is_date_then_uri_whatever_the_listing_order(uris, random):
    files = [FileRef(uri, None, 1, "e") for uri in uris]
    first = select_from(files, AUTO, parse_bounds("*", "*", AUTO))
    random.shuffle(files)
    assert select_from(files, AUTO, parse_bounds("*", "*", AUTO)) == first
    dated = [(f.date, f.uri) for f in first.files if f.date is not None]
    assert dated == sorted(dated)
    assert [f.uri for f in first.files[len(dated) :]] == sorted(
        f.uri for f in files if AUTO.find(f.uri) is None
    )
    assert first.undated == len(uris) - len(dated)


@given(st.lists(days, min_size=1, max_size=20, unique=True), days, st.integers(0, 400))
def test_bounds_select_exactly_the_days_between(all_days, lower, span):
    upper = min(lower + timedelta(days=span), datetime(2099, 12, 31))
    files = [FileRef(f"/x/{d:%Y-%m-%d}", None, 1, "e") for d in all_days]
    bounds = parse_bounds(f"{lower:%Y-%m-%d}", f"{upper:%Y-%m-%d}", AUTO)
    selected = [f.date for f in select_from(files, AUTO, bounds).files]
    assert selected == sorted(d for d in all_days if lower <= d <= upper)


listings = st.dictionaries(
    st.text("ab\udcff\n ü", min_size=1, max_size=3),
    st.tuples(st.integers(0, 2**40), st.text("xyz", max_size=2)),
    max_size=12,
)


@pytest.mark.slow
@given(st.lists(listings, min_size=1, max_size=4))
def test_the_index_equals_the_last_listing_and_counts_the_difference(history):
    with tempfile.TemporaryDirectory() as folder, open_catalog(Path(folder) / "c.db") as catalog:
        catalog.put_datastore(Datastore("lake", "/lake"))
        number = catalog.put_category("lake", Category("c", ("*",))).number
        before: dict[str, tuple[int, str]] = {}
        for now in history:
            files = [FileRef(name, None, size, etag) for name, (size, etag) in now.items()]
            difference = catalog.refresh(number, files)
            assert {f.uri: (f.size, f.etag) for f in catalog.files(number)} == now
            assert difference.new == len(now.keys() - before.keys())
            assert difference.deleted == len(before.keys() - now.keys())
            assert difference.changed == sum(
                now[name] != before[name] for name in now.keys() & before.keys()
            )
            before = now
