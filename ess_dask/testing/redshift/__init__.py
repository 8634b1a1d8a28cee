"""A stand-in for Redshift: its protocol and COPY in front of a real PostgreSQL and a real S3 server.

It rewrites and does not emulate: transactions, locks, aborts and row counts are PostgreSQL's own.
What it does not simulate it refuses, or its page in ``docs/how-to`` says so.
"""

from ess_dask.testing.redshift.faults import Fault, Faults
from ess_dask.testing.redshift.server import RedshiftServer, standin

__all__ = ["Fault", "Faults", "RedshiftServer", "standin"]
