"""``ess redshift unload``: rows of a query into files in S3, and into a category."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ess_dask.cli._redshift import choose, table_cluster_options
from ess_dask.cli._render import say
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.place import Format


@click.command()
@click.argument("query")
@click.argument("target")
@click.option(
    "--format", "form", type=click.Choice(["parquet", "csv"]),
    help="Parquet (default) or gzip CSV (default with --category).",
)  # fmt: skip
@click.option("--header", is_flag=True, help="Begin each CSV file with a title line.")
@click.option("--overwrite", is_flag=True, help="Put the files in the place of earlier ones.")
@click.option("--category", metavar="NAME", default="", help="Make the files a category.")
@table_cluster_options
def unload(
    query: str,
    target: str,
    form: Format | None,
    header: bool,
    overwrite: bool,
    category: str,
    url: str,
    cluster: str,
    password_stdin: bool,
) -> None:
    """Write the rows of a query to S3 and print the names of the files.

    QUERY is a SELECT, the name of a table, or - for the standard input. TARGET is s3://bucket/prefix
    or LABEL:PATH of a datastore; the names of the files begin with it. With --category they become
    a category of that datastore (a column spec from the query's types, no dates), so that `ess
    stream NAME '*' '*'` reads them. Rows and bytes are those that Redshift's manifest tells.
    """
    from ess_dask.api.unload import Request, unload_files
    from ess_dask.warehouse.redshift.unload import Shape

    if query == "-":
        if password_stdin:
            raise UsageError("the query and the password cannot both come from stdin")
        query = sys.stdin.read()
    if not query.strip():
        raise UsageError("there is no query", hint='ess redshift unload "select ..." TARGET')
    form = form or ("csv" if category else "parquet")
    if header and form != "csv":
        raise UsageError("a Parquet file has no title line", hint="drop --header, or --format csv")
    chosen = choose(url, cluster, password_stdin)
    request = Request(query, target, Shape(form, header, overwrite), category)
    done = unload_files(chosen.with_password(), request)
    for file in done.files:
        click.echo(file.url)
    say(f"{done.rows:,} rows in {len(done.files):,} files, {done.bytes:,} bytes: {done.manifest}")
