"""``EssSensor``: waits until the files of some dates are all there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from ess_dask.airflow._compat import AirflowFailException, BaseSensorOperator, PokeReturnValue
from ess_dask.airflow.command import Overrides
from ess_dask.airflow.files import Look, Wanted, look
from ess_dask.airflow.hook import DEFAULT, EssHook
from ess_dask.airflow.setup import Setup, SetupError, read_variables
from ess_dask.airflow.triggers import EssFilesTrigger
from ess_dask.airflow.window import Unit, chosen_window


class EssSensor(BaseSensorOperator):
    """Waits for files of a registered ``category`` (of datastore ``store``) or of a ``pipeline``.

    Dates as ``EssRunOperator`` has them, so that a sensor waits for what the run after it takes.
    All is there when each glob of ``expected`` matches a file's name and there are
    ``minimum_files``. ``stable_for``: all must be there with the same sizes so many seconds later.

    A listing that fails and may be tried again counts as "not yet"; one that cannot (a category or
    a permission that is not there) fails the task for good. ``deferrable`` looks from the triggerer
    on, which then needs ``ess`` and its state on its machine.
    """

    template_fields: Sequence[str] = (
        "category",
        "store",
        "pipeline",
        "date_from",
        "date_to",
        "expected",
        "overrides",
        "profile",
        "env",
        "ess_conn_id",
    )
    ui_color = "#eef3e8"

    def __init__(
        self,
        *,
        category: str = "",
        store: str = "",
        pipeline: str = "",
        date_from: str | None = None,
        date_to: str | None = None,
        expected: Sequence[str] | str = (),
        minimum_files: int = 1,
        stable_for: float = 0.0,
        overrides: Overrides = None,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        ess_conn_id: str = DEFAULT,
        unit: Unit = "day",
        zone: str | None = None,
        deferrable: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        if bool(category) == bool(pipeline):
            raise ValueError(
                "EssSensor waits for the files of a category or of a pipeline: name one"
            )
        if category and overrides:
            raise ValueError("EssSensor: overrides change a pipeline, a category has none")
        self.category = category
        self.store = store
        self.pipeline = pipeline
        self.date_from = date_from
        self.date_to = date_to
        self.expected = expected
        self.minimum_files = minimum_files
        self.stable_for = stable_for
        self.overrides = overrides
        self.profile = profile
        self.env = env
        self.ess_conn_id = ess_conn_id
        self.unit = unit
        self.zone = zone
        self.deferrable = deferrable

    def resume(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, int]:
        """Take what the triggerer has seen."""
        if event["hopeless"]:
            raise AirflowFailException(event["hopeless"])
        return self._account(event["files"])

    def poke(self, context: Mapping[str, Any]) -> Any:
        """Look once (twice with ``stable_for``); say whether all is there.

        With ``deferrable`` the triggerer takes over unless all is there at once.
        """
        setup, wanted = self._prepared(context)
        found = self._seen(setup, wanted)
        if self.deferrable and not (found.is_complete and not self.stable_for):
            self._defer(wanted, found)
        if found.is_complete and self.stable_for:
            time.sleep(self.stable_for)
            found = found.same_as(self._seen(setup, wanted))
        if not found.is_complete:
            self.log.info("%s", found.missing)
            return False
        return PokeReturnValue(True, self._account(len(found.files)))

    def _defer(self, wanted: Wanted, found: Look) -> None:
        self.log.info("%s", found.missing or "all is there; looking again for changes")
        self.defer(
            trigger=EssFilesTrigger(asdict(wanted), self.ess_conn_id, float(self.poke_interval)),
            method_name="resume",
            timeout=timedelta(seconds=self.timeout),
        )

    def _prepared(self, context: Mapping[str, Any]) -> tuple[Setup, Wanted]:
        try:
            setup = EssHook(self.ess_conn_id).get_conn()
            window = chosen_window(context, (self.date_from, self.date_to), self.unit, self.zone)
            wanted = Wanted(
                category=self.category,
                store=self.store,
                pipeline=self.pipeline,
                lower=window.lower,
                upper=window.upper,
                profile=self.profile or "",
                overrides=self.overrides,
                variables=read_variables("env", self.env),
                minimum_files=self.minimum_files,
                expected=[self.expected] if isinstance(self.expected, str) else self.expected,
                stable_for=self.stable_for,
            )
        except SetupError as error:
            raise AirflowFailException(str(error)) from None
        return setup, wanted

    def _seen(self, setup: Setup, wanted: Wanted) -> Look:
        try:
            found = look(setup, wanted)
        except SetupError as error:
            raise AirflowFailException(str(error)) from None
        if found.hopeless:
            raise AirflowFailException(found.hopeless)
        return found

    def _account(self, files: int) -> dict[str, int]:
        self.log.info("complete: %d files", files)
        return {"files": files}
