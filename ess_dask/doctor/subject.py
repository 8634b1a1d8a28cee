"""What is looked at: settings, a pipeline, the known datastores, a warehouse. Nothing is made."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ess_dask.dataclass import dataclass
from ess_dask.doctor.model import Check, fail, of_error, ok, skipped, warn
from ess_dask.errors import EssError
from ess_dask.folders import cache_path
from ess_dask.settings import Settings

if TYPE_CHECKING:
    from ess_dask.catalog.model import Datastore
    from ess_dask.pipelines.model import Pipeline

_CHECKED_BYTES = 64 << 20
"""A larger catalogue is not read through: that would take longer than a person waits."""

_WITH_RUNS = 3
"""The state from which on it knows of runs."""


@dataclass(frozen=True, slots=True)
class Question:
    """What ``ess doctor`` was asked: a pipeline, a warehouse's URL ('' for none), and how many
    ``seconds`` each check may take."""

    pipeline: str = ""
    overrides: tuple[str, ...] = ()
    warehouse: str = ""
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Subject:
    """What the checks look at. ``url`` is the warehouse's, '' when the pipeline loads nothing;
    ``table`` its table there. ``stores`` are the known datastores and that of the pipeline.
    ``last`` is the last moment (seconds since 1970) that a run of this machine knew of, or 0."""

    settings: Settings
    seconds: float
    stores: tuple[Datastore, ...] = ()
    url: str = ""
    table: str = ""
    last: float = 0.0


def look(question: Question) -> tuple[Subject, tuple[Check, ...]]:
    """Return the subject of the other checks, and what reading it found."""
    pipeline, of_pipeline = _pipeline(question)
    settings, of_settings = _settings(pipeline)
    kept, of_state = _state(cache_path() / "catalog.db")
    stores = kept.stores
    own, of_store = _own_store(pipeline, stores)
    load = pipeline.load if pipeline else None
    url = question.warehouse or (load.to if load else "")
    if not url and (load or not pipeline):
        url = settings.warehouse
    subject = Subject(
        settings=settings,
        seconds=question.seconds,
        stores=(*stores, *own),
        url=url,
        table=load.table if load else "",
        last=kept.last,
    )
    return subject, (of_settings, of_pipeline, *of_store, of_state)


def _settings(pipeline: Pipeline | None) -> tuple[Settings, Check]:
    from ess_dask._settings_sources import unknown_variables
    from ess_dask.settings import load_settings

    profile = os.environ.get("ESS_PROFILE", "")
    try:
        settings = load_settings(pipeline=pipeline.settings if pipeline else None)
    except EssError as error:
        return Settings(), of_error("settings", error)
    strange = unknown_variables(os.environ)
    if strange:
        name, hint = strange[0]
        return settings, warn("settings", f"{name} is not a setting", hint or "unset it")
    return settings, ok("settings", f"profile {profile}" if profile else "no profile")


def _pipeline(question: Question) -> tuple[Pipeline | None, Check]:
    """Return the pipeline, and whether its file can be read and its steps be made."""
    from ess_dask.pipelines.load import find_pipeline, load_pipeline
    from ess_dask.pipelines.steps import make_step

    if not question.pipeline:
        return None, skipped("pipeline", "none was named", "name one with --pipeline FILE")
    try:
        path = find_pipeline(question.pipeline)
        pipeline = load_pipeline(path, question.overrides)
        for step in pipeline.clean:
            make_step(step, path.absolute().parent)
    except EssError as error:
        return None, of_error("pipeline", error)
    return pipeline, ok("pipeline", f"{pipeline.name} in {path}")


def _own_store(
    pipeline: Pipeline | None, known: tuple[Datastore, ...]
) -> tuple[tuple[Datastore, ...], tuple[Check, ...]]:
    """Return the datastore of the pipeline if it is not among the known, or the failed check that
    there is none."""
    from ess_dask.catalog.datastores import is_source, make_datastore

    source = pipeline.source.store if pipeline else ""
    if not source or source in {store.label for store in known}:
        return (), ()
    name = f"store {source}"
    if not is_source(source):
        found = f"{source} is neither a folder here nor a known datastore"
        return (), (fail(name, found, "check source.store; known are those of: ess repository"),)
    try:
        store = make_datastore(source)
    except EssError as error:
        return (), (of_error(name, error),)
    return () if store.root in {each.root for each in known} else (store,), ()


@dataclass(frozen=True, slots=True)
class _Kept:
    """What stands in the state file; see ``Subject``."""

    stores: tuple[Datastore, ...] = ()
    last: float = 0.0


def _state(path: Path) -> tuple[_Kept, Check]:
    """Return what the state file holds, and how it is; it is neither made nor migrated."""
    from ess_dask.catalog.migrations import STEPS

    if not path.exists():
        return _Kept(), ok("state", f"{path} is made at its first use")
    try:
        address = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=2.0)) as connection:
            version = int(connection.execute("pragma user_version").fetchone()[0])
            if version > len(STEPS):
                return _Kept(), _newer(path, version, len(STEPS))
            if path.stat().st_size < _CHECKED_BYTES:
                said = str(connection.execute("pragma quick_check(1)").fetchone()[0])
                if said != "ok":
                    return _Kept(), _damaged(path, said)
            kept = _read(connection, version)
    except sqlite3.OperationalError as error:
        passing = "locked" in str(error) or "busy" in str(error)
        advice = "look again when the other command is done" if passing else "check its permissions"
        return _Kept(), fail("state", f"cannot read {path}: {error}", advice, passing=passing)
    except sqlite3.DatabaseError as error:
        return _Kept(), _damaged(path, str(error))
    older = "" if version == len(STEPS) else f", brought to {len(STEPS)} at its next use"
    return kept, ok("state", f"{path}, state {version}{older}")


def _read(connection: sqlite3.Connection, version: int) -> _Kept:
    from ess_dask.catalog.index import Catalog

    stores = tuple(Catalog(connection).datastores()) if version else ()
    if version < _WITH_RUNS:
        return _Kept(stores)
    query = "select beat from runs where host = ? order by id desc limit 1"
    row = connection.execute(query, (os.uname().nodename,)).fetchone()
    return _Kept(stores, float(row[0]) if row else 0.0)


def _newer(path: Path, version: int, known: int) -> Check:
    found = f"{path} was written by a newer release (state {version}, this one knows {known})"
    return fail("state", found, "install that release, or set ESS_CACHE_DIR to another folder")


def _damaged(path: Path, said: str) -> Check:
    found = f"{path} is damaged: {' '.join(said.split())}"
    advice = "the next command keeps it aside and begins anew; add stores and categories again"
    return fail("state", found, advice)
