"""The workers of a cluster as users know them: names in natural order, machines."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import TransientError

if TYPE_CHECKING:
    from distributed import Client

_DIGITS = re.compile(r"(\d+)")
_OWN_FOLDER = re.compile(r"(/dask-scratch-space)?/worker-[^/]*/?$")


@dataclass(frozen=True, slots=True)
class Node:
    """A worker: its name, address (``tls://HOST:PORT``), machine and number of threads.

    ``place`` is the same for workers that share a machine and a folder on it.
    """

    name: str
    address: str
    host: str
    threads: int
    place: str

    @property
    def shown(self) -> str:
        """Name and machine, as messages say them."""
        return shown(self.name, self.host)


def shown(name: str, host: str) -> str:
    """Return what messages call a worker: ``worker w1 (10.0.0.7)``."""
    return f"worker {name} ({host})"


def natural(text: str) -> tuple[Any, ...]:
    """Return what sorts ``w2`` before ``w10``."""
    words = [(int(w), w) if w.isdecimal() else (-1, w) for w in _DIGITS.split(text)]
    return (*words, (-1, text))


def nodes(client: Client) -> tuple[Node, ...]:
    """Return the workers there are now, by name in natural order."""
    found = client.scheduler_info(n_workers=-1)["workers"]
    listed = [
        Node(
            name=str(worker["name"]),
            address=address,
            host=str(worker["host"]),
            threads=int(worker["nthreads"]),
            place=f"{worker['host']}:{_OWN_FOLDER.sub('', worker['local_directory'])}",
        )
        for address, worker in found.items()
    ]
    return tuple(sorted(listed, key=lambda node: natural(node.name)))


def some_nodes(client: Client, name: str, timeout: float = 30.0) -> tuple[Node, ...]:
    """Return the workers of the cluster ``name``; wait up to ``timeout`` seconds for the first.

    Raises ``TransientError`` when none comes.
    """
    deadline = time.monotonic() + timeout
    while not (found := nodes(client)):
        if time.monotonic() > deadline:
            raise no_nodes(name)
        time.sleep(0.2)
    return found


def one_of_each(nodes: Sequence[Node]) -> list[Node]:
    """Return the first worker of each machine, in order."""
    first: dict[str, Node] = {}
    for node in nodes:
        first.setdefault(node.place, node)
    return list(first.values())


def no_nodes(name: str) -> TransientError:
    """Return the error of a cluster without workers."""
    return TransientError(
        f"the cluster {name} has no workers",
        hint="see that they run and reach its scheduler; then run the same command again",
    )
