"""The desk of an analyst in IPython and Jupyter: ``%load_ext ess_dask``, ``%ess``, ``%%ess``."""
