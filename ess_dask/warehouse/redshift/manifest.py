"""The manifest of a load, and the end of what was staged for it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ess_dask.catalog.datastores import make_datastore
from ess_dask.warehouse.model import StagedPart


def write_manifest(prefix: str, parts: Sequence[StagedPart], name: str) -> str:
    """Write ``name`` below the load's ``prefix``; return its URL.

    It names exactly these parts, each mandatory and with its bytes: what the workers said that
    they stored, never what a listing finds.
    """
    from ess_dask.catalog.s3_objects import put_bytes

    entries = [
        {"url": part.path, "mandatory": True, "meta": {"content_length": part.bytes}}
        for part in parts
    ]
    place = make_datastore(prefix)
    url = f"{place.root}/{name}"
    put_bytes(place, url, json.dumps({"entries": entries}, ensure_ascii=False, indent=1).encode())
    return url


def sweep(prefix: str) -> int:
    """Remove every object below a load's ``prefix``; return how many there were.

    For after a commit and after a run that failed; nothing there is no error.
    """
    from ess_dask.catalog.s3_objects import remove_all

    return remove_all(make_datastore(prefix))
