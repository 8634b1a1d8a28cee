"""Strings in tables: one type for all data, every byte back."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.udb.texts import (
    bytes_column,
    from_stored,
    output_column,
    rule_column,
    stored_column,
    table_column,
    to_stored,
)

STRETCH = "\U0010fe80\U0010feff".encode()


@given(st.binary())
def test_every_byte_comes_back(data):
    assert from_stored(to_stored(data)) == data
    to_stored(data).encode()  # it is UTF-8


@given(st.lists(st.binary(max_size=6) | st.just(STRETCH), max_size=8))
def test_columns_say_the_same(values):
    binary = pa.chunked_array([pa.array(values, pa.binary())])
    stored = stored_column(binary)
    assert stored.type == pa.string()
    assert stored.to_pylist() == [to_stored(value) for value in values]
    assert bytes_column(stored).to_pylist() == values
    rules = rule_column(stored)
    assert rules.to_list() == [value.decode("latin-1") for value in values]
    assert table_column(rules).to_pylist() == stored.to_pylist()
    assert output_column(rules).to_pylist() == values


@pytest.mark.parametrize("text", ["", "plain", "grün", "日本"])
def test_text_is_stored_as_it_is(text):
    assert to_stored(text.encode()) == text


def test_slices_look_at_their_own_part():
    whole = pa.array([b"\xff", b"a", b"b"], pa.binary())
    assert stored_column(pa.chunked_array([whole.slice(1)])).to_pylist() == ["a", "b"]
