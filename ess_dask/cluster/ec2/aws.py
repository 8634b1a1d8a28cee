"""Clients of AWS: botocore alone, which every installation has and which starts quickly.

A client is made once: it takes a tenth of a second, for a model of all that EC2 can do.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ess_dask.cluster.ec2.errors import asking, no_region
from ess_dask.credentials import resolve


@functools.cache
def client(service: str, region: str, credentials: str = "") -> Any:
    """Return a client of a service in a region; five attempts, then the error is told.

    ``credentials`` is a reference (``ess_dask.credentials``), '' is AWS's own chain.
    """
    from botocore.config import Config

    config = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"total_max_attempts": 5, "mode": "standard"},
    )
    return _session(credentials).create_client(service, region_name=region, config=config)


def hurried_client(service: str, region: str, seconds: float, credentials: str = "") -> Any:
    """Return a client that gives up after one try of so many seconds."""
    from botocore.config import Config

    once = {"total_max_attempts": 1, "mode": "standard"}
    config = Config(connect_timeout=seconds, read_timeout=seconds, retries=once)
    return _session(credentials).create_client(service, region_name=region, config=config)


def pages(ask: Callable[..., Mapping[str, Any]], **given: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all pages of an answer (``describe_instances``): botocore's own way reads a model."""
    while True:
        page = ask(**given)
        yield page
        if not (token := page.get("NextToken")):
            return
        given["NextToken"] = token


def access_key(credentials: str = "") -> str:
    """Return the access key id in force, '' when none is found or it cannot be fetched."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = _session(credentials).get_credentials()
        return str(found.get_frozen_credentials().access_key or "") if found else ""
    except (BotoCoreError, ClientError):
        return ""


def usual_region(credentials: str = "") -> str:
    """Return the region of AWS's own variables and files; ``ConfigError`` when they name none."""
    session = _session(credentials)
    with asking("", "the region of AWS"):
        region = session.get_config_variable("region") or os.environ.get("AWS_REGION")
    if not region:
        raise no_region()
    return str(region)


def use_credentials(session: Any, reference: str) -> None:
    """Let a session of botocore's (or aiobotocore's) that is new ask with these credentials.

    Raises as ``ess_dask.credentials.resolve``.
    """
    keys = resolve(reference)
    if keys.profile:
        session.set_config_variable("profile", keys.profile)
    if keys.access_key:
        session.set_credentials(keys.access_key, keys.secret_key)


@functools.cache
def _session(credentials: str = "") -> Any:
    import botocore.session
    from botocore.exceptions import ProfileNotFound

    from ess_dask.cluster.ec2.models import loader

    session, own = botocore.session.Session(), None
    use_credentials(session, credentials)
    # A client says it, too, and for what it was wanted.
    with suppress(ProfileNotFound):
        own = session.get_config_variable("data_path")
    session.register_component("data_loader", loader(own))
    return session
