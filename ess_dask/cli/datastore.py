"""``ess select``, ``ess repository``, ``ess purge``: which datastores there are."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import check_key_pair, format_options
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from ess_dask.catalog.index import Catalog
    from ess_dask.catalog.model import Datastore
    from ess_dask.cli._render import Format


@dataclass(frozen=True, slots=True)
class _Access:
    """How a datastore is reached, as given on the command line."""

    label: str
    region: str
    credentials: str
    aws_profile: str
    overwrite: bool
    keys_given: bool


@click.command()
@click.argument("source", metavar="SRC")
@click.option("--label", metavar="L", default="", help="Name of the datastore.")
@click.option("--region", metavar="R", default="", help="AWS region of the bucket.")
@click.option("--credentials", metavar="CSV", default="", help="Credentials file from AWS.")
@click.option("--aws_profile", metavar="NAME", default="", help="Profile of ~/.aws.")
@click.option("--aws_access_key", metavar="KEY", default="", help="Key id; not stored.")
@click.option("--aws_secret_access_key", metavar="KEY", default="", help="Secret; not stored.")
@click.option("--account_name", hidden=True)
@click.option("--account_key", hidden=True)
@click.option("--overwrite", is_flag=True, help="Change region and credentials of a known one.")
def select(
    source: str, aws_access_key: str, aws_secret_access_key: str,
    account_name: str | None, account_key: str | None, **access: str | bool,
) -> None:  # fmt: skip
    """Choose a datastore: local, a folder, s3://bucket[/prefix] or a known label."""
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import select_store

    if account_name or account_key or source.startswith("blob://"):
        raise UsageError("blob:// is not supported", hint="use a folder or s3://bucket")
    keys_given = _use_keys(aws_access_key, aws_secret_access_key)
    wanted = _Access(keys_given=keys_given, **access)  # type: ignore[arg-type]
    if keys_given + bool(wanted.credentials) + bool(wanted.aws_profile) > 1:
        raise UsageError("--credentials, --aws_profile and the keys exclude each other")
    with open_catalog() as catalog:
        store = _known_or_new(catalog, source, wanted)
        _check_access(store)
        select_store(catalog, store)


@click.command()
@format_options
def repository(form: Format) -> None:
    """List the known datastores; the current one is marked."""
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import current_label
    from ess_dask.cli._render import Table, render

    with open_catalog() as catalog:
        current = current_label(catalog)
        rows = [
            ("*" if s.label == current else "", s.label, s.root or ".", s.region, s.credentials)
            for s in catalog.datastores()
        ]
    render(Table(("current", "label", "root", "region", "credentials"), rows), form)


@click.command()
@click.argument("label")
def purge(label: str) -> None:
    """Forget a datastore and its categories, never its files."""
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import forget_store

    with open_catalog() as catalog:
        if not forget_store(catalog, label):
            click.echo(f"ess: no datastore {label!r} to forget", err=True)


def _use_keys(access_key: str, secret_key: str) -> bool:
    """Use keys given on the command line in this process only; say whether there are any."""
    check_key_pair(access_key, secret_key)
    if not access_key:
        return False
    os.environ["AWS_ACCESS_KEY_ID"] = access_key
    os.environ["AWS_SECRET_ACCESS_KEY"] = secret_key
    os.environ.pop("AWS_SESSION_TOKEN", None)
    click.echo(
        "ess: the keys are not stored; later commands take them from AWS_ACCESS_KEY_ID and"
        " AWS_SECRET_ACCESS_KEY (or select with --credentials FILE.csv)",
        err=True,
    )
    return True


def _known_or_new(catalog: Catalog, source: str, wanted: _Access) -> Datastore:
    from ess_dask.catalog.datastores import is_source, make_datastore
    from ess_dask.catalog.registry import find_store
    from ess_dask.credentials import FROM_ENVIRONMENT

    known = catalog.datastore(source)
    if known is None and not is_source(source):
        return find_store(catalog, source)
    store = make_datastore(
        known.root if known and known.root else source,
        label=wanted.label or (known.label if known else ""),
        profile=wanted.aws_profile,
        credentials=wanted.credentials,
        region=wanted.region,
    )
    if wanted.keys_given and store.is_local:
        raise UsageError(f"{source!r} is a folder: it takes no keys")
    if wanted.keys_given:
        store = replace(store, credentials=FROM_ENVIRONMENT)
    return _merged(catalog, store, wanted)


def _merged(catalog: Catalog, store: Datastore, wanted: _Access) -> Datastore:
    """Return the store as registered before, where it was and is not to be overwritten."""
    from ess_dask.catalog.datastores import LOCAL

    known = catalog.datastore(store.label)
    if known is None and not wanted.label:
        known = next((s for s in catalog.datastores() if s.root == store.root), None)
    if known is None or known.label == LOCAL:
        return store
    if known.root != store.root:
        raise UsageError(
            f"label {store.label!r} already names {known.root}",
            hint="give another --label, or purge that datastore first",
        )
    return replace(store, label=known.label) if wanted.overwrite else known


def _check_access(store: Datastore) -> None:
    """Ask for one key of a bucket, so that a wrong name or key is told now, not in a job."""
    if store.is_local:
        return
    from ess_dask.catalog.s3 import call, split_uri

    bucket, prefix = split_uri(store.root)
    arguments = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1}
    call(store, "s3:ListBucket", store.root, "list_objects_v2", **arguments)
