"""ess_dask: dirty daily files in, a clean, exactly-once loaded warehouse out."""

from ess_dask._version import __version__

__all__ = ["__version__"]
