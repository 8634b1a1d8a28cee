"""Faults that a test scripts: connections cut, and errors, at chosen statements of clients."""

from __future__ import annotations

import re
import threading
from dataclasses import field
from typing import Literal

from ess_dask.dataclass import dataclass

Kind = Literal["cut_before", "cut_after", "fail"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a statement: the connection is cut, or an error is the answer."""

    kind: Kind
    code: str = ""
    message: str = ""


@dataclass
class _Rule:
    fault: Fault
    number: int = 0
    pattern: re.Pattern[str] | None = None
    left: int = 1

    def meets(self, number: int, sql: str) -> bool:
        if self.pattern is not None:
            return self.pattern.search(sql) is not None
        return number == self.number


@dataclass
class Faults:
    """Counts the statements of all clients and breaks those that rules name.

    Statements are numbered from 1, in the order in which they come, since the start or the last
    ``clear``; every execution is one. Each rule is used once, or as often as its ``count`` says.
    """

    seen: list[str] = field(default_factory=list)
    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def clear(self) -> None:
        """Forget all rules and all statements seen."""
        with self._lock:
            self.seen.clear()
            self._rules.clear()

    def cut_before(self, n: int) -> None:
        """Cut the connection when the n-th statement comes: it is not run."""
        self._add(_Rule(Fault("cut_before"), number=n))

    def cut_after(self, n: int) -> None:
        """Run the n-th statement, then lose its answer and cut the connection."""
        self._add(_Rule(Fault("cut_after"), number=n))

    def fail(self, n: int, code: str, message: str) -> None:
        """Answer the n-th statement with an error; it is not run."""
        self._add(_Rule(Fault("fail", code, message), number=n))

    def cut_before_matching(self, regex: str, count: int = 1) -> None:
        """Cut the connection when a statement comes in which the pattern is found."""
        self._add(_Rule(Fault("cut_before"), pattern=_pattern(regex), left=count))

    def cut_after_matching(self, regex: str, count: int = 1) -> None:
        """Run a statement in which the pattern is found, then lose answer and connection."""
        self._add(_Rule(Fault("cut_after"), pattern=_pattern(regex), left=count))

    def fail_matching(self, regex: str, code: str, message: str, count: int = 1) -> None:
        """Answer a statement in which the pattern is found with an error; it is not run."""
        self._add(_Rule(Fault("fail", code, message), pattern=_pattern(regex), left=count))

    def statement(self, sql: str) -> Fault | None:
        """Count a statement; return what is to happen to it."""
        with self._lock:
            self.seen.append(sql)
            for rule in self._rules:
                if rule.meets(len(self.seen), sql):
                    rule.left -= 1
                    if not rule.left:
                        self._rules.remove(rule)
                    return rule.fault
        return None

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)


def _pattern(regex: str) -> re.Pattern[str]:
    return re.compile(regex, re.IGNORECASE | re.DOTALL)
