"""Arrow tables at the analyst's door: pandas frames in and out, labels in the index, types kept.

=============== =================================== =========================================
Arrow           pandas                              why
=============== =================================== =========================================
integers        nullable Int8..Int64, UInt8..UInt64 a null must not turn 7 into 7.0
boolean         nullable boolean                    same
float           numpy float, NaN for null           what pandas users compute with
string          str                                 pandas' own default
date            datetime64[s]                       compares with '2014-09-15', has ``.dt``
timestamp       datetime64[unit, zone]              same
decimal, other  Arrow-backed                        exact
=============== =================================== =========================================

Going back, a column that existed gets its Arrow type again when every value fits exactly. A new
``object`` column becomes string: its type must not depend on the rows of one batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.clean.arrow import standard_type
from ess_dask.clean.protocol import ROW_LABEL
from ess_dask.errors import CleanError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

LABEL_OFFSET = 1 << 40
"""Added to the labels in the index, so that an index made anew (0, 1, 2...) is told from them."""


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a frame of the table's columns, without the label; its index holds the labels.

    A table without labels gets the usual 0, 1, 2... index.
    """
    import pandas as pd

    names = [name for name in table.column_names if name != ROW_LABEL]
    moments = _dates_as_moments(table.select(names))
    frame: pd.DataFrame = moments.to_pandas(types_mapper=_pandas_type)
    if ROW_LABEL in table.column_names:
        frame.index = pd.Index(shifted_labels(table), name=ROW_LABEL)
    return frame


def shifted_labels(table: pa.Table) -> np.ndarray[Any, Any]:
    """Return the labels of a table, plus ``LABEL_OFFSET``; int64."""
    labels: np.ndarray[Any, Any] = table.column(ROW_LABEL).to_numpy()
    return labels + LABEL_OFFSET


def found_labels(frame: pd.DataFrame, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Return the label of each row of a returned frame; None when its rows are new ones."""
    import numpy as np

    held = frame[ROW_LABEL] if ROW_LABEL in frame.columns else frame.index
    if getattr(held, "ndim", 1) != 1 or held.dtype.kind != "i":
        return None if len(frame) else np.empty(0, np.int64)
    labels = held.to_numpy(dtype=np.int64)
    return labels - LABEL_OFFSET if bool(np.isin(labels, given).all()) else None


def to_table(frame: pd.DataFrame, given: pa.Schema) -> pa.Table:
    """Return a frame's columns as Arrow, without labels; raise ``CleanError`` naming a bad column.

    Named index levels (after a group by) become columns.
    """
    import pyarrow as pa

    frame = _plain_columns(frame)
    if len(frame) and not len(frame.columns):
        raise CleanError("the frame that came back has rows, but no columns", hint="keep a column")
    arrays = [_array(str(name), frame[name], given) for name in frame.columns]
    return pa.table(arrays, names=[str(name) for name in frame.columns])


def _pandas_type(kind: pa.DataType) -> Any:
    import pandas as pd
    import pyarrow as pa

    types = pa.types
    if types.is_integer(kind):
        name = str(kind)
        return pd.api.types.pandas_dtype(("UI" if name[0] == "u" else "I") + name.lstrip("ui"))
    if types.is_boolean(kind):
        return pd.BooleanDtype()
    if types.is_floating(kind) or types.is_timestamp(kind):
        return None
    return None if types.is_string(kind) else pd.ArrowDtype(kind)


def _dates_as_moments(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    for place, column in enumerate(table.schema):
        if pa.types.is_date(column.type):
            moments = table.column(place).cast(pa.timestamp("s"))
            table = table.set_column(place, column.name, moments)
    return table


def _plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    levels = [name for name in frame.index.names if name not in (None, ROW_LABEL)]
    if levels:
        frame = frame.reset_index()
    if frame.columns.nlevels > 1:
        raise CleanError("the columns have several levels", hint="give each column one name")
    doubled = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if doubled:
        raise CleanError(f"column {doubled[0]!r} is there twice", hint="rename one of them")
    return frame.drop(columns=ROW_LABEL) if ROW_LABEL in frame.columns else frame


def _array(name: str, series: pd.Series[Any], given: pa.Schema) -> pa.Array:
    import pyarrow as pa

    place = given.get_field_index(name)
    try:
        if place >= 0:
            return _as_declared(series, given.field(place).type)
        return _as_found(name, series, given)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        wanted = f" as {given.field(place).type}" if place >= 0 else ""
        raise CleanError(
            f"column {name!r} cannot be kept{wanted}: {error}",
            hint="give it a fitting type, or put the new values under a new name",
        ) from None


def _as_declared(series: pd.Series[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if series.dtype == object:
        return pa.array(series, type=kind, from_pandas=True)
    array = _whole(pa.array(series, from_pandas=True))
    if bool(getattr(array.type, "tz", None)) != bool(getattr(kind, "tz", None)):
        raise pa.ArrowTypeError(f"{array.type} is not {kind}; use .dt.tz_localize()")
    cast = array.cast(kind)
    if pa.types.is_temporal(array.type) and cast.cast(array.type) != array:
        # The one cast that drops a part of the value without an error.
        raise pa.ArrowInvalid("there is a time of day in it")
    return cast


def _as_found(name: str, series: pd.Series[Any], given: pa.Schema) -> pa.Array:
    import pyarrow as pa

    if series.dtype == object:
        series = series.map(str, na_action="ignore")
        return pa.array(series, type=pa.string(), from_pandas=True)
    array = _whole(pa.array(series, from_pandas=True))
    if isinstance(array.type, pa.BaseExtensionType):
        raise pa.ArrowTypeError(f"it holds {series.dtype} values; use .astype('str')")
    if pa.types.is_duration(array.type):
        raise pa.ArrowTypeError("a duration; use .dt.total_seconds()")
    return array.cast(standard_type(array.type, name, given))


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
