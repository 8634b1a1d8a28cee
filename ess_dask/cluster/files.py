"""Files between this machine and the work folders of the workers' machines, where commands run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from ess_dask.cluster.blocks import Stored, ask, fetch, send, stored
from ess_dask.cluster.nodes import Node
from ess_dask.errors import DataError, EssError, TransientError, UsageError

if TYPE_CHECKING:
    from distributed import Client

_AT_ONCE = 8
"""Machines that are served at the same time."""

Result = TypeVar("Result")


def inside(name: str) -> str:
    """Return a path below the work folder in its plain form.

    Raises ``UsageError`` for one that leaves it, and for none at all.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.name:
        raise UsageError(
            f"{name!r} is no path below the work folder of a worker",
            hint="write it relative to that folder, without ..",
        )
    return str(path)


def sources(files: Sequence[str]) -> list[Path]:
    """Return the files of this machine that are to be pushed.

    Raises ``UsageError`` for one that is no regular file, and where two have the same name.
    """
    paths = [Path(file) for file in files]
    for path in paths:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is no file"
            raise UsageError(f"{path} {what}", hint="name the files themselves, such as scripts/*")
    names = [path.name for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two of the files are named {name}", hint="push them one by one")
    return paths


def push(client: Client, machines: Sequence[Node], files: Sequence[Path], folder: str) -> None:
    """Copy files into ``folder`` ('' is the work folder itself) on each of these machines.

    Each appears whole or not at all. Raises ``EssError`` naming the machine that could not take it.
    """

    def one(node: Node) -> None:
        for path, told in described:
            name = str(PurePosixPath(folder) / path.name)
            send(client, node.address, path, told, name)

    described = [(path, stored(path)) for path in files]
    for _ in _on_each(machines, one, "cannot write there"):
        pass


def find(client: Client, machines: Sequence[Node], name: str) -> list[tuple[Node, Stored]]:
    """Return the machines whose work folder has the file ``name``, and what it is there.

    Raises ``DataError`` when none has.
    """

    def one(node: Node) -> Stored | None:
        found: Stored | None = ask(client, node.address, described_here, name)
        return found

    found = zip(machines, _on_each(machines, one, "cannot read there"), strict=True)
    having = [(node, told) for node, told in found if told is not None]
    if not having:
        raise DataError(f"no worker has a file {name}", hint="see what they have: ess exec ls")
    return having


def get(client: Client, node: Node, told: Stored, target: Path) -> None:
    """Copy a file that ``find`` found to ``target`` on this machine."""
    try:
        fetch(client, node.address, told, target)
    except OSError as error:
        raise EssError(f"cannot write {target}: {error.strerror or error}") from None


def mkdir(client: Client, machines: Sequence[Node], name: str) -> None:
    """Make a folder below the work folder on each of these machines; one that is there is fine."""

    def one(node: Node) -> None:
        ask(client, node.address, make_folder, name)

    for _ in _on_each(machines, one, "cannot make it there"):
        pass


def described_here(name: str) -> Stored | None:
    """Return what the file ``name`` is on this machine, None without one. Runs on a worker."""
    path = Path(name).absolute()
    return stored(path) if path.is_file() else None


def make_folder(name: str) -> None:
    """Make a folder on this machine. Runs on a worker."""
    Path(name).mkdir(parents=True, exist_ok=True)


def _on_each(
    machines: Sequence[Node], work: Callable[[Node], Result], failed: str
) -> Iterator[Result]:
    """Yield ``work(node)`` of each machine, in order; errors name the machine."""

    def one(node: Node) -> Result:
        try:
            return work(node)
        except TransientError as error:
            raise TransientError(f"{node.shown}: {error.message}", hint="try again") from None
        except OSError as error:
            what = error.strerror or error
            raise EssError(f"{node.shown}: {failed}: {what}", hint="make room there") from None

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ess-files") as pool:
        yield from pool.map(one, machines)
