"""Names of columns and tables in Redshift: folded, quoted."""

from __future__ import annotations

from ess_dask.warehouse.quote import fold, quote


def quoted(name: str) -> str:
    """Return a name for SQL text.

    Redshift folds names to lower case, quoted ones as well, unless a session says otherwise
    (``enable_case_sensitive_identifier``): folded here, they mean the same in every session.
    """
    return quote(fold(name))
