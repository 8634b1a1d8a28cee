"""Which files are new, done or changed: the ledger against the files at hand. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import field, replace

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConflictError, UsageError
from ess_dask.warehouse.dates import file_order
from ess_dask.warehouse.model import LoadFile, LoadPlan, Target
from ess_dask.warehouse.protocol import LedgerEntry

SHOWN = 10
"""Names that a message lists before it says how many more there are."""


@dataclass(frozen=True, slots=True)
class Classified:
    """The files by what a load must do with them, each in file order."""

    new: tuple[LoadFile, ...] = ()
    done: tuple[LoadFile, ...] = ()
    changed: tuple[LoadFile, ...] = ()
    ignored: tuple[LoadFile, ...] = ()
    """Changed files that policy ``ignore`` counts as done; the versions at hand."""


@dataclass(slots=True)
class _Standing:
    """What the ledger holds for one uri."""

    versions: set[str] = field(default_factory=set)
    files: dict[tuple[str, str], LoadFile] = field(default_factory=dict)


def classify(
    target: Target,
    files: Sequence[LoadFile],
    entries: Iterable[LedgerEntry],
    again: Set[str] = frozenset(),
) -> Classified:
    """Sort files by the standing ledger entries of the target's table and pipeline.

    A file is done when the same version and part is there, changed when only another version is, or
    when its uri is in ``again``. Mode ``replace`` loads every file again. Raises ``UsageError``
    when a uri is named twice.
    """
    ordered = sorted(files, key=lambda file: file_order(file.date, file.uri))
    _refuse_twice(ordered)
    if target.mode == "replace":
        return Classified(new=tuple(ordered))
    standing = _by_uri(entries)
    groups: dict[str, list[LoadFile]] = {"new": [], "done": [], "changed": [], "ignored": []}
    for file in ordered:
        kind, known = _kind(target, file, standing.get(file.uri))
        if kind in ("done", "ignored") and file.uri in again:
            kind, known = "changed", file
        groups[kind].append(known)
    return Classified(**{kind: tuple(found) for kind, found in groups.items()})


def _by_uri(entries: Iterable[LedgerEntry]) -> dict[str, _Standing]:
    standing: dict[str, _Standing] = {}
    for entry in entries:
        of_uri = standing.setdefault(entry.file.uri, _Standing())
        of_uri.versions.add(entry.file.etag)
        of_uri.files[entry.file.etag, entry.file.part] = entry.file
    return standing


def _kind(target: Target, file: LoadFile, standing: _Standing | None) -> tuple[str, LoadFile]:
    if standing is None:
        return "new", file
    if known := standing.files.get((file.etag, file.part)):
        return "done", known
    if file.etag in standing.versions:
        return "new", file
    return ("ignored" if target.on_change == "ignore" else "changed"), file


def _refuse_twice(files: Sequence[LoadFile]) -> None:
    seen: set[str] = set()
    for file in files:
        if file.uri in seen:
            raise UsageError(f"{file.uri} is named twice in one load", hint="load its parts apart")
        seen.add(file.uri)


def refuse_changed(plan: LoadPlan) -> None:
    """Raise ``ConflictError`` when the plan holds changed files and its policy is ``fail``.

    A replay (``part``) of a version that no longer stands is refused under ``reprocess`` as well:
    its rows would take the place of the whole newer file.
    """
    stale = [file for file in plan.changed if file.part]
    if plan.target.on_change == "reprocess" and not stale:
        return
    if stale:
        raise ConflictError(
            f"rejected rows of an older version cannot be replayed: {names(stale)}",
            hint="fix the newer file's own rejects, or replay with on_change: ignore",
        )
    if plan.changed:
        raise ConflictError(
            f"{len(plan.changed)} file(s) already loaded into {plan.target.table} by "
            f"{plan.target.pipeline} have changed since: {names(plan.changed)}",
            hint="set on_change to reprocess (delete their earlier rows and load them again) or "
            "ignore (keep what is loaded); fail, the default, stops here",
        )


def loaded_again(plan: LoadPlan, uris: Set[str]) -> LoadPlan:
    """Return the plan with these of its ``done`` files to be loaded anew, in place of their rows.

    Changed files are then reprocessed as well.
    """
    again = tuple(file for file in plan.done if file.uri in uris)
    changed = sorted((*plan.changed, *again), key=lambda file: file_order(file.date, file.uri))
    return replace(
        plan,
        target=replace(plan.target, on_change="reprocess"),
        done=tuple(file for file in plan.done if file.uri not in uris),
        changed=tuple(changed),
        replaces=tuple(file.uri for file in changed),
        again=tuple(file.uri for file in again),
    )


MEMORY = "memory:"
"""Begins the ledger's name of a memory table: whatever has it loaded its files as one whole."""


def refuse_shared(
    target: Target, files: Sequence[LoadFile], entries: Iterable[LedgerEntry], *, whole: bool
) -> None:
    """Raise ``ConflictError`` when rows of these files stand in the table already, as a whole.

    ``whole``: the rows of these files come as one, so that none of them may stand, whoever loaded
    it; otherwise none may have come through a memory table. ``entries`` are those of all pipelines.
    ``upsert`` finds its rows by key and may load them again; ``replace`` takes the place of what
    the same pipeline loaded.
    """
    if target.mode == "upsert":
        return
    uris = {file.uri for file in files}
    loaded = {
        entry.file.uri: entry
        for entry in entries
        if entry.file.uri in uris and _stands_against(target, entry, whole=whole)
    }
    if loaded:
        by = sorted({entry.pipeline for entry in loaded.values()})
        own = "run it again when another load came between; else use mode replace or upsert"
        raise ConflictError(
            f"rows of {len(loaded)} file(s) stand in {target.table} already, loaded by "
            f"{', '.join(by)}: {names([entry.file for entry in loaded.values()])}",
            hint=own if by == [target.pipeline] else "use another table, or mode upsert with a key",
        )


def _stands_against(target: Target, entry: LedgerEntry, *, whole: bool) -> bool:
    if entry.pipeline == target.pipeline:
        return whole and target.mode == "append"
    return whole or entry.pipeline.startswith(MEMORY)


def in_order(files: Sequence[LoadFile]) -> dict[str, int]:
    """Return each uri's place in file order: date, then uri."""
    ordered = sorted(files, key=lambda file: file_order(file.date, file.uri))
    return {file.uri: place for place, file in enumerate(ordered)}


def names(files: Sequence[LoadFile]) -> str:
    """Return the uris for a message, the first few and how many more."""
    shown = ", ".join(file.uri for file in files[:SHOWN])
    more = len(files) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
