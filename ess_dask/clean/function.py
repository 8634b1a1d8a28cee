"""Cleaning by a Python function: a pandas frame or an Arrow table in, another one out."""

from __future__ import annotations

import inspect
import traceback
from typing import TYPE_CHECKING, Any, Literal

from ess_dask.clean import frames
from ess_dask.clean.arrow import standard_table
from ess_dask.clean.carried import Function, pack_callable, pack_reference, unpack
from ess_dask.clean.locate import located
from ess_dask.clean.options import known_per, read_options, read_per
from ess_dask.clean.protocol import ROW_LABEL, Per, StepContext
from ess_dask.clean.signals import LostRowLabelsError
from ess_dask.dataclass import dataclass
from ess_dask.errors import CleanError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Takes = Literal["pandas", "arrow"]


@dataclass(frozen=True, slots=True)
class PythonStep:
    """A row step that calls a function; make it by ``from_reference`` or ``from_callable``.

    The function gets a pandas frame (see ``frames`` for the types), or an Arrow table when its
    first parameter is annotated ``pa.Table``, and returns the same kind. Rows are followed by the
    frame's index (Arrow: by the column ``_ess_row``): filtering, assigning and exploding keep it.
    ``payload`` is the function as cloudpickle bytes.
    """

    reference: str
    payload: bytes
    per: Per = "batch"
    takes: Takes = "pandas"

    @classmethod
    def from_reference(cls, reference: str, folder: str, per: Per = "batch") -> PythonStep:
        """Make the step from ``module:function``, looked up in ``folder`` first."""
        payload, function = pack_reference(reference, folder)
        return cls(reference, payload, per, _takes(function))

    @classmethod
    def from_callable(cls, function: Function, per: Per = "batch") -> PythonStep:
        """Make the step from a function, lambda or other callable."""
        name = getattr(function, "__qualname__", type(function).__name__)
        return cls(name, pack_callable(function), known_per(per), _takes(function))

    @classmethod
    def from_pipeline(cls, value: str | dict[str, object], folder: str) -> PythonStep:
        """Make the step from a pipeline's ``python:`` value: a reference or ``{function, per}``."""
        options = read_options("python", value, main="function", known=("per",))
        return cls.from_reference(options.main, folder, read_per(options.rest))

    @property
    def name(self) -> str:
        """The function as it was named."""
        return f"python: {self.reference}"

    def apply(self, table: pa.Table, context: StepContext) -> pa.Table:
        """Return the function's rows, in the order of the rows they came from.

        Raises ``RowCleanError`` when the function raises or returns something else than a table,
        ``LostRowLabelsError`` when ``per`` is ``batch`` and its rows cannot be told any more.
        """
        try:
            return self._once(table)
        except LostRowLabelsError:
            raise
        except CleanError as error:
            if not table.num_rows:
                # Many functions that work on rows (apply) fail on none; there is nothing to clean.
                return table
            if self.per == "file":
                raise
            raise located(table, error, self._failure) from error.__cause__

    def _failure(self, table: pa.Table) -> CleanError | None:
        try:
            self._once(table)
        except LostRowLabelsError:
            return None
        except CleanError as error:
            return error
        return None

    def _once(self, table: pa.Table) -> pa.Table:
        try:
            return self._with_arrow(table) if self.takes == "arrow" else self._with_pandas(table)
        except LostRowLabelsError:
            raise
        except CleanError as error:
            raise CleanError(f"{self.name}: {error.message}", hint=error.hint) from error.__cause__

    def _with_pandas(self, table: pa.Table) -> pa.Table:
        import pandas as pd

        result = self._call(frames.to_frame(table))
        if not isinstance(result, pd.DataFrame):
            raise _not_a_table(result, "a pandas DataFrame")
        cleaned = frames.to_table(result, table.schema)
        if ROW_LABEL not in table.column_names:
            return cleaned
        return self._labelled(cleaned, frames.found_labels(result, frames.shifted_labels(table)))

    def _with_arrow(self, table: pa.Table) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        result = self._call(table)
        if isinstance(result, pa.RecordBatch):
            result = pa.table(result)
        if not isinstance(result, pa.Table):
            raise _not_a_table(result, "an Arrow table")
        if ROW_LABEL not in table.column_names:
            return standard_table(result, table.schema)
        labels = None
        if ROW_LABEL in result.column_names:
            labels = result.column(ROW_LABEL).to_numpy()
            result = result.drop_columns([ROW_LABEL])
            if not np.isin(labels, table.column(ROW_LABEL).to_numpy()).all():
                labels = None
        return self._labelled(standard_table(result, table.schema), labels)

    def _labelled(self, table: pa.Table, labels: np.ndarray[Any, Any] | None) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        if labels is None:
            if self.per == "file":
                return table
            raise LostRowLabelsError(
                f"{self.name}: its rows cannot be matched with those it was given",
                hint="keep the frame's index, or use `per: file`",
            )
        table = table.append_column(ROW_LABEL, pa.array(labels, pa.int64()))
        if self.per == "file" or bool((labels[1:] >= labels[:-1]).all()):
            return table
        return table.take(np.argsort(labels, kind="stable"))

    def _call(self, argument: Any) -> Any:
        function = unpack(self.payload)
        try:
            return function(argument)
        # The user's own code may raise anything, SystemExit too: it must not end the worker.
        except (Exception, SystemExit) as error:
            raise CleanError(
                f"{type(error).__name__}: {error}{_where(error, function)}",
                hint="the function gets a frame with the columns of the step before it",
            ) from error


def _takes(function: Function) -> Takes:
    """Arrow when the first parameter is annotated as an Arrow table, else pandas."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return "pandas"
    annotation = parameters[0].annotation if parameters else None
    if isinstance(annotation, str):
        return "arrow" if annotation in ("pa.Table", "pyarrow.Table") else "pandas"
    module = getattr(annotation, "__module__", "")
    return "arrow" if module.startswith("pyarrow") else "pandas"


def _where(error: BaseException, function: Function) -> str:
    """`` (FILE line N)`` of the deepest frame in the function's own file."""
    code = getattr(function, "__code__", None)
    steps = traceback.extract_tb(error.__traceback__)
    own = [step for step in steps if code is not None and step.filename == code.co_filename]
    return f" ({own[-1].filename.rpartition('/')[2]} line {own[-1].lineno})" if own else ""


def _not_a_table(result: object, wanted: str) -> CleanError:
    return CleanError(
        f"the function returned {type(result).__name__}, not {wanted}",
        hint="end the function with `return frame`",
    )
