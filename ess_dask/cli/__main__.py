"""``python -m ess_dask.cli`` is ``ess``."""

from ess_dask.cli.main import main

main()
