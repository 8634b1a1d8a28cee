"""The first rows of a select with a small limit, one record at a time.

What reads by columns takes a third of a second to load. A few rows of the first files are there
before that, and most often they are all that is asked for; the rows are the same.
"""

from __future__ import annotations

from collections.abc import Callable

from ess_dask.aq.inputs.reading import Row
from ess_dask.aq.outputs.formats import row_formatter
from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch
from ess_dask.engine.stream import Output
from ess_dask.errors import EssError, InterruptedRunError
from ess_dask.query.files import Found, Task
from ess_dask.query.plan import Plan
from ess_dask.query.reading import FileRows

FEW_ROWS = 1000
FEW_FILES = 3
FEW_BYTES = 1 << 16
"""Of each of these files. A thousand records take 5 ms, as long as a file takes to open."""


def wants_few(task: Task) -> bool:
    """Whether the first files may well hold all of the answer in their first bytes.

    A preprocess command takes as long as it likes, and does as it likes: it runs once for a file.
    """
    plan = task.plan
    few = plan.ends_early and plan.limit is not None and plan.limit <= FEW_ROWS
    return few and not task.texts.category.preprocess


def answer_few(
    batch: Batch, task: Task, draining: Callable[[], bool], halted: Callable[[], bool]
) -> list[Found]:
    """Return what the first files of a batch hold, in order: up to the limit, or to the first file
    of which more would have to be read."""
    found: list[Found] = []
    left = task.plan.limit or 0
    for file in batch.files:
        if draining() or halted():
            break
        one = _answer_file(file, task, left)
        if one is None:
            break
        found.append(one)
        left -= one.rows
        if not left:
            break
    return found


def _answer_file(file: FileRef, task: Task, most: int) -> Found | None:
    reader = FileRows(task.plan.program, task.plan.needed)
    rows: list[Row] = []
    try:
        for text in task.texts.of(file):
            more = reader.first(text, most - len(rows), FEW_BYTES)
            if more is None:
                return None
            rows += more
            if len(rows) == most:
                break
    except InterruptedRunError:
        raise
    except EssError as error:
        return Found.failure(file, error)
    output = Output(file.uri, "", _printed(rows, task.plan))
    return Found(output, len(rows), reader.records, reader.bad, reader.failed)


def _printed(rows: list[Row], plan: Plan) -> bytes:
    write = row_formatter(plan.output.format, plan.output.columns)
    return b"".join(write([row[column.slot] for column in plan.columns]) for row in rows)
