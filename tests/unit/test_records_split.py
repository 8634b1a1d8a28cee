"""Splitting records: what whole-array counting must not get wrong."""

import numpy as np
import pytest

from ess_dask.records.split import LF, Fault, Layout, split

LAYOUT = Layout(ord(","), LF, 1 << 20)


@pytest.mark.parametrize("fields", [1, 2, 255, 256, 257, 258, 300, 512, 600])
def test_any_number_of_fields_is_counted(fields):
    lines = [",".join("x" * fields), "a,b", "", ",".join("y" * (fields + 256))]
    records = split("".join(f"{line}\n" for line in lines).encode(), LAYOUT, final=True)
    assert records.fields.tolist() == [fields, 2, 1, fields + 256]
    assert (records.faults == Fault.NONE).all()


def test_nothing_and_an_unfinished_record():
    assert len(split(b"", LAYOUT, final=True).starts) == 0
    records = split(b"a,b", LAYOUT, final=False)
    assert (len(records.starts), records.consumed) == (0, 0)
    records = split(b"a,b\nc,", LAYOUT, final=False)
    assert (records.fields.tolist(), records.consumed) == ([2], 4)
    assert records.starts.dtype == np.int64
