"""What a connection of type ``ess`` says: the executable, its folders, its environment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FIELDS = (
    "executable",
    "folder",
    "cache_dir",
    "profile",
    "environment",
    "aws_conn_id",
    "report_url",
)
"""Fields of the connection's extra."""

WAREHOUSE_PASSWORD = "ESS_REDSHIFT_PASSWORD"  # noqa: S105 - the name of a variable
"""Variable that carries the connection's password."""

OF_AIRFLOW = ("AIRFLOW", "_AIRFLOW", "__AIRFLOW", "PYTHON", "VIRTUAL_ENV")
"""Beginnings of variables that a run does not inherit: Airflow's keys and connections are not for
cleaning commands, and its Python is not the one of ``ess``."""

TOLD = "AIRFLOW_CTX_"
"""Beginning of variables of Airflow that say which task this is; a run inherits them."""


class SetupError(ValueError):
    """A connection or an argument cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How ``ess`` is started on this machine.

    ``folder`` is the one it is started in ('' is the task's own), ``variables`` and ``secrets`` are
    added to its environment, ``report_url`` is where reports can be looked at, with ``{run_id}``.
    """

    executable: str = "ess"
    folder: str = ""
    cache_dir: str = ""
    profile: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    report_url: str = ""
    aws_conn_id: str = ""

    def found(self) -> str:
        """Return the path of the executable; raise ``SetupError`` when there is none."""
        path = self.variables.get("PATH") or os.environ.get("PATH")
        found = shutil.which(os.path.expanduser(self.executable), path=path)  # noqa: PTH111
        if found is None:
            raise SetupError(
                f"there is no executable {self.executable!r} on this machine\n  hint: install "
                "ess-dask in an environment of its own and name its bin/ess in the connection"
            )
        return found

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the command, from that of the task."""
        kept = {
            name: value
            for name, value in inherited.items()
            if name.startswith(TOLD) or not name.startswith(OF_AIRFLOW)
        }
        own = {"ESS_CACHE_DIR": self.cache_dir} if self.cache_dir else {}
        return kept | own | dict(self.variables) | dict(self.secrets)


def read_setup(name: str, extra: Mapping[str, Any], password: str | None = None) -> Setup:
    """Return the setup that a connection describes; raise ``SetupError`` for what is unknown."""
    if unknown := sorted(set(extra) - set(FIELDS)):
        known = ", ".join(FIELDS)
        raise SetupError(f"connection {name}: unknown field {unknown[0]!r}\n  hint: known: {known}")
    given = {key: str(value) for key, value in extra.items() if value and key != "environment"}
    return Setup(
        variables=read_variables(f"connection {name}", extra.get("environment")),
        secrets={WAREHOUSE_PASSWORD: password} if password else {},
        **given,
    )


def read_variables(where: str, given: object) -> dict[str, str]:
    """Return environment variables from a mapping, or from a JSON object in a form's field."""
    if isinstance(given, str) and given.strip():
        try:
            given = json.loads(given)
        except ValueError:
            raise SetupError(
                f'{where}: the environment is no JSON object\n  hint: write it like {{"TZ": "UTC"}}'
            ) from None
    if not given or isinstance(given, str):
        return {}
    if not isinstance(given, Mapping):
        raise SetupError(f"{where}: the environment is not a mapping of names to values")
    return {str(name): str(value) for name, value in given.items()}


AWS_FIELDS = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "region_name": "AWS_DEFAULT_REGION",
    "endpoint_url": "AWS_ENDPOINT_URL",
    "profile_name": "AWS_PROFILE",
}
"""Fields of an AWS connection's extra, and the variables of the AWS tools."""


def aws_variables(
    name: str, extra: Mapping[str, Any], login: str | None, password: str | None
) -> dict[str, str]:
    """Return the variables that stand for a connection of type ``aws``.

    Raises ``SetupError`` for a connection that asks for a role: ``ess`` takes roles from the
    machine or from a profile of the AWS configuration, and renews them during a long run; keys
    that were made here would end in the middle of it.
    """
    if extra.get("role_arn"):
        raise SetupError(
            f"connection {name}: role_arn cannot be handed to ess\n  hint: put the role into a "
            "profile of ~/.aws/config and name it as profile_name, or use the machine's own role"
        )
    found = {
        "AWS_ACCESS_KEY_ID": login,
        "AWS_SECRET_ACCESS_KEY": password,
    } | {variable: extra.get(key) for key, variable in AWS_FIELDS.items() if extra.get(key)}
    return {variable: str(value) for variable, value in found.items() if value}
