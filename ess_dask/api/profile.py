"""``Selection.profile``: one pass over the files, figures of each column."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ess_dask.api.forms import describe_schema
from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.profiling.model import Profile, ProfiledFiles, RejectedKind

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.api.selection import Selection
    from ess_dask.profiling.state import State


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """What a profile is to hold.

    ``columns``: which (all when empty). ``files``: None for all, a number for the newest ones, a
    share (between 0 and 1) for files spread evenly over the range. ``top``: frequent values of a
    column, ``rejects``: samples of each reason, at most.
    """

    columns: tuple[str, ...] = ()
    files: float | None = None
    top: int = 10
    rejects: int = 5

    def __post_init__(self) -> None:
        if self.top < 0 or self.rejects < 0:
            raise UsageError("top and rejects cannot be negative", hint="0 leaves them out")
        files = self.files
        if files is None:
            return
        whole = isinstance(files, int) and not isinstance(files, bool)
        if not (whole and files > 0) and not (isinstance(files, float) and 0 < files < 1):
            raise UsageError(
                f"files cannot be {files!r}",
                hint="a number such as 10 (the newest), or a share between 0 and 1",
            )


def profile_selection(selection: Selection, options: ProfileOptions) -> Profile:
    """Read and clean the files once; return the figures of their columns.

    Raises ``UsageError`` for a column that is not there, ``DataError`` or ``TransientError`` naming
    a file that failed.
    """
    from ess_dask.engine.batches import make_batches
    from ess_dask.profiling.state import empty_state
    from ess_dask.profiling.work import ProfileWork

    schema = _wanted(selection.schema, options.columns)
    every = selection.files()
    files, sampled = choose_files(every, options.files)
    batches = make_batches(files, selection.settings().batch_bytes)
    work = partial(ProfileWork(schema, options.rejects), job=selection.worked_job())
    total = empty_state(schema)
    for state in selection._run(work, batches):
        total.merge(state)
    return _finished(selection, total, _account(files, len(every), sampled), options)


def choose_files(files: Sequence[FileRef], wanted: float | None) -> tuple[tuple[FileRef, ...], str]:
    """Return the files that are read, in order, and how they were chosen ('' for all).

    Of files without a date the last ones by name count as older than all with one.
    """
    if wanted is None:
        return tuple(files), ""
    if isinstance(wanted, int):
        if wanted >= len(files):
            return tuple(files), ""
        newest = sorted(range(len(files)), key=lambda at: (files[at].date is not None, at))
        chosen = sorted(newest[-wanted:])
        return tuple(files[at] for at in chosen), f"the newest {wanted:,} of {len(files):,} files"
    number = max(1, round(wanted * len(files))) if files else 0
    spread = [at * len(files) // number for at in range(number)]
    said = f"{number:,} of {len(files):,} files, spread evenly over the range"
    return tuple(files[at] for at in spread), said if number < len(files) else ""


def _wanted(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Return the columns that are asked for, in that order."""
    import pyarrow as pa

    for name in names:
        if name not in schema.names:
            near = difflib.get_close_matches(name, schema.names, n=1)
            known = f"the columns are: {', '.join(schema.names) or 'none'}"
            raise UsageError(
                f"no column {name!r} comes out of this selection",
                hint=f"did you mean {near[0]!r}? {known}" if near else known,
            )
    return pa.schema([schema.field(name) for name in dict.fromkeys(names)]) if names else schema


def _account(files: Sequence[FileRef], of: int, sampled: str) -> ProfiledFiles:
    days = Counter(file.date.date() for file in files if isinstance(file.date, datetime))
    stored = sum(file.size for file in files)
    return ProfiledFiles(len(files), stored, of, sampled, tuple(sorted(days.items())))


def _finished(
    selection: Selection, total: State, files: ProfiledFiles, options: ProfileOptions
) -> Profile:
    from ess_dask.profiling.finish import column_profile

    types = describe_schema(total.schema)
    columns = tuple(
        column_profile(name, type_, state, sampled, options.top)
        for (name, type_), state, sampled in zip(
            types.items(), total.columns, total.sampled, strict=True
        )
    )
    reasons = sorted(total.rejected.items(), key=lambda item: (-item[1].count, item[0]))
    open_ended = (selection.lower, selection.upper) == ("*", "*")
    return Profile(
        name=selection.category.name,
        source=selection.store.root,
        range="" if open_ended else f"{selection.lower} to {selection.upper}",
        files=files,
        read=total.read,
        rows=total.kept,
        rejected=sum(tally.count for _, tally in reasons),
        dropped=total.dropped,
        rejects=tuple(
            RejectedKind(reason, tally.count, tuple(tally.samples[: options.rejects]))
            for reason, tally in reasons
        ),
        columns=columns,
    )
