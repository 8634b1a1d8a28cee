"""The Python API: lake, category, selection, table, cluster. Re-exported by ``ess_dask``."""
