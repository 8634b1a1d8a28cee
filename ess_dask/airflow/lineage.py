"""What a run read and wrote, named as OpenLineage names datasets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Lineage:
    """A run's report, and the folder that its relative paths start from ('' is the task's own)."""

    report: Mapping[str, Any]
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """A dataset's namespace and name."""

    namespace: str
    name: str


def facets(run: Lineage | None) -> Any:
    """Return an ``OperatorLineage`` of the run; empty before there is one."""
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    report = run.report if run is not None else {}
    folder = run.folder if run is not None else ""
    read, written = source_of(report), target_of(report, folder)
    rows = OutputStatisticsOutputDatasetFacet(rowCount=int(report.get("rows_loaded") or 0))
    return OperatorLineage(
        inputs=[Dataset(namespace=read.namespace, name=read.name)] if read else [],
        outputs=[
            OutputDataset(
                namespace=written.namespace,
                name=written.name,
                outputFacets={"outputStatistics": rows},
            )
        ]
        if written
        else [],
    )


def source_of(report: Mapping[str, Any]) -> Name | None:
    """Return the store that was read: ``s3://bucket`` and prefix, or ``file`` and folder."""
    store = str(report.get("store") or "")
    if not store:
        return None
    if "://" not in store:
        return Name("file", store)
    scheme, _, rest = store.partition("://")
    bucket, _, prefix = rest.partition("/")
    return Name(f"{scheme}://{bucket}", prefix.strip("/") or "/")


def target_of(report: Mapping[str, Any], folder: str = "") -> Name | None:
    """Return the table that was written, None when the run loaded nothing."""
    url, table = str(report.get("warehouse") or ""), str(report.get("table") or "")
    if not url or not table:
        return None
    parts = urlsplit(url)
    if parts.scheme == "redshift":
        return _redshift(parts, table)
    if parts.scheme == "duckdb":
        # duckdb:///shop.duckdb is relative, duckdb:////srv/shop.duckdb is not.
        path = os.path.abspath(os.path.join(folder, parts.path[1:]))  # noqa: PTH100, PTH118
        return Name(f"duckdb://{path}", f"main.{table}" if "." not in table else table)
    return Name(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", table)


_CLUSTER = re.compile(r"([^.]+)\.[^.]+\.([^.]+)\.redshift(?:-serverless)?\.amazonaws\.com")


def _redshift(parts: SplitResult, table: str) -> Name:
    """Return ``redshift://CLUSTER.REGION:PORT`` and database, schema and table.

    Of a cluster that AWS is asked for the URL has the identifier, and may have the region.
    """
    options = dict(parse_qsl(parts.query))
    host = parts.hostname or ""
    if match := _CLUSTER.match(host):
        host = f"{match[1]}.{match[2]}"
    if not host:
        named = (options.get("cluster") or options.get("workgroup"), options.get("region"))
        host = ".".join(filter(None, named))
    full = table if "." in table else f"{options.get('schema', 'public')}.{table}"
    return Name(f"redshift://{host}:{parts.port or 5439}", f"{parts.path.strip('/')}.{full}")
