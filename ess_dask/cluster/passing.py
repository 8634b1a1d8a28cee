"""What S3 needs to be reached, from the user's environment into the memory of the workers.

The daemon is started without any of it. A worker plug-in travels over mutual TLS, is held in memory
by the scheduler (so that a restarted worker gets it, too) and never becomes part of a task graph, a
command line or a file. The last client's values are in force: one user, one daemon.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.lost import loss_told
from ess_dask.errors import TransientError
from ess_dask.retry import retrying

if TYPE_CHECKING:
    from distributed import Client

PASSED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
)
"""Variables of botocore's chain, and nothing else."""


FILES = ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_CA_BUNDLE")
"""Those that name files, or what stands in them: they mean something on this machine only."""


def pass_environment(client: Client, keys: Mapping[str, str] | None = None) -> None:
    """Give this process's S3 variables to all workers, those to come included.

    ``keys`` is given for workers on other machines: the variables that they get instead of the
    names of a profile and of files, which mean nothing there.
    Raises ``TransientError`` when workers go on dying while they are told.
    """
    from distributed import WorkerPlugin

    class StoreEnvironment(WorkerPlugin):
        """Sets the variables where botocore looks; its text shows none of them."""

        name = "ess-store-environment"

        def __init__(self, values: Mapping[str, str]) -> None:
            self._values = dict(values)

        def __repr__(self) -> str:
            return f"<{self.name}: {len(self._values)} variables>"

        def setup(self, worker: Any) -> None:
            for name in PASSED:
                os.environ.pop(name, None)
            os.environ.update(self._values)

    plugin = StoreEnvironment(passed_values(keys))

    def register() -> None:
        try:
            client.register_plugin(plugin, name=plugin.name)
        except OSError as error:
            # A worker that died while it was told: its successor is told by the scheduler, but
            # the others may not have been.
            look = (
                "the log is shown by: ess udbd cklog" if keys is None else "see: ess cluster status"
            )
            raise TransientError(
                f"a worker of the cluster was lost while connecting ({error})",
                hint=f"try again; {look}",
            ) from None

    with loss_told("connecting", client):
        try:
            register()
        except TransientError:
            # What tries again is loaded only now: every command that asks a table comes by here.
            retrying(
                TransientError, register, logging.INFO, attempts=20, timeout=30, wait_initial=0.05
            )


def passed_values(keys: Mapping[str, str] | None) -> dict[str, str]:
    """Return the variables that the workers get; see ``pass_environment``."""
    values = {name: os.environ[name] for name in PASSED if name in os.environ}
    if keys is None:
        return values
    return {name: text for name, text in values.items() if name not in FILES} | dict(keys)
