"""What AWS answers, as errors of ours: what was asked for, what is missing, what to do next."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ess_dask.errors import AccessError, ConfigError, EssError, TransientError, UsageError
from ess_dask.retry import retrying

T = TypeVar("T")

_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "Forbidden", "403"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_REFUSED = {
    "AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
    "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken",
    "InvalidAccessKeyId", "OptInRequired", "Blocked", "PendingVerification",
}  # fmt: skip
THROTTLED = {
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException",
}  # fmt: skip
"""What AWS answers to whoever asks too often."""

_BUSY = {
    *THROTTLED, "InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable",
    "ConcurrentTagAccess", "ResourceCountExceeded", "500", "502", "503", "504",
}  # fmt: skip
_UNSETTLED = {"IncorrectInstanceState", "IncorrectState", "IncorrectSpotRequestState"}
"""What AWS answers while something is still on its way from one state to another."""

_TRIES = 8

_QUOTA = {
    "VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded",
    "SecurityGroupLimitExceeded", "VolumeLimitExceeded", "AddressLimitExceeded",
    "RulesPerSecurityGroupLimitExceeded", "InsufficientFreeAddressesInSubnet",
}  # fmt: skip
_CAPACITY = {
    "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity",
    "InsufficientReservedInstanceCapacity", "SpotMaxPriceTooLow",
}  # fmt: skip

_SETTINGS = {
    "InvalidInstanceType": ("the instance type", "--type, such as m7i.xlarge"),
    "InvalidAMIID": ("the machine image", "--ami; an AMI belongs to one region"),
    "InvalidSubnetID": ("the subnet", "the setting subnet; a subnet belongs to one region"),
    "InvalidVpcID": ("the VPC", "the setting subnet"),
    "InvalidInstanceID": ("an instance", "the ids: ess cluster status"),
    "InvalidIamInstanceProfile": ("the instance profile", "the setting instance_profile"),
}
"""The first part of a code: (what is wrong, what to check)."""


class UnsettledError(TransientError):
    """What is to be changed is not yet in a state that allows it."""


@contextmanager
def asking(action: str, thing: str) -> Iterator[None]:
    """Tell whatever AWS answers to ``action`` (``ec2:RunInstances``) about ``thing``.

    Raises ``AccessError`` (3), ``ConfigError`` (2) or ``TransientError`` (1) in its place.
    """
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (boto.BotoCoreError, boto.ClientError, ResponseParserError) as error:
        raise told(error, action, thing) from None


def settled(action: str, thing: str, call: Callable[..., T], **given: Any) -> T:
    """Return ``call(**given)``, which changes something; it waits while AWS finds it too early.

    Raises as ``asking`` does. Where AWS is busy its own client has tried again before.
    """

    def once() -> T:
        with asking(action, thing):
            return call(**given)

    return retrying(UnsettledError, once, logging.INFO, attempts=_TRIES, timeout=None)


def told(error: Exception, action: str, thing: str) -> EssError:
    """Return the error of ours for one of botocore's."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, boto.ClientError):
        return _of_answer(error.response.get("Error", {}), _asked(error, action), thing)
    if isinstance(error, boto.NoRegionError):
        return no_region()
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return AccessError(
            f"{thing}: no AWS credentials were found",
            hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give "
            "--credentials FILE.csv or --aws_profile NAME to ess cluster create or status: it is "
            "kept for the other commands",
        )
    said = " ".join(str(error).split())
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError):
        return TransientError(
            f"{thing}: AWS cannot be reached: {said}",
            hint="check the network, the region's name and AWS_ENDPOINT_URL, then try again",
        )
    if isinstance(error, ResponseParserError):
        return TransientError(
            f"{thing}: what answers does so not as AWS does",
            hint="check AWS_ENDPOINT_URL, the region's name and whether a proxy is in between",
        )
    if isinstance(error, boto.TokenRetrievalError | boto.SSOError | boto.CredentialRetrievalError):
        return AccessError(f"{thing}: {said}", hint="log in again: aws sso login")
    if isinstance(error, boto.ProfileNotFound):
        return AccessError(
            f"{thing}: {said}",
            hint="check ~/.aws/config, or give another one: ess cluster status --aws_profile NAME",
        )
    return ConfigError(f"{thing}: {said}", hint="check region, profile and settings")


def ended(instance_id: str, state: str) -> TransientError:
    """Return the error of a machine that went away while it was waited for."""
    return TransientError(
        f"machine {instance_id} is {state}: its software could not be started, or AWS took it",
        hint="what it printed: EC2 console, Get system log; has its subnet a way to the package "
        "index and to the docker registry?",
    )


def no_region() -> ConfigError:
    """Return the error of a region that nobody named."""
    return ConfigError(
        "no AWS region is known",
        hint="give --region R, or set ESS_REGION or AWS_DEFAULT_REGION",
    )


def _asked(error: Any, action: str) -> str:
    """Return the action that was refused: what was really called, in IAM's words."""
    service, _, name = action.partition(":")
    called = str(getattr(error, "operation_name", "") or name)
    said = str(error.response.get("Error", {}).get("Message", ""))
    # AWS names it, and it may be another than the one called (iam:PassRole of RunInstances).
    named = re.search(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)", said)
    return named[1] if named else f"{service}:{called}"


def _of_answer(answer: dict[str, Any], action: str, thing: str) -> EssError:
    code, said = str(answer.get("Code", "")), " ".join(str(answer.get("Message", "")).split())
    if code in _DENIED:
        return AccessError(
            f"{thing}: {action} is not allowed",
            hint=f"allow {action} in IAM; the whole policy is in docs/how-to/ec2.md",
        )
    if code in _EXPIRED:
        return AccessError(
            f"{thing}: the AWS credentials have expired", hint="log in again, or renew the keys"
        )
    if code in _REFUSED:
        return AccessError(
            f"{thing}: the AWS credentials were refused ({code})",
            hint="check keys, profile and the clock of this machine",
        )
    if code in _QUOTA:
        return AccessError(
            f"{thing}: a quota of the account is used up ({code}): {said}",
            hint="fewer or smaller machines (--number, --type), or ask AWS for a higher quota",
        )
    if code in _CAPACITY:
        return TransientError(
            f"{thing}: AWS has no capacity ({code})",
            hint="try again later, another --type or subnet, or without --spot",
        )
    if code in _BUSY | _UNSETTLED:
        kind = UnsettledError if code in _UNSETTLED else TransientError
        return kind(f"{thing}: AWS answered {code}: {said}", hint="try again")
    return _of_settings(code, said, thing)


def _of_settings(code: str, said: str, thing: str) -> EssError:
    wrong = _SETTINGS.get(code.partition(".")[0])
    if code == "InvalidParameterValue" and "InstanceType" in said:
        wrong = _SETTINGS["InvalidInstanceType"]
    if wrong:
        return ConfigError(f"{thing}: {wrong[0]} does not exist: {said}", hint=f"check {wrong[1]}")
    return UsageError(f"{thing}: AWS answered {code}: {said}", hint="see: ess cluster status")
