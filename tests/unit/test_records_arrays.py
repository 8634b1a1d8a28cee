"""What is done by Arrow's own kernels gives what pyarrow's methods give."""

import numpy as np
import pyarrow as pa
import pytest

from ess_dask.records.arrays import cast, from_numpy, select, take, with_zeros


@pytest.mark.parametrize("values", [["1.5", None, "", "x"], ["a"], [None]])
def test_take_is_that_of_pyarrow(values):
    array = pa.array(values, pa.string())
    which = from_numpy(np.arange(len(values) - 1, -1, -1, dtype=np.int32))
    taken = take(array, which)
    taken.validate(full=True)
    assert taken.equals(array.take(which))


@pytest.mark.parametrize("kind", [pa.int32(), pa.float64(), pa.uint8()])
@pytest.mark.parametrize("values", [["1", None, "25"], [], ["x"], ["300"], ["1.5"], [" 1"]])
def test_cast_is_that_of_pyarrow(values, kind):
    array = pa.array(values, pa.string())
    try:
        wanted = array.cast(kind)
    except pa.ArrowInvalid as error:
        with pytest.raises(pa.ArrowInvalid) as raised:
            cast(array, kind)
        assert str(raised.value) == str(error)
    else:
        assert cast(array, kind).equals(wanted)


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.float64(), pa.decimal128(38, 2)])
def test_nulls_become_zeros_of_the_same_type(kind):
    column = pa.chunked_array([[1, None], [], [None, None, 3]], kind)
    filled = with_zeros(column)
    assert filled.type == kind
    assert [int(value) for value in filled.to_pylist()] == [1, 0, 0, 0, 3]


def test_select_is_filter_of_pyarrow():
    table = pa.table({"a": ["x", None, "z"], "b": pa.chunked_array([[1], [2, 3]])})
    kept = np.array([True, False, True])
    selected = select(table, kept)
    assert selected.equals(table.filter(pa.array(kept)))
    assert select(table.slice(1), kept[1:]).to_pylist() == [{"a": "z", "b": 3}]
