"""The clock of this machine against that of S3 or the warehouse."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ess_dask.doctor.model import Check, fail, ok, skipped, warn

if TYPE_CHECKING:
    from ess_dask.doctor.subject import Subject

REFUSED, TOLD = 900.0, 60.0
"""Seconds of difference from which AWS refuses signed requests, and from which it is told."""


_MEND = "set this machine's clock (chronyc makestep, timedatectl set-ntp true)"


def check_clock(subject: Subject) -> Check:
    """Compare with the last run's time, and with that of S3, else of the warehouse."""
    back = subject.last - time.time()
    if back > TOLD:
        told = f"set back: the last run here was {back:.0f} s later than now"
        return warn("clock", told, _MEND)
    found = _of_s3(subject) or _of_warehouse(subject)
    if found is None:
        return skipped("clock", "no other machine to compare with")
    ahead, other = found
    if abs(ahead) < TOLD:
        return ok("clock", f"within {TOLD:.0f} s of {other} ({-ahead:+.0f} s)")
    told = f"{abs(ahead):.0f} s {'behind' if ahead > 0 else 'ahead of'} {other}"
    if abs(ahead) >= REFUSED:
        return fail("clock", f"{told}; AWS refuses from {REFUSED:.0f} s on", _MEND)
    return warn("clock", f"{told}; AWS refuses from {REFUSED:.0f} s on", _MEND)


def _of_s3(subject: Subject) -> tuple[float, str] | None:
    """Return by how many seconds the clock there is ahead of this one, and whose it is."""
    from ess_dask.doctor.s3 import ask_s3

    store = next((store for store in subject.stores if not store.is_local), None)
    if store is None:
        return None
    ahead = ask_s3(store, subject.seconds).ahead
    return None if ahead is None else (ahead, f"S3 of {store.label}")


def _of_warehouse(subject: Subject) -> tuple[float, str] | None:
    from ess_dask.doctor.model import lacking
    from ess_dask.doctor.warehouse import opened, redshift_url

    url = redshift_url(subject.url)
    if url is None or lacking("clock", "redshift_connector", "redshift"):
        return None
    with opened(url, subject.seconds) as session:
        there = float(session.value("SELECT extract(epoch from getdate())"))
    return there - time.time(), "the warehouse"
