"""All checks at the same time, each with a deadline: what does not answer is told, not waited for.

A check that hangs keeps its thread; whoever is done after that ends the process without waiting for
it (``Examination.is_late``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from ess_dask.catalog.model import Datastore
from ess_dask.dataclass import dataclass
from ess_dask.doctor.clock import check_clock
from ess_dask.doctor.cluster import check_cluster
from ess_dask.doctor.credentials import check_credentials
from ess_dask.doctor.disk import check_disk
from ess_dask.doctor.model import Check, Diagnosis, fail, of_error
from ess_dask.doctor.stores import check_store
from ess_dask.doctor.subject import Question, Subject, look
from ess_dask.doctor.versions import check_versions
from ess_dask.doctor.warehouse import check_warehouse
from ess_dask.errors import EssError

Call = Callable[[], tuple[Check, ...]]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found, and whether a check still hangs."""

    diagnosis: Diagnosis
    is_late: bool


def examine(question: Question) -> Examination:
    """Look at everything that a run needs. Nothing is made, changed or started.

    It takes at most twice ``question.seconds``. Raises nothing for what is wrong: that is what it
    is to find.
    """
    box: list[Subject] = []
    first = _Looking("settings", lambda: _subject(question, box))
    checks, late = first.result(question.seconds)
    if box:
        others = [_Looking(name, call) for name, call in _calls(box[0])]
        until = time.monotonic() + question.seconds
        for each in others:
            found, hangs = each.result(max(0.0, until - time.monotonic()), question.seconds)
            checks, late = (*checks, *found), late or hangs
    return Examination(Diagnosis(checks), late)


def _subject(question: Question, box: list[Subject]) -> tuple[Check, ...]:
    subject, checks = look(question)
    box.append(subject)
    return checks


def _calls(subject: Subject) -> list[tuple[str, Call]]:
    return [
        ("versions", lambda: (check_versions(),)),
        ("disk", lambda: check_disk(subject)),
        ("credentials", lambda: check_credentials(subject)),
        *((f"store {store.label}", partial(_store, store, subject)) for store in subject.stores),
        ("cluster", lambda: (check_cluster(subject),)),
        ("warehouse", lambda: check_warehouse(subject)),
        ("clock", lambda: (check_clock(subject),)),
    ]


def _store(store: Datastore, subject: Subject) -> tuple[Check, ...]:
    return (check_store(store, subject),)


class _Looking:
    """A check in a thread of its own, which does not keep the process alive."""

    def __init__(self, name: str, call: Call) -> None:
        self._name = name
        self._found: tuple[Check, ...] = ()
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Call) -> None:
        try:
            self._found = call()
        except EssError as error:
            self._found = (of_error(self._name, error),)
        except Exception as error:  # one check that breaks must not hide what the others found
            said = " ".join(f"{type(error).__name__}: {error}".split())
            self._found = (fail(self._name, f"the check broke: {said}", "report this"),)

    def result(self, wait: float, limit: float = 0.0) -> tuple[tuple[Check, ...], bool]:
        """Return what was found, and whether it was given up after ``wait`` seconds."""
        self._thread.join(wait)
        if not self._thread.is_alive():
            return self._found, False
        found = f"no answer within {limit or wait:.0f} s"
        advice = "look at the network and at what is named here; --timeout waits longer"
        return (fail(self._name, found, advice, passing=True),), True
