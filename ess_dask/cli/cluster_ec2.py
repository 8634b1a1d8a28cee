"""Options of ``ess cluster`` that say where in AWS and as whom."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import click

from ess_dask.cli._options import check_key_pair
from ess_dask.errors import UsageError
from ess_dask.settings import env_name

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    ("--region", "R", "AWS region (default: the one remembered, then that of AWS)."),
    ("--credentials", "CSV", "Credentials file from AWS; its path is kept with the cluster."),
    ("--aws_profile", "NAME", "Profile of ~/.aws; its name is kept with the cluster."),
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
        check_key_pair(*keys)
        if bool(credentials) + bool(aws_profile) + bool(keys[0]) > 1:
            raise UsageError("--credentials, --aws_profile and the keys exclude each other")
        with _in_force(credentials, aws_profile, keys):
            return command(*args, **others)

    decorated: Any = wrapped
    for name, metavar, about in reversed(_OPTIONS):
        decorated = click.option(name, metavar=metavar, default="", help=about)(decorated)
    result: F = decorated
    return result


def _in_force(
    credentials: str, profile: str, keys: tuple[str, str]
) -> AbstractContextManager[None]:
    """Ask AWS with what was given; typed keys stand in the environment of this process only."""
    from ess_dask.cluster.ec2.access import given
    from ess_dask.credentials import FROM_ENVIRONMENT, file_reference

    if credentials:
        return given(file_reference(credentials))
    if profile:
        return given(f"profile:{profile}")
    if keys[0]:
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = keys
        os.environ.pop("AWS_SESSION_TOKEN", None)
        os.environ.pop("AWS_PROFILE", None)
        return given(FROM_ENVIRONMENT)
    return nullcontext()
