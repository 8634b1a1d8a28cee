"""Where ``--s3out`` sends outputs: each to a place of its own, none onto a file that is read."""

from __future__ import annotations

from collections.abc import Sequence

from ess_dask.catalog.model import Datastore, FileRef, shown
from ess_dask.catalog.writing import place_of
from ess_dask.engine.command import file_words
from ess_dask.engine.substitute import expand
from ess_dask.errors import UsageError


def refuse_shared(store: Datastore, files: Sequence[FileRef], out: Datastore, path: str) -> None:
    """Raise ``UsageError`` when the outputs of two files of ``store`` would go to the same place of
    ``out``, or one to where a file lies that is read.

    What ``path`` says of machines and threads (``%thread_id``) tells no two files apart.
    """
    taken: dict[str, str] = {}
    read = {file.uri for file in files} if store.endpoint == out.endpoint else set()
    for file in files:
        place = place_of(out, expand(path, file_words(file.uri)))
        if place in read:
            raise UsageError(
                f"the output of {file.shown} would be written over {shown(place)}, which is read",
                hint="a path that begins with / (as %path does) is not below the datastore's root",
            )
        if place in taken:
            raise UsageError(
                f"{shown(taken[place])} and {file.shown} would both be written to {shown(place)}",
                hint="tell them apart by %path (folder), %file (name) and %FILE (name with "
                "extension), or send all files through one command with --bulk",
            )
        taken[place] = file.uri


def refuse_words_of_a_file(path: str) -> None:
    """Raise ``UsageError`` when the place of one output for all files is named after a file."""
    if expand(path, file_words("/a/b.c")) != path:
        raise UsageError(
            f"with --bulk there is one output: {path!r} cannot be named after a file",
            hint="leave %path, %file and %FILE out of --s3out",
        )


def refuse_one_for_all(path: str, machines: int) -> None:
    """Raise ``UsageError`` when several machines would write their outputs to the same place."""
    if machines > 1 and expand(path, {"node_id": ""}) == path:
        raise UsageError(
            f"{machines} machines would all write to {path}",
            hint="tell them apart by %node_id, such as LABEL:df/%node_id.txt",
        )
