"""The caller's own AWS keys for COPY: only where the URL asks for them (``keys=true``)."""

from __future__ import annotations

from ess_dask.errors import AccessError
from ess_dask.warehouse.redshift.copy import Authorization


def own_keys(profile: str = "") -> Authorization:
    """Return the keys that this machine's AWS clients use; ``AccessError`` when there are none."""
    from botocore.session import Session

    credentials = Session(profile=profile or None).get_credentials()
    if credentials is None:
        raise AccessError(
            "keys=true asks for your own AWS keys, and there are none",
            hint="set them as for every AWS client, or give iam_role= instead",
        )
    keys = credentials.get_frozen_credentials()
    return Authorization("", keys.access_key, keys.secret_key, keys.token or "")
