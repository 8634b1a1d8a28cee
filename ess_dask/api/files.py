"""``ess file`` as calls: files to and from the folders in which the workers' commands run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.cluster import files
from ess_dask.cluster.machines import is_remote
from ess_dask.cluster.nodes import Node, one_of_each, some_nodes
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

Say = Callable[[str], None]


def push(names: Sequence[str], dest: str, say: Say) -> int:
    """Copy files of this machine to every machine of the cluster; return how many machines took
    them.

    They get into the work folder, or into ``dest`` below it, whole, each with its mode. Where the
    workers are on this machine commands run in the current folder: files are then copied to
    ``dest`` in it. Raises ``UsageError`` for what is no file and for a ``dest`` outside.
    """
    paths = files.sources(names)
    folder = files.inside(dest) if dest else ""
    if not is_remote():
        _copy(paths, folder, say)
        return 1
    with _machines(say) as (client, machines):
        files.push(client, machines, paths, folder)
        return len(machines)


def get(names: Sequence[str], say: Say) -> list[str]:
    """Copy files of the workers' machines here; return what was written.

    ``NAME`` becomes ``NAME`` in the current folder, of a cluster of several machines
    ``NAME.WORKER`` for each that has it. Raises ``DataError`` for a name that none has.
    """
    wanted = [files.inside(name) for name in names]
    if not is_remote():
        for name in wanted:
            if not Path(name).is_file():
                raise UsageError(f"there is no file {name}", hint=_HERE)
        say(_HERE)
        return wanted
    written = []
    with _machines(say) as (client, machines):
        for name in wanted:
            for node, told in files.find(client, machines, name):
                target = name if len(machines) == 1 else f"{name}.{_plain(node.name)}"
                files.get(client, node, told, Path(target))
                written.append(target)
    return written


def mkdir(name: str, say: Say) -> int:
    """Make a folder below the work folder of every machine; return how many there are."""
    folder = files.inside(name)
    if not is_remote():
        files.make_folder(folder)
        return 1
    with _machines(say) as (client, machines):
        files.mkdir(client, machines, folder)
        return len(machines)


_HERE = "the workers are on this machine: their commands run in the current folder"


@contextmanager
def _machines(say: Say) -> Iterator[tuple[Client, list[Node]]]:
    from ess_dask.engine.hands import working

    with working(say) as (client, endpoint):
        yield client, one_of_each(some_nodes(client, endpoint.name))


def _copy(paths: Sequence[Path], folder: str, say: Say) -> None:
    if not folder:
        say(_HERE)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for path in paths:
        to = target / path.name
        if not (to.exists() and to.samefile(path)):
            shutil.copy(path, to)


def _plain(name: str) -> str:
    """Return a worker's name as part of a file name: one without a name has its address."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
