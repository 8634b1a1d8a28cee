"""Rules of the aq language as a cleaning step: ``- aq: -filt 'price > 0'`` and ``ess.aq(...)``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ess_dask.aq.errors import AqError, OptionError
from ess_dask.aq.step_plan import StepPlan, plan_step
from ess_dask.aq.step_run import run_step
from ess_dask.clean.options import known_per, read_options, read_per
from ess_dask.clean.protocol import ROW_LABEL, Per, StepContext
from ess_dask.clean.signals import RowCleanError
from ess_dask.dataclass import dataclass
from ess_dask.errors import CleanError, ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class AqStep:
    """A row step: rules of ``aq_pp``, written as behind the program's name in a shell.

    Rows come from the step before and go on to the next one: there is no ``-f``, ``-d``, ``-o`` or
    ``-imp``. All columns go on, or those of a ``-c``. ``per="batch"`` is row by row in meaning and
    refuses what looks at other rows (variables that are set, ``$RowNum``, ``-quit`` ..).

    The language has no nulls: a rule sees 0 or ''. A column that no rule sets keeps its nulls and
    its type. Raises ``ConfigError`` for options that cannot be read.
    """

    rules: str
    per: Per = "batch"

    def __post_init__(self) -> None:
        known_per(self.per)
        words(self.rules)

    @classmethod
    def from_pipeline(cls, value: str | dict[str, object], folder: str) -> AqStep:
        """Make the step from a pipeline's ``aq:`` value: the rules, or ``{rules, per}``."""
        options = read_options("aq", value, main="rules", known=("per",))
        return cls(options.main, read_per(options.rest))

    @property
    def name(self) -> str:
        """The rules on one line, shortened."""
        line = " ".join(self.rules.split())
        return f"aq: {line}" if len(line) <= 70 else f"aq: {line[:67]}..."

    def describe(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns that come out for the columns that go in (both without the label).

        Raises ``ConfigError`` for a rule that does not fit the columns; nothing is read.
        """
        place = schema.get_field_index(ROW_LABEL)
        return self._plan(schema if place < 0 else schema.remove(place), ".").schema

    def apply(self, table: pa.Table, context: StepContext) -> pa.Table:
        """Return the rows that are left, in their order, with their labels.

        Raises ``CleanError`` when a lookup file cannot be read, ``RowCleanError`` for a text that
        is not UTF-8 any more. A row on which an evaluation fails is dropped, as by ``aq_pp``.
        """
        labelled = ROW_LABEL in table.column_names
        rows = table.drop_columns([ROW_LABEL]) if labelled else table
        labels = table.column(ROW_LABEL) if labelled else None
        plan = self._plan(rows.schema, context.folder)
        try:
            return run_step(plan, rows, labels)
        except RowCleanError as error:
            raise RowCleanError(
                f"{self.name}: {error.message}", hint=error.hint, label=error.label
            ) from None
        except AqError as error:
            raise CleanError(f"{self.name}: {error.message}", hint=error.hint) from None

    def _plan(self, schema: pa.Schema, folder: str) -> StepPlan:
        try:
            return plan_step(tuple(words(self.rules)), self.per, schema, folder)
        except OptionError as error:
            columns = ", ".join(schema.names)
            hint = error.hint or f"the columns are: {columns}"
            raise ConfigError(f"{self.name}: {error.message}", hint=hint) from None


def words(rules: str) -> list[str]:
    """Return the words of rules as a shell would; raise ``ConfigError`` when a quote is open."""
    try:
        found = shlex.split(rules, comments=True)
    except ValueError as error:
        raise ConfigError(f"aq: {str(error).lower()}", hint="close the quotes") from None
    if not found:
        raise ConfigError("aq: no rule is given", hint="for example: -filt 'price > 0'")
    return found
