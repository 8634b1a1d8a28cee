"""``answer.plot``: drawn by pandas and matplotlib, which the extra ``ui`` brings."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ess_dask.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

KINDS = ("area", "bar", "barh", "box", "density", "hexbin", "hist", "kde", "line", "pie", "scatter")
"""What pandas can draw."""

_ALONG_FIRST = ("area", "bar", "barh", "line", "pie")
"""Kinds that are drawn along one column: the first of the answer when ``x`` does not say."""


class Plot:
    """Draws the rows of an answer: ``answer.plot(x, y, kind="line")``, ``answer.plot.bar()``.

    Takes what ``pandas.DataFrame.plot`` takes and returns what it returns. Where pandas draws along
    the index, these draw along the first column, unless ``x`` names another.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __call__(self, x: str | None = None, y: Any = None, kind: str = "line", **how: Any) -> Any:
        """Draw; ``how`` goes to pandas. Raises ``UsageError`` for a kind or a column that is not
        there, and when nothing is installed that draws."""
        if kind not in KINDS:
            hint = f"it is one of {', '.join(KINDS)}"
            raise UsageError(f"{kind!r} is no kind of plot", hint=hint)
        self._check(x, y)
        frame = drawable(self._table)
        if _is_matplotlib() and find_spec("matplotlib") is None:
            raise UsageError(
                "plots need matplotlib, which is not installed",
                hint='pip install "ess-dask[ui]"',
            )
        if x is None and kind in _ALONG_FIRST and len(frame.columns) > 1:
            frame = frame.set_index(frame.columns[0])
        draw: Any = (_literal(frame) if _is_matplotlib() else frame).plot
        return draw(x=x, y=y, kind=kind, **how)

    def __getattr__(self, kind: str) -> Any:
        if kind not in KINDS:
            raise AttributeError(f"{kind!r} is no kind of plot")
        return partial(self, kind=kind)

    def __dir__(self) -> list[str]:
        return list(KINDS)

    def __repr__(self) -> str:
        return f"<Plot of {self._table.num_rows:,} rows: call it, or one of {', '.join(KINDS)}>"

    def _check(self, *given: Any) -> None:
        names = self._table.column_names
        for value in given:
            for name in value if isinstance(value, list | tuple) else [value]:
                if isinstance(name, str) and name not in names:
                    hint = f"the columns are {', '.join(names)}"
                    raise UsageError(f"there is no column {name!r} to draw", hint=hint)


def drawable(table: pa.Table) -> pd.DataFrame:
    """Return rows as a frame that can be drawn: decimals as floats, dates as points in time, and
    nulls as gaps."""
    import pyarrow as pa

    for at, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.float64()))
    frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    return frame


def _is_matplotlib() -> bool:
    """Whether pandas draws with matplotlib, and not with what it was told to use instead."""
    import pandas as pd

    backend: str = pd.get_option("plotting.backend")
    return backend == "matplotlib"


def _literal(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with texts as matplotlib shows them literally: what stands between two
    dollars is a formula to it, and one that it cannot read is an error."""
    import pandas as pd

    def literal(texts: Any) -> Any:
        return texts.str.replace("$", r"\$", regex=False)

    texts = frame.select_dtypes(include=["string"]).columns
    frame = frame.assign(**{name: literal(frame[name]) for name in texts})
    if isinstance(frame.index.dtype, pd.StringDtype):
        frame.index = literal(frame.index)
    return frame
