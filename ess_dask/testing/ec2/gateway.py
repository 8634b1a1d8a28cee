"""The door of the stand-in: every request of a client passes here on its way to moto.

It keeps a record, meets the faults that a test asked for, refuses what EC2 refuses, knows client
tokens, and tells the machines when something changed.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.testing.ec2 import corrections, moto_state
from ess_dask.testing.ec2.faults import Faults
from ess_dask.testing.ec2.refusals import refused, wrong_key
from ess_dask.testing.ec2.requests import Refusal, Request, encoded, put_body, read_request, worded

_CHANGING = {"RunInstances", "StartInstances", "StopInstances", "TerminateInstances"}

_ABSENT = {"pricing"}
"""Services that moto lacks and that a client of EC2 asks."""

_Answer = tuple[str, list[tuple[str, str]], bytes]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came, and the HTTP status of its answer; no keys or signatures."""

    service: str
    region: str
    action: str
    parameters: dict[str, str]
    status: int
    code: str = ""


@dataclass(slots=True)
class Gateway:
    """A WSGI application round moto's; ``changed`` and ``reboot`` are called with the lock held."""

    issued_key: str
    faults: Faults
    lock: threading.RLock
    changed: Callable[[], None]
    reboot: Callable[[list[str]], None]
    seen: list[Seen] = field(default_factory=list)
    _moto: Any = field(default_factory=moto_state.application)
    _tokens: dict[str, tuple[str, _Answer]] = field(default_factory=dict)

    def reset(self) -> None:
        """Forget requests, tokens and faults."""
        self.seen.clear()
        self._tokens.clear()
        self.faults.clear()

    def warm_up(self, region: str) -> None:
        """Have moto ready for its first request to EC2; others wait."""
        with self.lock:
            moto_state.warm_up(self._moto, region)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        request = read_request(environ)
        refusal = self.faults.meet(request) or wrong_key(request, self.issued_key)
        if refusal:
            return self._refuse(request, refusal, start_response)
        if request.service != "ec2":
            return self._pass_on(request, environ, start_response)
        with self.lock:
            return self._answer_ec2(request, environ, start_response)

    def _answer_ec2(
        self, request: Request, environ: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        again = self._answered_before(request)
        if again is None and (refusal := refused(request)):
            again = refusal
        if isinstance(again, Refusal):
            return self._refuse(request, again, start_response)
        answer = again or self._ask_moto(request, environ)
        self._note(request, int(answer[0].split()[0]))
        if again is None and answer[0].startswith("200"):
            self._done(request, answer)
        start_response(answer[0], answer[1])
        return [answer[2]]

    def _done(self, request: Request, answer: _Answer) -> None:
        """Follow up what moto has taken."""
        if request.action == "RunInstances":
            if token := request.parameters.get("ClientToken"):
                self._tokens[token] = (_digest(request), answer)
            corrections.after(request)
        if request.action in _CHANGING:
            self.changed()
        if request.action == "RebootInstances":
            self.reboot(request.listed("InstanceId"))

    def _answered_before(self, request: Request) -> _Answer | Refusal | None:
        token = request.parameters.get("ClientToken", "")
        if request.action != "RunInstances" or token not in self._tokens:
            return None
        digest, answer = self._tokens[token]
        if digest == _digest(request):
            return answer
        return Refusal(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous "
            "request(s).",
        )

    def _ask_moto(self, request: Request, environ: dict[str, Any]) -> _Answer:
        if (asked := corrections.before(request)) != request:
            put_body(environ, encoded(asked.parameters))
        started: list[Any] = []
        body = b"".join(self._moto(environ, lambda *given: started.extend(given[:2])))
        return started[0], started[1], body

    def _pass_on(
        self, request: Request, environ: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        if request.service in _ABSENT:
            text = f"The stand-in does not know the service {request.service}."
            return self._refuse(request, Refusal("UnknownOperationException", text), start_response)

        def noting(status: str, *more: Any) -> Any:
            self._note(request, int(status.split()[0]))
            return start_response(status, *more)

        return self._moto(environ, noting)  # type: ignore[no-any-return]

    def _refuse(self, request: Request, refusal: Refusal, start_response: Any) -> Iterable[bytes]:
        self._note(request, refusal.status, refusal.code)
        kind, body = worded(refusal, request.service)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start_response(f"{refusal.status} Refused", headers)
        return [body]

    def _note(self, request: Request, status: int, code: str = "") -> None:
        if request.action:
            parts = (request.service, request.region, request.action, request.parameters)
            self.seen.append(Seen(*parts, status, code))


def _digest(request: Request) -> str:
    text = json.dumps(request.parameters, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
