"""Connections of type ``ess``: where the executable is and what it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ess_dask.airflow._compat import AirflowNotFoundException, BaseHook, mask_secret
from ess_dask.airflow.command import command
from ess_dask.airflow.outcome import outcome_of
from ess_dask.airflow.process import Ended, finish
from ess_dask.airflow.provider import CONNECTION_TYPE, FORM, field_behaviour
from ess_dask.airflow.setup import Setup, SetupError, aws_variables, read_setup

DEFAULT = "ess_default"

TEST_SECONDS = 60.0


class EssHook(BaseHook):
    """Reads a connection of type ``ess``.

    The connection ``ess_default`` need not exist: without it ``ess`` is looked for on the PATH and
    gets nothing but the task's own environment.
    """

    conn_name_attr = "ess_conn_id"
    default_conn_name = DEFAULT
    conn_type = CONNECTION_TYPE
    hook_name = "ess-dask"

    def __init__(self, ess_conn_id: str = DEFAULT, **more: Any) -> None:
        super().__init__(**more)
        self.ess_conn_id = ess_conn_id

    def get_conn(self) -> Setup:
        """Return how ``ess`` is started; its secrets are masked in Airflow's logs from here on.

        Raises ``SetupError`` for a connection that cannot be used.
        """
        try:
            connection = self.get_connection(self.ess_conn_id)
        except AirflowNotFoundException:
            if self.ess_conn_id == DEFAULT:
                return Setup()
            raise SetupError(
                f"there is no connection {self.ess_conn_id}\n  hint: add one of type ess"
            ) from None
        setup = read_setup(self.ess_conn_id, connection.extra_dejson, connection.password)
        if setup.aws_conn_id:
            setup = replace(setup, secrets={**setup.secrets, **self._aws(setup.aws_conn_id)})
        for value in setup.secrets.values():
            mask_secret(value)
        return setup

    def _aws(self, name: str) -> dict[str, str]:
        try:
            found = self.get_connection(name)
        except AirflowNotFoundException:
            raise SetupError(
                f"connection {self.ess_conn_id}: there is no AWS connection {name}"
            ) from None
        return aws_variables(name, found.extra_dejson, found.login, found.password)

    def test_connection(self) -> tuple[bool, str]:
        """Start ``ess`` and let it read its settings; return whether it could, and what it said."""
        try:
            setup = self.get_conn()
            profile = ("--profile", setup.profile) if setup.profile else ()
            version = finish(command(setup, "--version"), TEST_SECONDS)
            settings = finish(command(setup, "config", *profile), TEST_SECONDS)
        except SetupError as error:
            return False, str(error)
        for ended in (version, settings):
            if ended is None or ended.code:
                return False, _complaint(ended)
        assert version is not None
        return True, f"{setup.found()}: {' '.join(version.tail).strip()}"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields of the connection's form (Airflow 2)."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import StringField

        return {
            name: StringField(label, widget=BS3TextFieldWidget(), description=about)
            for name, (label, about, _) in FORM.items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which usual fields the form hides, and how it names the others (Airflow 2)."""
        behaviour = field_behaviour()
        return {key.replace("-", "_"): value for key, value in behaviour.items()}


def _complaint(ended: Ended | None) -> str:
    if ended is None:
        return f"ess did not answer within {TEST_SECONDS:.0f} s"
    return outcome_of(ended).message
