"""However the work is cut up, the same rows come out in the same order."""

import gzip
import os
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ess_dask as ess

ROW = st.tuples(st.sampled_from(["a", "b", "", "TBD"]), st.sampled_from(["1", "2", "", "x", "99"]))
FILES = st.lists(st.lists(ROW, max_size=12), min_size=1, max_size=6)


def more(frame):
    return frame.assign(n=frame["n"] + 1)


@pytest.mark.slow
@settings(max_examples=25)
@given(FILES, st.integers(1, 400), st.integers(1, 4), st.sampled_from([4096, 1 << 20]))
def test_results_do_not_depend_on_batches_threads_and_chunks(files, batch_bytes, threads, chunk):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ess.RejectWarning)
        for day, rows in enumerate(files, 1):
            text = "k,n\n" + "".join(f"{k},{n}\n" for k, n in rows)
            path = Path(folder) / f"f_202001{day:02d}.gz"
            path.write_bytes(gzip.compress(text.encode()))
        category = ess.select(folder).category("f", "*.gz", columns={"k": "string", "n": "int32"})
        whole = category.all().with_file("file_date").clean(more, "select * from records")
        other = whole.using(batch_bytes=batch_bytes, threads=threads)
        expected = whole.collect()
        with mock.patch.dict(os.environ, ESS_CHUNK_BYTES=str(chunk)):
            got = other.collect()
        assert got.table.equals(expected.table)
        assert got.rejects.equals(expected.rejects)
        assert pa.concat_tables(other.to_bag().compute(scheduler="threads")).equals(expected.table)
        assert other.count() == expected.table.num_rows
        assert other.head(3).equals(whole.head(3))
        good = sum(n in ("1", "2", "", "99") for rows in files for _, n in rows)
        assert expected.table.num_rows == good
