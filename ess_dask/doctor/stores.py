"""The known datastores and that of the pipeline: can they be listed, and are they near."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.datastores import LOCAL
from ess_dask.doctor.model import Check, fail, of_error, ok, warn

if TYPE_CHECKING:
    from ess_dask.catalog.model import Datastore
    from ess_dask.doctor.subject import Subject


def check_store(store: Datastore, subject: Subject) -> Check:
    """Say whether a datastore can be listed; of a bucket also whether its region is right."""
    name = f"store {store.label}"
    return _folder(name, store) if store.is_local else check_bucket(name, store, subject.seconds)


def _folder(name: str, store: Datastore) -> Check:
    root = Path.cwd() if store.label == LOCAL and not store.root else Path(store.root)
    if not root.is_dir():
        advice = f"mount it, or forget it: ess purge {store.label}"
        return fail(name, f"{root} is not there", advice)
    if not os.access(root, os.R_OK | os.X_OK):
        return fail(name, f"{root} may not be read", f"chmod u+rx {root}, or run as another user")
    return ok(name, str(root))


def check_bucket(name: str, store: Datastore, seconds: float) -> Check:
    """Say whether a bucket can be listed, and whether its region is right."""
    from ess_dask.doctor.s3 import ask_s3

    answer = ask_s3(store, seconds)
    if answer.error is not None:
        return of_error(name, answer.error)
    where = f" in {answer.region}" if answer.region else ""
    found = f"{store.root}{where}, may be listed"
    if answer.region and answer.asked not in ("", "aws-global", answer.region):
        advice = f"select it with --region {answer.region}: each request goes to the wrong place"
        return warn(name, f"{found}, is asked in {answer.asked}", advice)
    return ok(name, found)
