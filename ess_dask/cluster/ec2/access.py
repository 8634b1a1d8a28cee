"""As whom AWS is asked about a cluster: by references to credentials, never by the keys themselves.

What a command was given counts first, then what is kept of the cluster, then AWS's own chain.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ess_dask.cluster.ec2.state import remembered_credentials
from ess_dask.credentials import FROM_ENVIRONMENT, resolve
from ess_dask.errors import EssError

_given: ContextVar[str] = ContextVar("given", default="")


@contextmanager
def given(reference: str) -> Iterator[None]:
    """Ask AWS with these credentials in this block, whatever is kept; '' gives none.

    Those with which a cluster of this home is found are kept for the commands that follow.
    """
    token = _given.set(reference)
    try:
        yield
    finally:
        _given.reset(token)


def credentials_of(name: str) -> str:
    """Return the reference to the credentials for a cluster; '' is AWS's own chain.

    Raises ``ConfigError`` when the file that is kept cannot be read any more, ``AccessError`` when
    the keys were typed, so that they are not kept, and the environment names none.
    """
    if reference := _given.get():
        return reference
    kept = remembered_credentials(name)
    if kept == FROM_ENVIRONMENT and os.environ.get("AWS_PROFILE"):
        return ""
    try:
        resolve(kept)
    except EssError as error:
        again = "ess cluster status --credentials FILE.csv, or --aws_profile NAME: it is kept then"
        first = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        if kept != FROM_ENVIRONMENT:
            first = "put the file back"
        raise type(error)(
            f"cluster {name}: {error.message}", hint=f"{first}, or give others once: {again}"
        ) from None
    return kept
