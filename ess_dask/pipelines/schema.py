"""The JSON Schema of pipeline files, for editors; published as ``docs/reference``."""

from __future__ import annotations

import json
from typing import Any


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of a pipeline file, with descriptions and defaults."""
    from ess_dask.documents.checking import adapter
    from ess_dask.pipelines.model import Pipeline

    schema = adapter(Pipeline).json_schema()
    schema["title"] = "ess-dask pipeline"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def render_schema() -> str:
    """Return the published file's text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
