"""What AWS is asked: where a cluster is and how it is, passwords by IAM, secrets.

Nothing is cached: a password by IAM lasts some minutes, and a cluster may be paused at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import AccessError, ConfigError, TransientError
from ess_dask.secret import Secret

PASSWORD_SECONDS = 900
"""Validity of a password by IAM: the shortest there is, as it serves one start of a connection."""

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403"}
_REFUSED = {
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
    "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "AuthFailure",
    "MissingAuthenticationToken", "InvalidAccessKeyId", "RequestExpired", "OptInRequired",
}  # fmt: skip
_UNKNOWN = {"ClusterNotFound", "ClusterNotFoundFault", "ResourceNotFoundException"}
_BUSY = {
    "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException",
    "InternalFailure", "InternalError", "InternalServerException", "InternalServiceError",
    "ServiceUnavailable", "500", "502", "503", "504",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asker:
    """Whom AWS is asked as, and where: a profile of ``~/.aws`` and a region, '' is the usual chain.

    ``patience`` is the longest time in seconds to reach AWS; an answer may take as long again.
    """

    region: str = ""
    profile: str = ""
    patience: float = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a cluster is reached and how it is.

    ``host`` is '' while it has no address yet; ``status`` is AWS's word in lower case.
    """

    host: str
    port: int
    database: str
    status: str


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret of Secrets Manager in AWS's form for Redshift; what it does not say is '' or 0."""

    user: str
    password: Secret
    host: str = ""
    port: int = 0
    database: str = ""
    cluster: str = ""


def find_cluster(identifier: str, asker: Asker) -> Endpoint:
    """Return where a provisioned cluster is (``redshift:DescribeClusters``).

    Raises ``ConfigError`` when there is none, ``AccessError`` naming what is not allowed,
    ``TransientError`` when AWS cannot be reached.
    """
    with _asking("redshift:DescribeClusters", f"cluster {identifier!r}", asker):
        client = _client("redshift", asker)
        found = client.describe_clusters(ClusterIdentifier=identifier)["Clusters"][0]
    place = found.get("Endpoint") or {}
    return Endpoint(
        place.get("Address", ""),
        int(place.get("Port", 0)),
        found.get("DBName", ""),
        found.get("ClusterStatus", "").lower(),
    )


def find_workgroup(name: str, asker: Asker) -> Endpoint:
    """Return where a serverless workgroup is (``redshift-serverless:GetWorkgroup``).

    Its database is not known to the workgroup and stays ''. Raises as ``find_cluster``.
    """
    with _asking("redshift-serverless:GetWorkgroup", f"workgroup {name!r}", asker):
        client = _client("redshift-serverless", asker)
        found = client.get_workgroup(workgroupName=name)["workgroup"]
    place = found.get("endpoint") or {}
    status = found.get("status", "").lower()
    return Endpoint(place.get("address", ""), int(place.get("port", 0)), "", status)


def cluster_credentials(
    identifier: str, user: str, database: str, asker: Asker
) -> tuple[str, Secret]:
    """Return user and password for some minutes (``redshift:GetClusterCredentials``).

    The user exists in the cluster; AWS gives its name back with ``IAM:`` before it. Raises as
    ``find_cluster``.
    """
    with _asking("redshift:GetClusterCredentials", f"cluster {identifier!r}", asker):
        found = _client("redshift", asker).get_cluster_credentials(
            ClusterIdentifier=identifier,
            DbUser=user,
            DbName=database,
            DurationSeconds=PASSWORD_SECONDS,
            AutoCreate=False,
        )
    return found["DbUser"], Secret(found["DbPassword"])


def workgroup_credentials(name: str, database: str, asker: Asker) -> tuple[str, Secret]:
    """Return user and password for some minutes (``redshift-serverless:GetCredentials``).

    The user is the one of the caller's IAM identity. Raises as ``find_cluster``.
    """
    with _asking("redshift-serverless:GetCredentials", f"workgroup {name!r}", asker):
        found = _client("redshift-serverless", asker).get_credentials(
            workgroupName=name, dbName=database, durationSeconds=PASSWORD_SECONDS
        )
    return found["dbUser"], Secret(found["dbPassword"])


def read_secret(name: str, asker: Asker) -> StoredSecret:
    """Return a secret by name or ARN (``secretsmanager:GetSecretValue``).

    An ARN says its region itself. Raises as ``find_cluster``, and ``ConfigError`` for a secret that
    is not in AWS's form for databases.
    """
    if name.startswith("arn:") and not asker.region:
        asker = Asker(name.split(":")[3], asker.profile, asker.patience)
    with _asking("secretsmanager:GetSecretValue", f"secret {name!r}", asker):
        text = _client("secretsmanager", asker).get_secret_value(SecretId=name).get("SecretString")
    try:
        values = json.loads(text or "")
        return StoredSecret(
            str(values["username"]),
            Secret(str(values["password"])),
            str(values.get("host") or ""),
            int(values.get("port") or 0),
            str(values.get("dbname") or values.get("dbName") or ""),
            str(values.get("dbClusterIdentifier") or ""),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError(
            f"secret {name!r} is not in the form of a Redshift secret",
            hint='it must be JSON with "username" and "password", best also "host", "port", '
            '"dbname"',
        ) from None


def _client(service: str, asker: Asker) -> Any:
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=asker.patience,
        read_timeout=asker.patience,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    session = botocore.session.Session(profile=asker.profile or None)
    return session.create_client(service, region_name=asker.region or None, config=config)


@contextmanager
def _asking(action: str, thing: str, asker: Asker) -> Iterator[None]:
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        raise _of_answer(error.response.get("Error", {}), action, thing, asker) from None
    except boto.NoRegionError:
        raise ConfigError(
            f"{thing}: no AWS region is known", hint="add region=..., or set AWS_DEFAULT_REGION"
        ) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError):
        raise AccessError(
            f"{thing}: no AWS credentials were found",
            hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, add profile=..., "
            "or run where a role is attached",
        ) from None
    except (boto.ProfileNotFound, boto.CredentialRetrievalError, boto.TokenRetrievalError,
            boto.SSOError) as error:  # fmt: skip
        raise AccessError(f"{thing}: {error}", hint="check the profile in ~/.aws/config") from None
    except (boto.ParamValidationError, boto.InvalidRegionError) as error:
        raise ConfigError(f"{thing}: {' '.join(str(error).split())}") from None
    except (boto.ConnectionError, boto.HTTPClientError) as error:
        raise TransientError(
            f"{thing}: AWS cannot be reached: {' '.join(str(error).split())}",
            hint="check the network, region and AWS_ENDPOINT_URL, then try again",
        ) from None


def _of_answer(
    answer: dict[str, Any], action: str, thing: str, asker: Asker
) -> AccessError | ConfigError | TransientError:
    code, said = str(answer.get("Code", "")), " ".join(str(answer.get("Message", "")).split())
    if code in _DENIED:
        return AccessError(f"{thing}: {action} is not allowed", hint=f"allow {action} in IAM")
    if code in _REFUSED:
        return AccessError(
            f"{thing}: the AWS credentials were refused ({code})",
            hint="check keys, profile, region and clock; log in again if they have expired",
        )
    if code in _UNKNOWN:
        place = f"region {asker.region}" if asker.region else "this region"
        return ConfigError(
            f"{thing} does not exist in {place}", hint="check the name, region= and the account"
        )
    if code in _BUSY:
        return TransientError(f"{thing}: AWS answered {code}", hint="try again")
    return ConfigError(f"{thing}: AWS answered {code}: {said}")
