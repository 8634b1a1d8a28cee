"""``ess redshift``: the commands, each from its own module."""

from __future__ import annotations

import click

from ess_dask.cli import (
    redshift_clusters,
    redshift_sql,
    redshift_stream,
    redshift_tables,
    redshift_unload,
)


@click.group()
def redshift() -> None:
    """Register Redshift clusters, ask them, load and unload their tables."""


for _command in (
    redshift_clusters.register,
    redshift_clusters.deregister,
    redshift_clusters.list_,
    redshift_clusters.status,
    redshift_sql.sql,
    redshift_tables.gentable,
    redshift_stream.stream,
    redshift_unload.unload,
):
    redshift.add_command(_command)
