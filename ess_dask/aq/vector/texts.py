"""Strings of bytes-as-characters in columns: what must not know about letters beyond ASCII."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.aq.addresses import order_of
from ess_dask.aq.functions import strings
from ess_dask.aq.kinds import Type

if TYPE_CHECKING:
    import polars as pl


def is_ascii(texts: pl.Series) -> bool:
    """Whether a column has only ASCII: as many bytes as characters."""
    return bool((texts.str.len_bytes() == texts.str.len_chars()).all())


def lower(texts: pl.Series) -> pl.Series:
    """Return the column with A to Z in lower case."""
    if is_ascii(texts):
        return texts.str.to_lowercase()
    return _each(texts, strings.lower)


def upper(texts: pl.Series) -> pl.Series:
    """Return the column with a to z in upper case."""
    if is_ascii(texts):
        return texts.str.to_uppercase()
    return _each(texts, strings.upper)


def sort_key(series: pl.Series, type_: Type, *, ncas: bool = False) -> pl.Series:
    """Return a column as it is compared: strings by their bytes, addresses by their numbers."""
    import polars as pl

    if type_ is Type.IP:
        orders = map(order_of, series.to_list())
        return pl.Series([f"{version}{number:032x}" for version, number in orders], dtype=pl.String)
    return lower(series) if type_ is Type.STR and ncas else series


def _each(texts: pl.Series, change: object) -> pl.Series:
    import polars as pl

    assert callable(change)
    return pl.Series([change(text) for text in texts.to_list()], dtype=pl.String)
