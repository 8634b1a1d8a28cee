"""Cleaning by SQL: ``select ... from records``, executed by DuckDB on the Arrow table in place.

The query is parsed by DuckDB itself, checked, and (where its rows are still the rows of the input)
rewritten so that the hidden row label comes out again. Unless ``per`` is ``file``, whatever depends
on which rows happen to lie in one batch is refused when the step is made, not when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from ess_dask.clean import duck
from ess_dask.clean.arrow import standard_table, standard_type
from ess_dask.clean.locate import located
from ess_dask.clean.options import known_per, read_options, read_per
from ess_dask.clean.protocol import ROW_LABEL, Per, StepContext
from ess_dask.clean.sqlrows import carry_label
from ess_dask.clean.sqlthrough import Through, put_together, without_through
from ess_dask.clean.sqltree import parse, text_of
from ess_dask.dataclass import dataclass
from ess_dask.errors import CleanError, ConfigError
from ess_dask.records.arrays import from_numpy, take, to_numpy

if TYPE_CHECKING:
    import pyarrow as pa


class _ValueCleanError(CleanError):
    """A value of some row cannot be worked on."""


@dataclass(frozen=True, slots=True)
class SqlStep:
    """A row step: one SELECT over the table ``records`` (and its own CTEs), DuckDB's dialect.

    Raises ``ConfigError`` with line and column for whatever is not one SELECT, reads anything but
    ``records``, is not deterministic, or (``per="batch"``) is not row by row in meaning.
    """

    query: str
    per: Per = "batch"
    timeout: float = 0.0
    _runnable: str = field(init=False, repr=False, compare=False, default="")
    _carries: bool = field(init=False, repr=False, compare=False, default=True)

    def __post_init__(self) -> None:
        known_per(self.per)
        tree = parse(self.query)
        carried = carry_label(tree, self.query, per_batch=self.per == "batch")
        object.__setattr__(self, "_carries", carried is not None)
        object.__setattr__(self, "_runnable", text_of(carried) if carried else self.query)

    @classmethod
    def from_pipeline(cls, value: str | dict[str, object], folder: str) -> SqlStep:
        """Make the step from a pipeline's ``sql:`` value: a query, or ``{query, per, timeout}``."""
        options = read_options("sql", value, main="query", known=("per", "timeout"))
        return cls(options.main, read_per(options.rest), options.timeout)

    @property
    def name(self) -> str:
        """The query on one line, shortened."""
        line = " ".join(self.query.split())
        return f"sql: {line}" if len(line) <= 70 else f"sql: {line[:67]}..."

    def describe(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns that come out for the columns that go in (both without the label).

        Raises ``ConfigError`` for a column, function or type that does not fit; nothing is read.
        """
        import pyarrow as pa

        given = _without_label(schema)
        try:
            result = duck.describe(self._runnable, self._input_schema(given))
        except ConfigError as error:
            columns = ", ".join(given.names)
            raise ConfigError(
                f"{self.name}: {error.message}", hint=f"the columns are: {columns}"
            ) from None
        self._check_label(result)
        if doubled := _doubled(result.names):
            raise ConfigError(
                f"{self.name}: column {doubled!r} comes out twice", hint="name one of them anew"
            )
        fields = [
            pa.field(column.name, standard_type(column.type, column.name, given))
            for column in _without_label(result)
        ]
        return pa.schema(fields)

    def apply(self, table: pa.Table, context: StepContext) -> pa.Table:
        """Return the query's rows in the order of the rows they came from.

        Raises ``RowCleanError`` with DuckDB's message when a value cannot be worked on.
        """
        timeout = self.timeout or context.timeout
        try:
            result = self._run(table, timeout)
        except CleanError as error:
            if self.per == "file" or not isinstance(error, _ValueCleanError):
                raise
            raise located(table, error, lambda rows: self._failure(rows, timeout)) from None
        return _in_row_order(result) if self.per == "batch" else result

    def _run(self, table: pa.Table, timeout: float) -> pa.Table:
        import duckdb

        try:
            if through := self._through(table):
                return self._run_through(through, table, timeout)
            result = duck.run(self._runnable, self._input(table), timeout)
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            raise _ValueCleanError(
                f"{self.name}: {duck.plain(error)}", hint="try_cast() gives null where cast() fails"
            ) from None
        except duckdb.Error as error:
            raise CleanError(f"{self.name}: {duck.plain(error)}") from None
        if doubled := _doubled(result.column_names):
            raise CleanError(
                f"{self.name}: column {doubled!r} comes out twice", hint="name one of them anew"
            )
        result = standard_table(result, table.schema)
        if not self._carries:
            return result
        # Not always last: `union by name` puts it where the first branch has it.
        names = [name for name in result.column_names if name != ROW_LABEL]
        return result.select([*names, ROW_LABEL])

    def _run_through(self, through: Through, table: pa.Table, timeout: float) -> pa.Table:
        """Run what is left of the query on rows labelled 0, 1, 2...; add what passes through."""
        import numpy as np

        place = table.column_names.index(ROW_LABEL)
        rows = from_numpy(np.arange(table.num_rows))
        counted = table.set_column(place, ROW_LABEL, rows)
        answer = duck.run(through.query, self._input(counted), timeout)
        found = answer.column(ROW_LABEL)
        computed = standard_table(answer.drop_columns([ROW_LABEL]), table.schema)
        return put_together(through, table, computed, found)

    def _through(self, table: pa.Table) -> Through | None:
        if not self._carries:
            return None
        try:
            return without_through(self._runnable, self._input_schema(_without_label(table.schema)))
        except ConfigError:
            return None  # the whole query says it, as an error of this file

    def _failure(self, table: pa.Table, timeout: float) -> CleanError | None:
        try:
            self._run(table, timeout)
        except CleanError as error:
            return error
        return None

    def _input_schema(self, schema: pa.Schema) -> pa.Schema:
        import pyarrow as pa

        return schema.append(pa.field(ROW_LABEL, pa.int64())) if self._carries else schema

    def _input(self, table: pa.Table) -> pa.Table:
        """The label last (column alias lists name the others), or left out."""
        names = [name for name in table.column_names if name != ROW_LABEL]
        return table.select([*names, ROW_LABEL] if self._carries else names)

    def _check_label(self, schema: pa.Schema) -> None:
        hidden = [name for name in schema.names if name.startswith(ROW_LABEL)]
        if hidden != ([ROW_LABEL] if self._carries else []):
            raise ConfigError(
                f"{self.name}: the rows cannot be followed through this query",
                hint="name the columns instead of *, or use `per: file`",
            )


def _doubled(names: Sequence[str]) -> str:
    """Return a name that is there twice, '' when there is none."""
    return next((name for place, name in enumerate(names) if name in names[:place]), "")


def _without_label(schema: pa.Schema) -> pa.Schema:
    place = schema.get_field_index(ROW_LABEL)
    return schema if place < 0 else schema.remove(place)


def _in_row_order(table: pa.Table) -> pa.Table:
    """Rows of the same input row stay together (union all, joins), so batches do not show."""
    import numpy as np

    labels = to_numpy(table.column(ROW_LABEL))
    if bool((labels[1:] >= labels[:-1]).all()):
        return table
    return take(table, from_numpy(np.argsort(labels, kind="stable")))
