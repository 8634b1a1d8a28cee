"""The warehouse of a pipeline or a URL: does it answer, may its table be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.doctor.model import Check, fail, lacking, ok, skipped, warn
from ess_dask.warehouse.connect import open_warehouse, shown_url

if TYPE_CHECKING:
    from ess_dask.doctor.subject import Subject
    from ess_dask.warehouse.duckdb.warehouse import DuckDBWarehouse
    from ess_dask.warehouse.redshift.session import Session
    from ess_dask.warehouse.redshift.url import RedshiftURL


def check_warehouse(subject: Subject) -> tuple[Check, ...]:
    """Say whether the warehouse answers and its table may be written; nothing is written.

    Raises what opening it raises.
    """
    if not subject.url:
        return (skipped("warehouse", "the pipeline loads nothing"),)
    url = redshift_url(subject.url)
    if url is not None:
        missing = lacking("warehouse", "redshift_connector", "redshift")
        return (missing,) if missing else tuple(_redshift(url, subject))
    warehouse = open_warehouse(subject.url)
    if warehouse.capabilities.name == "DuckDB":
        return (_duckdb(warehouse, subject),)  # type: ignore[arg-type]  # its name says so
    warehouse.loads(subject.table)
    return (ok("warehouse", f"{shown_url(subject.url)} answers"),)


def redshift_url(url: str) -> RedshiftURL | None:
    """Return a Redshift URL that was read, None for another warehouse; raises ``ConfigError``."""
    from ess_dask.warehouse.redshift.url import SCHEMES, parse_url

    return parse_url(url) if url.partition("://")[0].lower() in SCHEMES else None


@contextmanager
def opened(url: RedshiftURL, seconds: float) -> Iterator[Session]:
    """Give a connection that was tried once; start and statements have ``seconds``."""
    from ess_dask.warehouse.redshift.connection import connect, translating
    from ess_dask.warehouse.redshift.session import Session

    limit = max(1.0, seconds - 1)
    address = replace(url.address, timeout=min(url.address.timeout, limit))
    with Session(connect(address, wait=0.001), translating) as session:
        session.limit(limit)
        yield session


def _duckdb(warehouse: DuckDBWarehouse, subject: Subject) -> Check:
    path = warehouse.path
    folder = next(each for each in path.parents if each.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        return fail("warehouse", f"{folder} may not be written", "name another file in load.to")
    if not path.exists():
        return ok("warehouse", f"{path} is made by the first load")
    if not os.access(path, os.R_OK | os.W_OK):
        return fail("warehouse", f"{path} may not be written", f"chmod u+rw {path}")
    loads = warehouse.loads()
    return ok("warehouse", f"{path} opens, {len(loads):,} loads are recorded")


def _redshift(url: RedshiftURL, subject: Subject) -> Iterator[Check]:
    from ess_dask.warehouse.quote import parse_table

    with opened(url, subject.seconds) as session:
        schema = url.options.schema
        name = parse_table(subject.table, schema) if subject.table else None
        schema = name.schema if name else schema
        may_make = _may(session, "has_schema_privilege", schema, "create")
        may_write = name is None or _writable(session, schema, name.table)
    if may_write is None:
        may_write = may_make
    if not may_write or not may_make:
        what = f"{schema}.{name.table}" if name and not may_write else f"tables in {schema}"
        advice = f"grant usage, create on schema {schema} to {url.address.user or 'the user'}"
        yield fail("warehouse", f"{url.address}: {what} may not be made or written", advice)
    else:
        yield ok("warehouse", f"{url.address} answers, {schema} may be written")
    yield _stage(url, subject.seconds)


def _may(session: Session, question: str, what: str, right: str) -> bool:
    return bool(session.value(f"SELECT {question}(?, ?)", what, right))


def _writable(session: Session, schema: str, table: str) -> bool | None:
    """Say whether a table may be written; None when it is not there yet."""
    from ess_dask.warehouse.quote import TableName
    from ess_dask.warehouse.redshift.existing import table_state
    from ess_dask.warehouse.redshift.names import quoted

    state = table_state(session, TableName(schema, table))
    if not state.exists:
        return None
    name = f"{quoted(state.name.schema)}.{quoted(state.name.table)}"
    return all(_may(session, "has_table_privilege", name, r) for r in ("insert", "delete"))


def _stage(url: RedshiftURL, seconds: float) -> Check:
    """Say whether the place in S3 that loads go through can be listed."""
    from ess_dask.catalog.model import Datastore
    from ess_dask.doctor.stores import check_bucket

    options = url.options
    if not options.stage:
        advice = "add stage=s3://bucket/prefix to the warehouse's URL"
        return warn("stage", "the URL names none, and loads need one", advice)
    profile = f"profile:{url.address.profile}" if url.address.profile else ""
    store = Datastore("stage", options.stage, options.stage_region, profile)
    return check_bucket("stage", store, seconds)
