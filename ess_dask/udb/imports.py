"""``-imp``: rows of a program to a segment, visible all at once at the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import Kind, storing
from ess_dask.aq.program import ImportRequest
from ess_dask.aq.surroundings import turn
from ess_dask.aq.tree import Reference
from ess_dask.udb.memory import Memory, store_errors
from ess_dask.udb.merging import Merger
from ess_dask.udb.sampling import parse_sample
from ess_dask.udb.specs import Database, Entity, Field, stored_type
from ess_dask.udb.texts import stored_column

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl
    import pyarrow as pa

    from ess_dask.tables.fold import Block
    from ess_dask.tables.segment import Segment

    Mask = npt.NDArray[np.bool_]
    Segments = tuple[tuple[int, Segment], ...]


def narrowed(request: ImportRequest, database: Database) -> ImportRequest:
    """Return the request with the columns that its target takes, in the target's order.

    Raises ``OptionError`` for an unknown target, a column that is missing (only ``ddef`` allows
    it, and never for a key) and types that do not fit.
    """
    option = f"-imp {request.database}:{request.table}"
    if request.module:
        raise OptionError(
            f"{option}: native modules are not supported", hint="write a Python cleaning step"
        )
    parse_sample(request.segment, option)
    target = database.need(request.table, option)
    known = {name.lower(): reference for name, reference in request.columns}
    columns = []
    for field in target.columns:
        reference = known.get(field.name.lower())
        if reference is not None:
            columns.append((field.name, _checked(reference, field, option)))
        elif "ddef" not in request.attributes or field in target.key:
            raise OptionError(
                f"{option}: the data has no column {field.name!r}",
                hint="-alias or -renam gives a column another name; ddef means 0 or blank",
            )
    return replace(request, table=target.name, columns=tuple(columns))


def _checked(reference: Reference, field: Field, option: str) -> Reference:
    if storing(reference.type, field.kind) is None:
        raise OptionError(
            f"{option}: column {field.name!r} is {reference.type.value} in the data and"
            f" {field.kind.type.value} in the database",
            hint="convert it with ToS(), ToI(), ToF() or ToIP()",
        )
    return reference


_LOOKS_BACK = frozenset({"nonew", "noold"})
"""Attributes for which it matters what is there already."""


class TableImport:
    """Takes the rows of one ``-imp``; implements ``aq.stores.Importer``."""

    def __init__(self, memory: Memory, request: ImportRequest) -> None:
        from ess_dask.tables.segment import SegmentWriter

        # Asked first: once it has come, all that is to be there before is seen below.
        mine = turn()
        if request.attributes & _LOOKS_BACK:
            mine.wait()
        is_first = mine.has_come()
        self._turn = mine
        self._memory = memory
        self._request = request
        target = memory.database.find(request.table)
        assert target is not None
        self._target: Entity = target
        self._layout = layout = memory.database.layout(target)
        self._sink = memory.sink(target)
        self._sample = parse_sample(request.segment, "-imp")
        self._old = self._old_keys()
        self._base: Segments = ()
        # Where others of this stream come first, nobody knows yet what they leave.
        beginning = self._beginning if is_first else None
        self._merger = Merger(SegmentWriter(self._sink.folder, self._layout), layout, beginning)

    def _old_keys(self) -> pl.DataFrame | None:
        """Return the keys there are, if the import looks at them."""
        import polars as pl

        from ess_dask.udb.keysets import held_keys

        if not self._request.attributes & _LOOKS_BACK:
            return None
        frame = pl.DataFrame(pl.from_arrow(held_keys(self._memory)))
        return frame.select(self._key_names()).unique()

    def _key_names(self) -> list[str]:
        return [field.name for field in self._target.key]

    def prepare(self, rows: pa.Table) -> pa.Table | Block:
        """Return rows, the columns of the request under their names, as ``add`` takes them."""
        with store_errors():
            return self._merger.prepare(self._chosen(self._converted(rows)))

    def add(self, ready: pa.Table | Block) -> None:
        """Take rows that were prepared."""
        with store_errors():
            self._merger.add(ready)

    def close(self) -> None:
        """Make the rows visible; nothing was before."""
        with store_errors():
            try:
                segment = self._merger.close()
                self._turn.wait()
                with self._memory.changing():
                    self._memory.define()
                    self._publish(segment)
            except BaseException:
                self._memory.discard(self._sink)
                raise
            finally:
                self._merger.release()
                self._memory.close()

    def _publish(self, segment: Segment | None) -> None:
        from ess_dask.tables.segment import SegmentWriter

        if segment is not None and self._merger.replaces:
            if self._memory.replace(self._target, self._sink, segment, self._base):
                return
            segment = self._merger.again(SegmentWriter(self._sink.folder, self._layout))
        self._memory.publish(self._target, self._sink, [segment] if segment else [])

    def _beginning(self, rows: int) -> tuple[pa.Table, int] | None:
        """Return what so many rows are to be folded onto, None if that is more than they are."""
        import pyarrow as pa

        start = self._memory.next_place(self._target)
        found = [self._layout.stored_schema.empty_table()]
        held = self._memory.open(self._target)
        if held is not None:
            with held:
                if held.count() > rows:
                    return None
                self._base = held.version.segments
                found.extend(held.partitions())
        return pa.concat_tables(found), start

    def abort(self) -> None:
        """Forget the rows."""
        try:
            self._merger.abort()
            self._memory.discard(self._sink)
        finally:
            self._memory.close()

    def _converted(self, rows: pa.Table) -> pa.Table:
        import pyarrow as pa

        references = dict(self._request.columns)
        columns = []
        for field in self._target.columns:
            if field.name in references:
                columns.append(_column(rows[field.name], references[field.name].kind, field.kind))
            else:
                blank = pa.scalar(field.kind.blank, stored_type(field.kind))
                columns.append(pa.chunked_array([pa.repeat(blank, rows.num_rows)]))
        return pa.table(columns, schema=self._layout.schema)

    def _chosen(self, table: pa.Table) -> pa.Table:
        """Leave out rows of keys that the attributes exclude."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = self._key_names()
        if "nobnk" in self._request.attributes and [f.kind for f in self._target.key] == [Kind.S]:
            table = table.filter(pc.not_equal(table[names[0]], ""))
        if self._sample is not None and names:
            table = table.filter(pa.array(self._sample.chosen(table.select(names))))
        if self._old is not None:
            known = pa.array(self._is_old(table.select(names)))
            table = table.filter(known if "nonew" in self._request.attributes else pc.invert(known))
        return table

    def _is_old(self, keys: pa.Table) -> Mask:
        import polars as pl

        assert self._old is not None
        frame = pl.DataFrame(pl.from_arrow(keys))
        marked = self._old.with_columns(pl.lit(True).alias(_MARK))
        joined = frame.join(marked, on=frame.columns, how="left", maintain_order="left")
        found: Mask = joined[_MARK].is_not_null().to_numpy()
        return found


_MARK = "_is_old"


def _column(values: pa.ChunkedArray, source: Kind, target: Kind) -> pa.ChunkedArray:
    """Return a column as the target keeps it: as an assignment would leave it there."""
    import polars as pl
    import pyarrow as pa

    from ess_dask.aq.vector.expressions import stored_as

    if target is Kind.S:
        return stored_column(values)
    if source is target:
        return values
    operand = pl.col("value")
    if source is Kind.L:
        operand = operand.reinterpret(signed=True)
    elif source is not Kind.F:
        operand = operand.cast(pl.Int64)
    frame = pl.DataFrame({"value": pl.Series(pl.from_arrow(values))})
    stored = frame.select(stored_as(operand, source.type, target))["value"]
    return pa.chunked_array([stored.to_arrow().cast(stored_type(target))])
