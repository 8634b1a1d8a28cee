"""The caller's own AWS keys for COPY: only where the URL asks for them (``keys=true``)."""

from __future__ import annotations

from ess_dask.errors import AccessError
from ess_dask.warehouse.redshift.copy import Authorization


def own_keys(profile: str = "") -> Authorization:
    """Return the keys that this machine's AWS clients use; ``AccessError`` when there are none."""
    from botocore import exceptions as boto
    from botocore.session import Session

    try:
        credentials = Session(profile=profile or None).get_credentials()
        keys = credentials.get_frozen_credentials() if credentials else None
    except boto.BotoCoreError as error:
        raise AccessError(
            f"keys=true asks for your own AWS keys: {' '.join(str(error).split())}",
            hint="check the profile in ~/.aws/config",
        ) from None
    if keys is None:
        raise AccessError(
            "keys=true asks for your own AWS keys, and there are none",
            hint="set them as for every AWS client, or give iam_role= instead",
        )
    return Authorization("", keys.access_key, keys.secret_key, keys.token or "")
