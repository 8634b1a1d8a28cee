"""Names in Redshift, folded and quoted; texts among selected columns, and compared."""

from __future__ import annotations

from ess_dask.warehouse.quote import fold, quote


def quoted(name: str) -> str:
    """Return a name for SQL text.

    Redshift folds names to lower case, quoted ones as well, unless a session says otherwise
    (``enable_case_sensitive_identifier``): folded here, they mean the same in every session.
    """
    return quote(fold(name))


def text_value(width: int) -> str:
    """Return the SQL of a bound text among the columns of a SELECT, as VARCHAR of ``width`` bytes.

    The driver leaves texts untyped, and a column of no type makes Redshift fail.
    """
    return f"CAST(? AS VARCHAR({width}))"


def same_text(left: str, right: str) -> str:
    """Return the SQL that two texts are the same to the last byte.

    To Redshift's ``=`` texts are equal that differ in blanks at their ends only (Developer Guide,
    "Examples with character types").
    """
    return f"({left} = {right} AND octet_length({left}) = octet_length({right}))"
