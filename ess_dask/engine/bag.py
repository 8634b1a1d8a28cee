"""Batches as a ``dask.bag``: one partition per batch, one element per partition."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dask.bag import Bag
    from dask.delayed import Delayed

Item = TypeVar("Item")

SLAB = 64
"""Batches per bag when a job runs: a bag of a million would be made whole before the first runs."""


def make_bag(batches: Sequence[Item], work: Callable[[Item], object]) -> Bag:
    """Return a bag of ``work(batch)``; one partition with one element for each batch, in order."""
    from dask.bag import Bag

    # A name of its own: one that tells what is in it takes longer to work out than small batches.
    name = f"batches-{uuid.uuid4().hex}"
    parts = [[batch] for batch in batches] or [[]]
    graph: dict[Any, Any] = {(name, at): part for at, part in enumerate(parts)}
    bag: Bag = Bag(graph, name, len(parts)).map(work)
    return bag


def partitions(batches: Iterable[Item], work: Callable[[Item], object]) -> Iterator[Delayed]:
    """Yield each partition of the job's bag, in order; graphs are made slab by slab."""
    todo = iter(batches)
    while slab := list(islice(todo, SLAB)):
        yield from map(_itself, make_bag(slab, work).to_delayed())


def _itself(partition: Delayed) -> Delayed:
    """Return a partition as the one task that makes it, by its own name.

    A bag calls that task by another name: for a scheduler an alias is a task more, which may run on
    another worker, and when it is done the first task's result is let go. Alone, because what is
    submitted costs time in its graph's size.
    """
    from dask.delayed import Delayed

    graph = partition.dask
    key = getattr(graph[partition.key], "target", partition.key)
    return Delayed(key, {key: graph[key]})
