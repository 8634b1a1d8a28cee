"""From the end of a command to what Airflow is told: report, reason, kind of failure."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ess_dask.airflow.process import Ended

LISTED = 10
"""Failed files and reasons that go into XCom; the report on disk has them all."""

TEXT_LIMIT = 500
"""Characters of an error in XCom."""

LOCKED = 75
INTERRUPTED = 130

_SAID = re.compile(r"(?:ess|Error): ?(.*)")


class Kind(Enum):
    """What a task does about the end of its run."""

    DONE = "done"
    AGAIN = "again"
    LOCKED = "locked"
    INTERRUPTED = "interrupted"
    HOPELESS = "hopeless"


def kind_of(code: int) -> Kind:
    """Return what an exit code of ``ess`` means for a scheduler."""
    if code in (2, 3, 4, 127):
        return Kind.HOPELESS
    return {0: Kind.DONE, LOCKED: Kind.LOCKED, INTERRUPTED: Kind.INTERRUPTED}.get(code, Kind.AGAIN)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. ``report`` is its account, {} when it ended before it had one."""

    code: int
    message: str
    report: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        """What a task does about it."""
        return kind_of(self.code)

    def summary(self) -> dict[str, Any]:
        """Return the report as small JSON values: long lists are cut, with their lengths."""
        small = dict(self.report)
        failed = small.get("failed") or []
        small["failed"] = [
            {key: _short(str(value)) for key, value in each.items()} for each in failed[:LISTED]
        ]
        small["failed_files"] = len(failed)
        small["reasons"] = dict(list((small.get("reasons") or {}).items())[:LISTED])
        small["exit_code"] = self.code
        return small


def outcome_of(ended: Ended) -> Outcome:
    """Read a run's end: the report from stdout, the reason from it or from stderr."""
    printed = read_json(ended.output)
    report = printed if isinstance(printed, dict) else {}
    return Outcome(ended.code, _reason(ended, report), report)


def read_json(output: str) -> Any:
    """Return what was printed as JSON, None when it is none."""
    try:
        return json.loads(output)
    except ValueError:
        return None


def _reason(ended: Ended, report: Mapping[str, Any]) -> str:
    if ended.code == 0:
        return ""
    if report:
        return _of_report(ended.code, report)
    if said := said_last(ended.tail):
        return f"ess ended with exit code {ended.code}: {said}"
    if 128 < ended.code < 128 + signal.NSIG and ended.code != INTERRUPTED:
        return f"ess was ended by {_signal(ended.code - 128)}\n  hint: out of memory, perhaps"
    last = "\n".join(ended.tail[-5:])
    return f"ess ended with exit code {ended.code}{':' * bool(last)}\n{last}".rstrip()


def said_last(tail: tuple[str, ...]) -> str:
    """Return the last error with its hint among the lines of stderr, '' when there is none."""
    for number in range(len(tail) - 1, -1, -1):
        if match := _SAID.fullmatch(tail[number]):
            return "\n".join((match[1], *tail[number + 1 :]))
    return ""


def _of_report(code: int, report: Mapping[str, Any]) -> str:
    lines = [f"{report.get('pipeline')}: {report.get('state')} (exit code {code})"]
    failed = report.get("failed") or []
    lines += [f"  {each.get('uri')}: {_short(str(each.get('error')))}" for each in failed[:LISTED]]
    if len(failed) > LISTED:
        lines.append(f"  ... and {len(failed) - LISTED} more")
    if code == INTERRUPTED:
        lines.append("  hint: a retry goes on where it was; what is done is not done twice")
    return "\n".join(lines)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _short(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]} ..."
