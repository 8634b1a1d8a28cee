"""A pipeline file from a look at one file: for ``ess init``."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.errors import AccessError, ConfigError, EssError, UsageError

if TYPE_CHECKING:
    from ess_dask.catalog.model import Category, Datastore
    from ess_dask.pipelines.model import Pipeline
    from ess_dask.records.probe import Probe

NAMELESS = "records"
"""Category of a pattern in which no word stands."""


def probe_pipeline(
    store: Datastore,
    category: Category,
    named: str,
    types: Mapping[str, str] | None = None,
    to: str = "",
) -> Pipeline:
    """Return the pipeline that loads a category, with columns as its first file shows them.

    ``named`` is how the pipeline file names the store, ``types`` (by column) goes before what was
    probed, ``to`` is the warehouse's URL. Raises ``UsageError`` (no file, unknown column),
    ``ConfigError`` (bad type or URL), and what reading raises.
    """
    from ess_dask.pipelines.render import draft_pipeline
    from ess_dask.pipelines.rules import url
    from ess_dask.pipelines.steps import CleanStep

    uri, probe = _probe(store, category)
    made = draft_pipeline(
        category.name,
        named,
        category.patterns,
        _columns(uri, probe, types or {}),
        exclude=category.exclude,
        date=category.dateregex,
        delimiter=probe.delimiter,
        header=probe.header,
        compression=category.compression,
        archive=category.archive,
    )
    assert made.load is not None
    if to:
        url(to)
    load = replace(made.load, to=to)
    shell = (CleanStep("shell", category.preprocess),) if category.preprocess else ()
    return replace(made, load=load, clean=shell)


def category_name(pattern: str) -> str:
    """Return the word a pattern's files are about: ``purchase`` of ``lake/*purchase_*.csv.gz``."""
    word = re.search(r"[^\W\d_]+", pattern.rpartition("/")[2].partition(".")[0])
    return word[0] if word else NAMELESS


def write_pipeline(path: Path, pipeline: Pipeline, *, force: bool = False) -> None:
    """Write a pipeline file, whole or not at all.

    Raises ``ConfigError`` when it is there already (unless ``force``), ``AccessError`` or
    ``EssError`` when it cannot be written.
    """
    from ess_dask.pipelines.render import render_pipeline

    # Beside its place first: a link into place fails where a file is, a rename would replace it.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.write_text(render_pipeline(pipeline), encoding="utf-8")
        if force:
            part.replace(path)
        else:
            os.link(part, path)
    except FileExistsError:
        raise ConfigError(
            f"{path} is there already", hint="choose another name, or --force replaces it"
        ) from None
    except OSError as error:
        kind = AccessError if isinstance(error, PermissionError) else EssError
        raise kind(
            f"cannot write {path}: {error.strerror}", hint="check the folder and free space"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()


def _probe(store: Datastore, category: Category) -> tuple[str, Probe]:
    """Return the first file that holds anything, and what a sample of it looks like."""
    from ess_dask.catalog.probing import read_sample
    from ess_dask.catalog.selection import select_files
    from ess_dask.records.probe import probe_bytes

    patterns = ", ".join(category.patterns)
    files = select_files(store, category).files
    if not files:
        raise UsageError(
            f"no file in {store.root} matches {patterns}",
            hint="--store names another folder, bucket or label; a * also stands for folders",
        )
    for file in files:
        probe = probe_bytes(read_sample(store, category, file)) if file.size else None
        if probe is not None and probe.columns:
            return file.uri, probe
    raise UsageError(
        f"none of the {len(files)} files that match {patterns} holds a record",
        hint="probe a file that is not empty",
    )


def _columns(uri: str, probe: Probe, types: Mapping[str, str]) -> dict[str, str]:
    titles = [column.title or column.name for column in probe.columns]
    for name in types:
        if name not in titles:
            raise UsageError(
                f"{uri} has no column {name!r}", hint=f"its columns are: {', '.join(titles)}"
            )
    return probe.to_type_names() | dict(types)
