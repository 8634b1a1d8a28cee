"""Registered clusters: kept under a label in the catalogue of the user, without any password."""

from __future__ import annotations

import re

from ess_dask.catalog.index import Catalog, open_catalog
from ess_dask.catalog.model import WarehouseCluster
from ess_dask.errors import ConfigError, UsageError
from ess_dask.warehouse.redshift.url import RedshiftURL, parse_url, url_of

_CURRENT = "redshift"
_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def check_label(label: str) -> str:
    """Return a label that can stand as the host of a URL; raise ``UsageError`` for another one."""
    if not _LABEL.fullmatch(label):
        raise UsageError(
            f"{label!r} is no label for a cluster",
            hint="lower-case letters, digits, - and _, at most 63; give one with --label",
        )
    return label


def register(cluster: WarehouseCluster) -> None:
    """Keep a cluster under its label, in place of an earlier one, and make it the current one."""
    check_label(cluster.label)
    parse_url(url_of(cluster), lambda _: "")
    with open_catalog() as catalog:
        catalog.put_cluster(cluster)
        catalog.remember(_CURRENT, cluster.label)


def deregister(label: str = "") -> str:
    """Forget a cluster (default: the current one); return its label.

    Raises ``UsageError`` naming those there are.
    """
    with open_catalog() as catalog:
        wanted = label or catalog.setting(_CURRENT)
        if not catalog.delete_cluster(wanted):
            raise _unknown(catalog, label)
        if catalog.setting(_CURRENT) == wanted:
            catalog.remember(_CURRENT, "")
    return wanted


def registered() -> tuple[list[WarehouseCluster], str]:
    """Return all registered clusters by label, and the label of the current one or ''."""
    with open_catalog() as catalog:
        return catalog.clusters(), catalog.setting(_CURRENT)


def find(label: str = "") -> WarehouseCluster:
    """Return the cluster with this label, or the current one, or the only one there is.

    Raises ``UsageError`` naming those there are.
    """
    with open_catalog() as catalog:
        known = catalog.clusters()
        wanted = label or catalog.setting(_CURRENT)
        for cluster in known:
            if cluster.label == wanted or (not wanted and len(known) == 1):
                return cluster
        raise _unknown(catalog, label)


def cluster_of(label: str, url: RedshiftURL) -> WarehouseCluster:
    """Return what is kept of a URL that names host, port, database and user."""
    address = url.address
    if address.password:
        raise ConfigError("a registered cluster keeps no password", hint="leave it out of the URL")
    return WarehouseCluster(
        label,
        address.cluster or address.workgroup,
        address.host,
        address.port,
        address.database,
        address.user,
        address.region,
        str(url).partition("?")[2],
    )


def _unknown(catalog: Catalog, label: str) -> UsageError:
    known = ", ".join(each.label for each in catalog.clusters()) or "none"
    if not label:
        return UsageError(
            "no Redshift cluster is chosen",
            hint="ess redshift register CLUSTER DATABASE USER, or give --label or --url "
            f"(registered: {known})",
        )
    return UsageError(f"unknown cluster {label!r}", hint=f"known are: {known}")
