"""One question to the S3 of a datastore: may it be listed, where is it, what time is it there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError

if TYPE_CHECKING:
    from ess_dask.catalog.model import Datastore


@dataclass(frozen=True, slots=True)
class S3Answer:
    """What S3 said, also when it refused. ``region`` is the bucket's and ``asked`` the one that was
    asked, '' is not known; ``ahead`` is by how many seconds its clock is ahead of this one."""

    error: EssError | None = None
    region: str = ""
    asked: str = ""
    ahead: float | None = None


def ask_s3(store: Datastore, seconds: float) -> S3Answer:
    """List one key of a datastore, once, with ``seconds`` for the answer.

    Raises ``ConfigError`` and ``AccessError`` for credentials that cannot be found.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from ess_dask.catalog.s3 import endpoint_of, split_uri
    from ess_dask.catalog.s3_errors import explain

    bucket, prefix = split_uri(store.root)
    started = time.monotonic()
    headers: Mapping[str, str] = {}
    error: EssError | None = None
    asked = store.region
    try:
        client = _client(store, seconds)
        asked = str(client.meta.region_name)
        answer = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        headers = _headers(answer)
    except (BotoCoreError, ClientError, OSError, ValueError) as raised:
        headers = _headers(getattr(raised, "response", None))
        elapsed = time.monotonic() - started
        told = explain(raised, "s3:ListBucket", store.root, endpoint_of(store), elapsed)
        error = told if isinstance(told, EssError) else EssError(f"{store.root}: {told}")
    return S3Answer(error, headers.get("x-amz-bucket-region", ""), asked, _ahead(headers))


def _client(store: Datastore, seconds: float) -> Any:
    from botocore.config import Config
    from botocore.session import Session

    from ess_dask.catalog.s3 import endpoint_of
    from ess_dask.credentials import resolve

    keys, endpoint = resolve(store.credentials), endpoint_of(store)
    limit = max(1.0, seconds / 2 - 0.5)
    config = Config(
        connect_timeout=limit,
        read_timeout=limit,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"} if endpoint else {},
    )
    return Session(profile=keys.profile or None).create_client(
        "s3",
        region_name=store.region or None,
        endpoint_url=endpoint or None,
        aws_access_key_id=keys.access_key or None,
        aws_secret_access_key=keys.secret_key or None,
        aws_session_token=keys.token or None,
        config=config,
    )


def _headers(answer: Any) -> Mapping[str, str]:
    found: Mapping[str, str] = (answer or {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return found


def _ahead(headers: Mapping[str, str]) -> float | None:
    try:
        there = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return None
    return (there.astimezone(UTC) - datetime.now(UTC)).total_seconds()
