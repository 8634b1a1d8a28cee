"""What Redshift, its driver and the network said, as errors of the product.

By SQLSTATE and type first; by text only where Redshift gives one code (``XX000``) to everything.
No message holds a secret: what the server wrote is redacted.
"""

from __future__ import annotations

import struct
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLCertVerificationError

from ess_dask.dataclass import dataclass
from ess_dask.errors import (
    AccessError,
    ConfigError,
    DataError,
    EssError,
    LockedError,
    TransientError,
)
from ess_dask.redact import redact

_DRIVER = "redshift_connector"


class ConflictRetryError(TransientError):
    """Another transaction was in the way (1023, 40001, 40P01): the whole one may be tried again."""


class PausedError(TransientError):
    """The cluster is paused: trying again helps when somebody has resumed it, not before."""


class LostConnectionError(TransientError):
    """The connection was refused or broke. Whether a commit on its way was done is not known."""


@dataclass(frozen=True, slots=True)
class _Said:
    """An error of the server: SQLSTATE, message, and the detail behind it, each in one line."""

    code: str
    message: str
    detail: str

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail and self.detail not in self.message else ""
        return f"{redact(self.message + detail)} ({self.code})"

    def holds(self, *words: str) -> bool:
        """Whether any of these words stands in message or detail, in any case."""
        text = f"{self.message} {self.detail}".lower()
        return any(word in text for word in words)


def translate(error: BaseException, what: str = "") -> EssError | BaseException:
    """Return the error to raise for one of the driver, the server or the network.

    ``what`` names what was tried and begins the message. An error that is ours, or that none of the
    three can be blamed for, comes back as it is.
    """
    if isinstance(error, EssError):
        return error
    start = f"{what}: " if what else ""
    said = _said(error)
    if said:
        return _of_server(said, start)
    if _is_driver_error(error) or isinstance(error, OSError):
        return _of_driver(error, start)
    return _of_answer(error, start) or error


@contextmanager
def translating(what: str = "") -> Iterator[None]:
    """Raise errors of the driver and the network as ours; ``what`` names what is being tried."""
    try:
        yield
    except Exception as error:
        translated = translate(error, what)
        if translated is error:
            raise
        raise translated from None


def _said(error: BaseException) -> _Said | None:
    """Return what the server said: the driver puts its fields into the first argument."""
    fields = error.args[0] if error.args else None
    if not _is_driver_error(error) or not isinstance(fields, dict):
        return None
    return _Said(*(_one_line(str(fields.get(key, ""))) for key in ("C", "M", "D")))


def _is_driver_error(error: BaseException) -> bool:
    bases = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    return (_DRIVER, "Error") in bases


