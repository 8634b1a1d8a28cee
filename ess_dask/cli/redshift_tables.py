"""``ess redshift gentable``: a table for the rows of a category."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import label_option
from ess_dask.cli._redshift import choose, table_cluster_options
from ess_dask.cli._render import say
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from ess_dask.api.redshift_tables import TableRequest


@click.command()
@click.argument("table")
@click.argument("category")
@click.option(
    "--key", "keys", metavar="'COL = KIND'", multiple=True,
    help="KIND is distkey (one) or sortkey (several, in order).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only print the statement; nothing is connected to.")
@label_option
@table_cluster_options
def gentable(
    table: str,
    category: str,
    keys: tuple[str, ...],
    dry_run: bool,
    label: str,
    url: str,
    cluster: str,
    password_stdin: bool,
) -> None:
    """Make a table for the rows of a category, and print its statement.

    The columns are those of the category's column spec, without X: S and IP VARCHAR, as long as the
    first file asks for (at least 256), F DOUBLE PRECISION, L DECIMAL(20,0), LS and I BIGINT, IS
    INTEGER. With them come _ess_load and _ess_file, in which loads keep where a row is from. A
    table that is there already is an error (exit 3).
    """
    from ess_dask.api.redshift_tables import TableRequest, make_table

    request = TableRequest(table, category, label, keys)
    if dry_run:
        statements = _planned(request, url, cluster)
    else:
        chosen = choose(url, cluster, password_stdin)
        statements = make_table(request, chosen.with_password(), say)
    for statement in statements:
        click.echo(f"{statement};")


def _planned(request: TableRequest, url: str, cluster: str) -> tuple[str, ...]:
    """Return the statement; where no cluster is chosen, in Redshift's own schema."""
    from ess_dask.api.redshift_tables import table_statements

    schema = "public"
    try:
        schema = choose(url, cluster, password_stdin=False).url.options.schema
    except UsageError:
        if url or cluster:
            raise
    return table_statements(request, schema, say)
