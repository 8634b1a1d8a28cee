"""Faults that a test asks for: errors, delays, and instances that take their time."""

from __future__ import annotations

import threading
import time
from dataclasses import field

from ess_dask.dataclass import dataclass
from ess_dask.testing.ec2.requests import Refusal, Request

_STATUS = {
    "UnauthorizedOperation": 403,
    "AuthFailure": 401,
    "RequestLimitExceeded": 503,
    "InsufficientInstanceCapacity": 500,
    "ExpiredToken": 403,
    "AccessDenied": 403,
    "InternalError": 500,
    "Unavailable": 503,
}

_MESSAGES = {
    "UnauthorizedOperation": "You are not authorized to perform this operation. User: "
    "arn:aws:iam::123456789012:user/standin is not authorized to perform: {service}:{action} on "
    "resource: * because no identity-based policy allows the {service}:{action} action.",
    "InsufficientInstanceCapacity": "We currently do not have sufficient {type} capacity in the "
    "Availability Zone you requested. Our system will be working on provisioning additional "
    "capacity.",
    "VcpuLimitExceeded": "You have requested more vCPU capacity than your current vCPU limit of 32 "
    "allows for the instance bucket that the specified instance type belongs to.",
    "MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
    "RequestLimitExceeded": "Request limit exceeded.",
    "RequestExpired": "Request has expired.",
    "ExpiredToken": "The security token included in the request is expired",
    "AuthFailure": "AWS was not able to validate the provided access credentials",
}


@dataclass(slots=True)
class _Failure:
    code: str
    message: str
    times: int


@dataclass(slots=True)
class Faults:
    """What goes wrong on purpose; ``clear`` makes all well again. Any thread may call."""

    pending_seconds: float = 0.0
    minute_seconds: float = 60.0
    powered: bool = True
    _failures: dict[str, list[_Failure]] = field(default_factory=dict)
    _delays: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, action: str, code: str, message: str = "", times: int = 1) -> None:
        """Answer the next ``times`` calls of an action with this error; below 0: always.

        Without a message it is the one that AWS gives with this code, where that is known.
        """
        with self._lock:
            self._failures.setdefault(action, []).append(_Failure(code, message, times))

    def delay(self, action: str, seconds: float) -> None:
        """Let every call of an action wait before it is answered."""
        self._delays[action] = seconds

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._failures.clear()
            self._delays.clear()
            self.pending_seconds, self.minute_seconds, self.powered = 0.0, 60.0, True

    def meet(self, request: Request) -> Refusal | None:
        """Wait as long as this request has to; return the error that it gets, if any."""
        time.sleep(self._delays.get(request.action, 0.0))
        with self._lock:
            waiting = self._failures.get(request.action, [])
            if not waiting:
                return None
            failure = waiting[0]
            failure.times -= 1
            if failure.times == 0:
                waiting.pop(0)
        return Refusal(
            failure.code,
            failure.message or _usual(failure.code, request),
            _STATUS.get(failure.code, 400),
        )


def _usual(code: str, request: Request) -> str:
    names = {"service": request.service, "action": request.action}
    kind = request.parameters.get("InstanceType", "m5.large")
    return _MESSAGES.get(code, "The stand-in was asked to fail {action}.").format(
        **names, type=kind
    )