def _of_answer(error: BaseException, start: str) -> EssError | None:
    """Explain what the driver stumbles over: it takes an answer that was cut for a whole one."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    inside = [str(frame.f_globals.get("__name__")).startswith(_DRIVER) for frame in frames]
    if isinstance(error, (struct.error, IndexError, KeyError)) and inside[-1:] == [True]:
        return _lost(f"{start}the connection broke in the middle of an answer")
    starting = any(
        yes and frame.f_code.co_name == "__init__"
        for frame, yes in zip(frames, inside, strict=True)
    )
    if isinstance(error, ValueError) and starting:
        said = redact(_one_line(str(error)))
        return _lost(f"{start}the answer is cut off, or not one of Redshift: {said}")
    return None


def _of_server(said: _Said, start: str) -> EssError:
    return (
        _passing(said, start)
        or _refused(said, start)
        or DataError(f"{start}{said}", hint=_HINTS.get(said.code, ""))
    )


_CONFLICTS = (
    "serializable isolation violation",
    "conflict with concurrent transaction",
    "could not open relation with oid",
)
"""Another transaction changed, or replaced, what this one looked at; the code is XX000."""


def _passing(said: _Said, start: str) -> EssError | None:
    """What may pass: conflicts, locks, a server that goes away or has no room."""
    if said.code in ("40001", "40P01") or said.holds(*_CONFLICTS):
        return ConflictRetryError(
            f"{start}another transaction changed the same tables: {said}", hint="try again"
        )
    if said.code in ("57014", "55P03") or said.holds("on user's request"):
        return LockedError(
            f"{start}cancelled while it waited: {said}",
            hint="another session holds the table (select * from svv_transactions where"
            " lockable_object_type = 'relation'), or a time limit of the server is too short",
        )
    if said.holds("cluster is paused"):
        return paused(f"{start}{said}", "")
    if said.holds("cluster is resizing", "clusterunavailable"):
        return TransientError(f"{start}{said}", hint="try again when it is available")
    if said.code[:2] == "08" or said.code in ("57P01", "57P02", "57P03"):
        return _lost(f"{start}{said}")
    if said.code in ("53300", "58030") or said.holds("slowdown", "status 503", "status 500"):
        return TransientError(f"{start}{said}", hint="try again later")
    return None


def _refused(said: _Said, start: str) -> AccessError | None:
    if said.holds("not authorized to assume", "not authorized to get credentials of role"):
        return AccessError(
            f"{start}the cluster may not use the role (sts:AssumeRole): {said}",
            hint="attach the role to the cluster, and let redshift.amazonaws.com assume it",
        )
    if said.holds("iam:passrole"):
        return AccessError(f"{start}{said}", hint="allow iam:PassRole on the role")
    if said.holds("error accessdenied", "access denied", "status 403"):
        action = "s3:PutObject" if said.holds("unload") else "s3:GetObject"
        return AccessError(
            f"{start}the role may not use the bucket ({action}): {said}",
            hint=f"allow {action} and s3:ListBucket on the stage to the role of iam_role=",
        )
    if said.code[:2] == "28":
        return AccessError(
            f"{start}user or password was refused: {said}",
            hint="check user and password; a password by IAM is valid for 15 minutes",
        )
    if said.code == "42501":
        hint = _OWNED if said.holds("owner of") else "grant it to this user"
        return AccessError(f"{start}{said}", hint=hint)
    return None


_OWNED = "only its owner changes a table's columns: load as that user, or ALTER TABLE ... OWNER TO"
_HINTS = {
    "42P01": "check the name and the schema; the table may be in another database",
    "3D000": "check the database behind the host in the URL",
    "3F000": "create the schema, or give another one",
    "42703": "check the names of the columns",
    "42601": "check the statement",
    "53100": "free space in the cluster, or resize it",
}


def _of_driver(error: BaseException, start: str) -> EssError:
    inner = next((each for each in (error, *error.args) if isinstance(each, OSError)), error)
    text = _one_line(str(error.args[0] if error.args else error))
    if isinstance(inner, SSLCertVerificationError):
        return AccessError(
            f"{start}the server's certificate is not trusted: {inner.verify_message}",
            hint="name the host as the certificate does (or sslmode=verify-ca); SSL_CERT_FILE"
            " names a file of further authorities",
        )
    if "refuses SSL" in text:
        return ConfigError(
            f"{start}the server does not speak TLS", hint="ssl=false connects without it"
        )
    if "no password was provided" in text or "uthentication method" in text:
        return AccessError(f"{start}{redact(text)}", hint="give a password, or use IAM")
    if isinstance(inner, TimeoutError) or "time out" in text:
        return _lost(f"{start}no answer in time")
    if isinstance(inner, OSError):
        return _lost(f"{start}{redact(inner.strerror or _one_line(str(inner)) or repr(inner))}")
    if type(error).__name__ == "InterfaceError":
        return _lost(f"{start}{redact(text.partition('. ')[0])}")
    return DataError(f"{start}{redact(text)}")


def paused(message: str, cluster: str) -> PausedError:
    """Return the error for a cluster that is paused."""
    name = cluster or "CLUSTER"
    return PausedError(
        message, hint=f"if it is paused: aws redshift resume-cluster --cluster-identifier {name}"
    )


def _lost(message: str) -> LostConnectionError:
    return LostConnectionError(
        message, hint="try again; check host, port, network and security group"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
