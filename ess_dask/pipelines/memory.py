"""The memory table of a pipeline: what it holds, and its next version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.errors import UsageError
from ess_dask.pipelines.execution import Execution
from ess_dask.tables.session import Session, running_session, table_name

if TYPE_CHECKING:
    from ess_dask.tables.layout import TableLayout
    from ess_dask.tables.segment import Segment
    from ess_dask.tables.sink import SegmentSink
    from ess_dask.tables.table import MemoryTable


def held_files(table: str, kind: str = "") -> dict[str, str]:
    """Return uri to etag of the files whose rows a table holds now; the cluster of this kind ('':
    the one in force) is not started."""
    session = running_session(kind)
    if session is None:
        return {}
    with session:
        try:
            with session.open(table) as held:
                return dict(held.sources)
        except UsageError:
            return {}


def layout_of(plan: Execution, partitions: int) -> TableLayout:
    """Return how the plan's memory table lies: columns of the last step, key and sort."""
    import pyarrow as pa

    from ess_dask.records.types import arrow_type
    from ess_dask.tables.layout import TableLayout

    assert plan.memory is not None
    schema = pa.schema([(column.name, arrow_type(column.type)) for column in plan.columns])
    return TableLayout(schema, plan.memory.key, partitions, plan.memory.sort)


def publish(
    session: Session, plan: Execution, sink: SegmentSink, segments: Sequence[Segment]
) -> MemoryTable:
    """Make the imported segments the table's next version; see ``TableStore.publish``.

    Files that another run has put there since the plan was made are not put there again.
    """
    assert plan.memory is not None
    return session.store.publish(
        table_name(plan.memory.table), sink, segments, fresh=plan.memory.rebuild, once=True
    )
