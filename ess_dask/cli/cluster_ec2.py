"""Options of ``ess cluster`` that say where in AWS and as whom; for this command only."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ess_dask.errors import UsageError
from ess_dask.settings import env_name

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    ("--region", "R", "AWS region (default: the one remembered, then that of AWS)."),
    ("--credentials", "CSV", "Credentials file from AWS."),
    ("--aws_profile", "NAME", "Profile of ~/.aws."),
    ("--aws_access_key", "KEY", "Key id; not stored."),
    ("--aws_secret_access_key", "KEY", "Secret; not stored."),
)


def access_options(command: F) -> F:
    """``--region`` and the credentials as in ``ess select``; in force when the command runs."""

    @functools.wraps(command)
    def wrapped(
        *args: Any, region: str, credentials: str, aws_profile: str,
        aws_access_key: str, aws_secret_access_key: str, **others: Any,
    ) -> Any:  # fmt: skip
        if region:
            os.environ[env_name("region")] = region
        keys = (aws_access_key, aws_secret_access_key)
        if bool(keys[0]) != bool(keys[1]):
            raise UsageError("--aws_access_key and --aws_secret_access_key belong together")
        if bool(credentials) + bool(aws_profile) + bool(keys[0]) > 1:
            raise UsageError("--credentials, --aws_profile and the keys exclude each other")
        _use(credentials, aws_profile, keys)
        return command(*args, **others)

    decorated: Any = wrapped
    for name, metavar, about in reversed(_OPTIONS):
        decorated = click.option(name, metavar=metavar, default="", help=about)(decorated)
    result: F = decorated
    return result


def _use(credentials: str, profile: str, keys: tuple[str, str]) -> None:
    """Put what was given where the AWS chain of this process looks first."""
    if credentials:
        from ess_dask.catalog.credentials import file_reference, resolve

        found = resolve(file_reference(credentials))
        keys = (found.access_key, found.secret_key)
    if profile:
        # Keys in the environment would win over the profile that was asked for.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            os.environ.pop(name, None)
        os.environ["AWS_PROFILE"] = profile
    if keys[0]:
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = keys
        os.environ.pop("AWS_SESSION_TOKEN", None)
        os.environ.pop("AWS_PROFILE", None)
