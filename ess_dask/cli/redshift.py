"""``ess redshift``: the commands, each from its own module."""

from __future__ import annotations

import click

from ess_dask.cli import redshift_clusters, redshift_sql


@click.group()
def redshift() -> None:
    """Register Redshift clusters and ask them."""


for _command in (
    redshift_clusters.register,
    redshift_clusters.deregister,
    redshift_clusters.list_,
    redshift_clusters.status,
    redshift_sql.sql,
):
    redshift.add_command(_command)
