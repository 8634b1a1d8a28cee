"""What EC2 refuses and moto takes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from ess_dask.testing.ec2 import moto_state
from ess_dask.testing.ec2.requests import Refusal, Request

USER_DATA_BYTES = 16_384

_KEY_REFUSED = {
    "ec2": ("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
    "s3": ("InvalidAccessKeyId", "The AWS Access Key Id does not exist in our records.", 403),
    "sts": ("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
    "iam": ("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
}  # fmt: skip


def wrong_key(request: Request, issued: str) -> Refusal | None:
    """Refuse a signed request whose key is not the issued one, and not one of IAM or STS."""
    known = request.access_key in {"", issued}
    if known or not request.service or moto_state.knows_key(request.access_key):
        return None
    other = (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        400,
    )
    return Refusal(*_KEY_REFUSED.get(request.service, other))


def refused(request: Request) -> Refusal | None:
    """Return the error of a request that EC2 does not take, or None."""
    check = _CHECKS.get(request.action)
    return check(request) if check else None


def _run(request: Request) -> Refusal | None:
    try:
        data = base64.b64decode(request.parameters.get("UserData", ""))
    except binascii.Error:
        return Refusal("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
    if len(data) > USER_DATA_BYTES:
        message = f"User data is limited to {USER_DATA_BYTES} bytes"
        return Refusal("InvalidParameterValue", message)
    kind = request.parameters.get("InstanceType")
    if kind and kind not in moto_state.instance_types(request.region):
        return Refusal("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
    return None


def _stop(request: Request) -> Refusal | None:
    for instance in _named(request):
        if instance.state in {"pending", "shutting-down", "terminated"}:
            return _wrong_state(instance, "stopped")
        if instance.lifecycle == "spot" and not getattr(instance, "ess_persistent", False):
            return Refusal(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{instance.id}' because it is associated with "
                "a one-time Spot Instance request. You can only stop Spot Instances associated "
                "with persistent Spot Instance requests.",
            )
    return None


def _start(request: Request) -> Refusal | None:
    for instance in _named(request):
        if instance.state in {"stopping", "shutting-down", "terminated"}:
            return _wrong_state(instance, "started")
    return None


def _reboot(request: Request) -> Refusal | None:
    for instance in _named(request):
        if instance.state != "running":
            return _wrong_state(instance, "rebooted")
    return None


def _delete_group(request: Request) -> Refusal | None:
    group = request.parameters.get("GroupId", "")
    for instance in moto_state.instances():
        groups = {found.id for found in instance.security_groups}
        if instance.state != "terminated" and group in groups:
            return Refusal("DependencyViolation", f"resource {group} has a dependent object")
    return None


def _named(request: Request) -> list[Any]:
    wanted = set(request.listed("InstanceId"))
    return [instance for instance in moto_state.instances() if instance.id in wanted]


def _wrong_state(instance: Any, verb: str) -> Refusal:
    message = f"The instance '{instance.id}' is not in a state from which it can be {verb}."
    return Refusal("IncorrectInstanceState", message)


_CHECKS: dict[str, Callable[[Request], Refusal | None]] = {
    "RunInstances": _run,
    "StopInstances": _stop,
    "StartInstances": _start,
    "RebootInstances": _reboot,
    "DeleteSecurityGroup": _delete_group,
}
