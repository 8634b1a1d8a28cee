"""The manifest of a COPY: every staged file with its size, and none of them may be missing."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ess_dask.warehouse.model import StagedPart
from ess_dask.warehouse.redshift.place import stage_store


def write_manifest(prefix: str, parts: Sequence[StagedPart], name: str) -> str:
    """Write ``prefix/name.manifest`` from what the workers returned; return its URL."""
    from ess_dask.catalog.s3_objects import put_bytes

    entries = [
        {"url": part.path, "mandatory": True, "meta": {"content_length": part.bytes}}
        for part in parts
    ]
    store, url = stage_store(prefix), f"{prefix}/{name}.manifest"
    put_bytes(store, url, json.dumps({"entries": entries}).encode())
    return url
