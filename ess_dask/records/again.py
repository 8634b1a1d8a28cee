"""Records that were rejected once, put together again so that each stays a record of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.records.split import CR, LF, Fault, Layout, Records, split

if TYPE_CHECKING:
    import numpy as np


def join_records(raws: Sequence[bytes], layout: Layout) -> tuple[bytes, Records]:
    """Return a buffer that holds the texts, one per line, and its records: one for each text.

    ``lines`` counts texts. A text that is no single record (a quote that never closes must not
    swallow its neighbours) has a fault.
    """
    import numpy as np

    layout = replace(layout, eol=LF)
    buffer = b"".join(raw + b"\n" for raw in raws)
    sizes = np.array([len(raw) for raw in raws], np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes + 1)[:-1]])
    found = split(buffer, layout, final=True)
    if not np.array_equal(found.starts, starts):
        found = _each_alone(raws, layout, starts)
    # Exactly the text: what looks like part of a line end here was none in the file.
    order = np.arange(len(raws), dtype=np.int64)
    return buffer, replace(found, starts=starts, stops=starts + sizes, lines=order)


def _each_alone(raws: Sequence[bytes], layout: Layout, starts: np.ndarray) -> Records:
    import numpy as np

    alone = [_alone(raw, layout) for raw in raws]
    return Records(
        starts=starts,
        stops=starts,
        fields=np.array([fields for fields, _ in alone], np.int64),
        lines=starts,
        faults=np.array([fault for _, fault in alone], np.uint8),
        consumed=sum(len(raw) + 1 for raw in raws),
        consumed_lines=len(raws),
        open_fault=Fault.NONE,
    )


def _alone(raw: bytes, layout: Layout) -> tuple[int, int]:
    """Return (fields, fault) of one text; its file may have had either kind of line end."""
    for eol in (LF, CR):
        found = split(raw + bytes((eol,)), replace(layout, eol=eol), final=True)
        if len(found.starts) == 1:
            return int(found.fields[0]), int(found.faults[0])
    faults = found.faults[found.faults > 0]
    return 0, int(faults[0]) if len(faults) else Fault.OPEN_QUOTE


def as_utf8(raw: bytes, encoding: str) -> bytes | None:
    """Return a rejected text as UTF-8, None when it is neither that nor in ``encoding``.

    The text is UTF-8 unless just that was wrong with it: then the pipeline may have got another
    encoding since.
    """
    for codec in ("utf-8", encoding):
        with suppress(UnicodeDecodeError):
            return raw.decode(codec).encode()
    return None
