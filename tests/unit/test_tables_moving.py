"""Which worker a partition belongs to: evenly many for each, as few bytes moved as may be."""

from hypothesis import given
from hypothesis import strategies as st

from ess_dask.tables.moving import assign


def test_what_lies_evenly_stays():
    weights = [{"a": 5}, {"b": 5}, {"a": 5}, {"b": 5}]
    assert assign(weights, ("a", "b")) == ("a", "b", "a", "b")


def test_a_new_worker_gets_its_share_and_no_more():
    weights = [{"a": 5} if number % 2 else {"b": 5} for number in range(12)]
    places = assign(weights, ("a", "b", "c"))
    assert sorted(places) == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert sum(place not in held for place, held in zip(places, weights, strict=True)) == 4


def test_large_partitions_stay_and_small_ones_move():
    weights = [{"a": size} for size in (1, 9, 8, 2)]
    assert assign(weights, ("a", "b")) == ("b", "a", "a", "b")


def test_what_nobody_holds_and_what_lies_elsewhere_get_a_place():
    assert assign([{}, {"gone": 3}, {}], ("a", "b")) == ("a", "b", "a")


WORKERS = ("a", "b", "c", "d")
HELD = st.dictionaries(st.sampled_from((*WORKERS, "gone")), st.integers(1, 99), max_size=3)


@given(st.lists(HELD, max_size=40), st.integers(1, 4))
def test_every_worker_gets_as_many_as_any_other(weights, count):
    workers = WORKERS[:count]
    places = assign(weights, workers)
    counts = [places.count(worker) for worker in workers]
    assert len(places) == len(weights) and sum(counts) == len(weights)
    assert max(counts) - min(counts) <= 1
    assert assign(weights, workers) == places
