"""What S3 and the network said, as errors of the product: transient, denied, gone, replaced."""

from __future__ import annotations

from ess_dask.catalog.local import changed
from ess_dask.errors import AccessError, EssError, ReadError, TransientError, UsageError
from ess_dask.redact import redact

_DENIED = {"AccessDenied", "403", "AllAccessDisabled", "AccountProblem", "NotSignedUp", "Forbidden"}
_REFUSED = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "InvalidClientTokenId", "AuthFailure", "TokenRefreshRequired", "RequestTimeTooSkewed",
    "InvalidSecurity", "AuthorizationHeaderMalformed", "CredentialsNotSupported",
}  # fmt: skip
_REPLACED = {"PreconditionFailed", "412", "InvalidRange", "416"}
_ELSEWHERE = {"PermanentRedirect", "301", "IllegalLocationConstraintException", "Redirect", "307"}
_BUSY = {
    "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "OperationAborted",
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException",
    "429", "500", "502", "503", "504",
}  # fmt: skip


def explain(
    error: BaseException, action: str, uri: str, endpoint: str, elapsed: float
) -> EssError | BaseException:
    """Return the error to raise for what a request ended with.

    ``action`` is the permission it needed; ``elapsed`` the seconds since its first attempt. An
    error that is ours, or that no service can be blamed for, comes back as it is.
    """
    if isinstance(error, EssError):
        return error
    code = _code(error)
    if code:
        return of_code(code, action, uri, endpoint, elapsed)
    return _of_client(error, uri, endpoint, elapsed)


def _code(error: BaseException) -> str:
    """Return the service's error code: s3fs hides the answer in the cause of its own error."""
    for candidate in (error, error.__cause__):
        response = getattr(candidate, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def of_code(code: str, action: str, uri: str, endpoint: str, elapsed: float) -> EssError:
    """Return the error to raise for a code of the service; arguments as of ``explain``."""
    bucket = uri.removeprefix("s3://").partition("/")[0]
    if code in _DENIED:
        return AccessError(
            f"{uri}: access denied, {action} on bucket {bucket} is not allowed",
            hint=f"allow {action}, or select the datastore with other --credentials",
        )
    if code in _REFUSED:
        return AccessError(
            f"{uri}: the credentials were refused ({code})",
            hint="check the credentials file or profile, the region and the clock",
        )
    if code == "NoSuchBucket":
        return AccessError(
            f"bucket {bucket} does not exist", hint="check the name and the endpoint"
        )
    if code in _ELSEWHERE:
        return AccessError(
            f"bucket {bucket} lies in another region ({code})", hint="select it with --region"
        )
    if code in _BUSY:
        return _transient(f"S3 answered {code}", uri, endpoint, elapsed)
    return _of_object(code, uri)


def _of_object(code: str, uri: str) -> EssError:
    if code in _REPLACED:
        return changed(uri)
    if code in {"NoSuchKey", "404", "NoSuchVersion"}:
        return ReadError(
            f"{uri} vanished after it was listed", hint="run again, or put the file back"
        )
    if code == "InvalidObjectState":
        return ReadError(f"{uri} is archived (Glacier)", hint="restore it first, or --exclude it")
    return ReadError(f"{uri}: S3 answered {code}")


def _of_client(
    error: BaseException, uri: str, endpoint: str, elapsed: float
) -> EssError | BaseException:
    """Explain an error that is no answer of S3: credentials, arguments, network."""
    from botocore import exceptions as boto

    if isinstance(error, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        return AccessError(
            f"{uri}: no credentials were found",
            hint="select the datastore with --credentials FILE.csv, or set AWS_PROFILE",
        )
    if isinstance(error, (boto.ProfileNotFound, boto.CredentialRetrievalError)):
        return AccessError(f"{uri}: {_one_line(error)}", hint="check the profile in ~/.aws/config")
    if isinstance(error, (boto.ParamValidationError, boto.InvalidRegionError, ValueError)):
        return UsageError(f"{uri}: {_one_line(error)}")
    if isinstance(error, boto.EndpointProviderError):
        return UsageError(
            f"{uri}: {_one_line(error)}", hint="check AWS_ENDPOINT_URL and the region"
        )
    if _is_network(error):
        return _transient(_one_line(error), uri, endpoint, elapsed)
    if isinstance(error, boto.BotoCoreError):
        return AccessError(
            f"{uri}: {_one_line(error)}", hint="check ~/.aws/config and the variables AWS_*"
        )
    return error


def is_unreachable(error: BaseException) -> bool:
    """Say whether no connection was made: nobody listens there, or there is no such host."""
    from botocore import exceptions as boto

    kinds = (boto.EndpointConnectionError, boto.ConnectTimeoutError)
    return any(isinstance(each, kinds) for each in (error, error.__cause__))


def _is_network(error: BaseException) -> bool:
    from aiohttp import ClientError
    from botocore import exceptions as boto
    from fsspec.exceptions import FSTimeoutError

    broken = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)
    return isinstance(error, (*broken, ClientError, FSTimeoutError, OSError))


def _transient(what: str, uri: str, endpoint: str, elapsed: float) -> TransientError:
    return TransientError(
        f"{uri}: {what} ({redact(endpoint) or 'AWS'}, {elapsed:.1f} s)",
        hint="try again; check the network and AWS_ENDPOINT_URL",
    )


def _one_line(error: BaseException) -> str:
    return redact(" ".join(str(error).split())) or type(error).__name__
