"""A pipeline's digest: equal when the same files would give the same rows in the same table.

It covers how files are read, the cleaning steps in order, and the target table with its mode and
key. It leaves out where things are (store, pattern, warehouse URL), how the table lies
(distribution and sort keys) and the SQL around a load, as neither changes what a file's rows are;
the memory table, limits and settings. Of a Python step it covers the module's source text, without
running it, but not what that module imports.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ess_dask.pipelines.model import Load, Pipeline, Source
    from ess_dask.pipelines.steps import CleanStep


def pipeline_digest(pipeline: Pipeline, folder: Path) -> str:
    """Return 32 hexadecimal digits; ``folder`` is the pipeline file's, where modules are found."""
    parts = {
        "form": 1,
        "source": _source(pipeline.source),
        "clean": [_step(step, folder) for step in pipeline.clean],
        "load": _load(pipeline.load),
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def _source(source: Source) -> dict[str, Any]:
    from ess_dask.records.types import format_type

    return {
        # A list: the order of columns is the order in the table.
        "columns": [[column.name, format_type(column.type)] for column in source.read_columns()],
        "delimiter": source.delimiter,
        "header": source.header,
        "compression": source.compression,
        "archive": source.archive,
        "encoding": source.encoding,
        "extra_columns": source.extra_columns,
        "file_columns": list(source.file_columns),
        "date": source.date if "file_date" in source.file_columns else "",
    }


def _step(step: CleanStep, folder: Path) -> list[Any]:
    code = _source_digest(step.text, folder) if step.kind == "python" else ""
    return [step.kind, step.text, step.per, step.options, code]


def _load(load: Load | None) -> list[Any] | None:
    return None if load is None else [load.table, load.mode, list(load.key)]


def _source_digest(function: str, folder: Path) -> str:
    """Return the digest of the module's source file, '' when there is none to read."""
    spec = _find_module(function.partition(":")[0], [str(folder), *sys.path])
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return ""
    try:
        return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
    except OSError:
        return ""


def _find_module(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Find a module below ``path`` without importing its packages."""
    spec: ModuleSpec | None = None
    for part in name.split("."):
        # Only the last part: a dotted name would ask for its parent among the loaded modules.
        spec = PathFinder.find_spec(part, path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or ())
    return spec
