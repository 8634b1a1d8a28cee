"""Batches as a ``dask.bag``: one partition per batch, one element per partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dask.bag import Bag
    from dask.delayed import Delayed

Item = TypeVar("Item")

SLAB = 64
"""Batches per graph when a job runs: submitting one partition costs time in its graph's size."""


def make_bag(batches: Sequence[Item], work: Callable[[Item], object]) -> Bag:
    """Return a bag of ``work(batch)``; one partition with one element for each batch, in order."""
    import dask.bag

    bag: Bag = dask.bag.from_sequence(batches, npartitions=max(len(batches), 1)).map(work)
    return bag


def partitions(batches: Iterable[Item], work: Callable[[Item], object]) -> Iterator[Delayed]:
    """Yield each partition of the job's bag, in order; graphs are made slab by slab."""
    todo = iter(batches)
    while slab := list(islice(todo, SLAB)):
        yield from make_bag(slab, work).to_delayed()
