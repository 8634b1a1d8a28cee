"""The work on Dask: a ``dask.bag`` of file batches, in a bounded and ordered window."""
