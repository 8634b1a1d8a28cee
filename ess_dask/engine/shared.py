"""What the threads of one process share as part of their work."""

from __future__ import annotations


class Shared:
    """An object that Dask is to name tasks by without looking into it; it never leaves here."""

    def __dask_tokenize__(self) -> str:
        return f"{type(self).__name__}-{id(self)}"
