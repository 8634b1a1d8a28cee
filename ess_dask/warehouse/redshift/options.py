"""The options behind the ``?`` of a Redshift URL: their names, their values, what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import FieldError, as_seconds, as_truth, as_whole, did_you_mean
from ess_dask.documents.yaml import Scalar
from ess_dask.errors import ConfigError

_STAGE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/.*)?", re.DOTALL)
_ROLE = r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+"
_ROLES = re.compile(rf"default|{_ROLE}(?:,{_ROLE})*")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the field it sets, how its text is read, one sentence for the documentation.

    ``loading`` says whether the field is one of ``LoadOptions``, otherwise of ``Address``.
    """

    field: str
    read: Callable[[str], Any]
    about: str
    loading: bool = False


def _truth(text: str) -> bool:
    return bool(as_truth(Scalar(text)))


def _seconds(text: str) -> float:
    return float(as_seconds(Scalar(text)))


def _some_seconds(text: str) -> float:
    seconds = _seconds(text)
    if not seconds:
        raise FieldError("nothing would ever be in time", hint="write it like 30s")
    return seconds


def _count(text: str) -> int:
    number = int(as_whole(Scalar(text)))
    if not 1 <= number <= 10_000:
        raise FieldError(f"{number} is not a number of slices", hint="give 1 to 10000")
    return number


def _filled(text: str) -> str:
    if not text.strip():
        raise FieldError("nothing is written here", hint="write a value or drop the option")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise FieldError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return read


def _stage(text: str) -> str:
    if not _STAGE.fullmatch(text):
        raise FieldError(f"{text!r} is no place in S3", hint="write it like s3://bucket/prefix")
    if any(character in text for character in "\\\n\r"):
        # SQL text cannot name it: COPY would refuse what was staged there.
        raise FieldError(f"{text!r} holds a backslash or a line end", hint="use another prefix")
    return text.rstrip("/")


def _role(text: str) -> str:
    if not _ROLES.fullmatch(text):
        hint = "write default, or arn:aws:iam::ACCOUNT:role/NAME (several: with commas between)"
        raise FieldError(f"{text!r} is no role", hint=hint)
    return text


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise FieldError(f"{text!r} is no AWS region", hint="write it like eu-west-1")
    return text


OPTIONS: Mapping[str, Option] = {
    "ssl": Option("ssl", _truth, "`false` connects without TLS (default `true`)"),
    "sslmode": Option(
        "sslmode",
        _one_of("verify-full", "verify-ca"),
        "`verify-full` (default) wants a trusted certificate that names the host, `verify-ca` any "
        "trusted one",
    ),
    "timeout": Option("timeout", _some_seconds, "longest time of connecting (default `30s`)"),
    "iam": Option(
        "iam",
        _truth,
        "`true`: a password for some minutes by IAM; needs `cluster` or `workgroup` (`workgroup` "
        "alone means it)",
    ),
    "cluster": Option("cluster", _filled, "identifier of the cluster; finds host and port too"),
    "workgroup": Option("workgroup", _filled, "name of the serverless workgroup"),
    "secret": Option("secret", _filled, "name or ARN of a secret in Secrets Manager"),
    "region": Option("region", _region, "AWS region of the cluster, workgroup and secret"),
    "profile": Option("profile", _filled, "profile of `~/.aws` to ask AWS with"),
    "stage": Option("stage", _stage, "where parts are put before COPY: `s3://bucket/prefix`", True),
    "stage_region": Option(
        "stage_region", _region, "region of the stage, when it is not the cluster's", True
    ),
    "iam_role": Option(
        "iam_role",
        _role,
        "role that COPY reads the stage with: an ARN, or `default` (which is the default)",
        True,
    ),
    "keys": Option(
        "keys", _truth, "`true`: COPY reads with your own AWS keys, sent to the server", True
    ),
    "schema": Option("schema", _filled, "schema of the ledger tables (default `public`)", True),
    "lock_wait": Option(
        "lock_wait", _seconds, "longest wait for another load (default `60s`)", True
    ),
    "format": Option(
        "format", _one_of("parquet", "csv"), "form of the staged parts (default `parquet`)", True
    ),
    "codec": Option(
        "codec",
        _one_of("zstd", "snappy", "gzip"),
        "compression inside Parquet (default `zstd`)",
        True,
    ),
    "slices": Option(
        "slices", _count, "parts are a multiple of it (default: the cluster is asked)", True
    ),
    "text_digest": Option(
        "text_digest", _truth, "`true`: text columns are compared by digest too", True
    ),
    "direct": Option(
        "direct", _truth, "`true`: COPY straight into the table, for huge appends", True
    ),
}
"""Every option by its name, in the order of the documentation."""


def read_options(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of options by name; ``ConfigError`` names an unknown one or a bad value."""
    values = {}
    for name, text in given.items():
        if name not in OPTIONS:
            raise ConfigError(
                f"unknown option {name!r} in the Redshift URL", hint=did_you_mean(name, OPTIONS)
            )
        try:
            values[name] = OPTIONS[name].read(text)
        except FieldError as error:
            message = f"option {name!r} of the Redshift URL: {error.message}"
            raise ConfigError(message, hint=error.hint) from None
    return values
