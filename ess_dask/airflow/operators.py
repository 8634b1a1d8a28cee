"""``EssRunOperator``: one run of a pipeline as a task."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from ess_dask.airflow import lineage
from ess_dask.airflow._compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
)
from ess_dask.airflow.command import Asked, Command, Overrides, run_command, with_variables
from ess_dask.airflow.hook import DEFAULT, EssHook
from ess_dask.airflow.links import REPORT_URL, EssReportLink, report_url
from ess_dask.airflow.outcome import Kind, Outcome, outcome_of
from ess_dask.airflow.process import Patience, Process
from ess_dask.airflow.setup import Setup, SetupError, read_variables
from ess_dask.airflow.triggers import EssWaitTrigger
from ess_dask.airflow.window import Unit, Window, chosen_window

RETURN_VALUE = "return_value"


class EssRunOperator(BaseOperator):
    """Runs a pipeline: cleans and loads the files of its dates that are not loaded yet.

    ``pipeline`` is a file (relative to the connection's folder) or a shipped pipeline's name.
    ``date_from`` and ``date_to`` are inclusive bounds (``*`` is open); by default the units
    (``unit``: hour, day or month) of the data interval, in ``zone`` (default: the DAG's time zone),
    and of an interval without length the last whole unit before it. ``overrides`` changes fields of
    the pipeline (``{"load.mode": "replace"}``), ``env`` adds variables: no secrets, they are
    templated and shown. Secrets belong into the connection and never reach a command line.

    The report's summary is the task's XCom, also when it fails. Exit codes of ``ess``: 1 and 130
    fail the task (retries apply), 2, 3 and 4 fail it for good, 75 (somebody else is at work) is
    retried, or with ``when_locked="skip"`` skipped. ``deferrable`` gives the worker's slot back
    while somebody else is at work, for ``locked_timeout`` seconds at most, looking again every
    ``locked_interval``: the run itself is always done by a worker.

    A task that is killed lets its run drain for ``drain_timeout`` seconds (what is being read is
    finished and loaded, nothing new begins), then aborts it, then kills it.
    """

    template_fields: Sequence[str] = (
        "pipeline",
        "date_from",
        "date_to",
        "overrides",
        "profile",
        "env",
        "ess_conn_id",
    )
    template_fields_renderers: Mapping[str, str] = {"overrides": "json", "env": "json"}
    operator_extra_links = (EssReportLink(),)
    ui_color = "#e8f3ec"

    def __init__(
        self,
        *,
        pipeline: str,
        date_from: str | None = None,
        date_to: str | None = None,
        overrides: Overrides = None,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        ess_conn_id: str = DEFAULT,
        unit: Unit = "day",
        zone: str | None = None,
        fail_if_empty: bool = False,
        when_locked: Literal["retry", "skip"] = "retry",
        deferrable: bool = False,
        locked_interval: float = 60.0,
        locked_timeout: float = 3600.0,
        drain_timeout: float = 600.0,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.pipeline = pipeline
        self.date_from = date_from
        self.date_to = date_to
        self.overrides = overrides
        self.profile = profile
        self.env = env
        self.ess_conn_id = ess_conn_id
        self.unit = unit
        self.zone = zone
        self.fail_if_empty = fail_if_empty
        self.when_locked = when_locked
        self.deferrable = deferrable
        self.locked_interval = locked_interval
        self.locked_timeout = locked_timeout
        self.drain_timeout = drain_timeout
        self._process: Process | None = None
        self._lineage: lineage.Lineage | None = None

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Run the pipeline; return the report's summary."""
        until = datetime.now(UTC) + timedelta(seconds=self.locked_timeout)
        return self._attempt(context, until)

    def resume(self, context: Mapping[str, Any], event: Mapping[str, str]) -> dict[str, Any]:
        """Go on after a wait for somebody else's run."""
        return self._attempt(context, datetime.fromisoformat(event["until"]))

    def on_kill(self) -> None:
        """Let the run drain and wait for that, as long as Airflow lets this process live.

        The run's guard goes on without it: drain, abort, kill.
        """
        process = self._process
        if process is None:
            return
        self.log.info("asked to end: the run drains, at most %.0f s", self.drain_timeout)
        process.stop()
        if process.wait(self.drain_timeout + Patience().abort + 5.0) is not None:
            self._process = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what the run read and wrote, from its report."""
        return lineage.facets(self._lineage)

    def _attempt(self, context: Mapping[str, Any], until: datetime) -> dict[str, Any]:
        try:
            setup = with_variables(
                EssHook(self.ess_conn_id).get_conn(), read_variables("env", self.env)
            )
            window = chosen_window(context, (self.date_from, self.date_to), self.unit, self.zone)
            asked = Asked(window, self.overrides, self.profile or "")
            flags = ("--fail-if-empty",) if self.fail_if_empty else ()
            command = run_command(setup, self.pipeline, asked, *flags)
        except SetupError as error:
            raise AirflowFailException(str(error)) from None
        outcome = self._run(command)
        self._lineage = lineage.Lineage(outcome.report, setup.folder)
        if outcome.kind is Kind.LOCKED and self.deferrable and datetime.now(UTC) < until:
            self._wait_for_others(outcome, until)
        summary = self._tell(context, setup, window, outcome)
        self._raise_for(outcome)
        return summary

    def _run(self, command: Command) -> Outcome:
        self.log.info("%s", shlex.join(command.words))
        process = self._process = Process(command, Patience(self.drain_timeout), self._say)
        try:
            ended = process.wait()
        except BaseException:
            # An exception of Airflow's (a time-out): the run drains, on_kill waits for it.
            process.stop()
            raise
        assert ended is not None
        process.close()
        self._process = None
        return outcome_of(ended)

    def _say(self, line: str) -> None:
        self.log.info("%s", line)

    def _wait_for_others(self, outcome: Outcome, until: datetime) -> None:
        self.log.info("%s", outcome.message)
        moment = datetime.now(UTC) + timedelta(seconds=self.locked_interval)
        trigger = EssWaitTrigger(min(moment, until).isoformat(), until.isoformat())
        self.defer(trigger=trigger, method_name="resume")

    def _tell(
        self, context: Mapping[str, Any], setup: Setup, window: Window, outcome: Outcome
    ) -> dict[str, Any]:
        """Leave the summary and the report's address in XCom; return the summary."""
        summary = outcome.summary() | {"from": window.lower, "to": window.upper}
        address = report_url(setup.report_url, outcome.report.get("run_id"))
        if address:
            self.log.info("report: %s", address)
        if self.do_xcom_push:
            if address:
                context["ti"].xcom_push(key=REPORT_URL, value=address)
            if outcome.code:
                context["ti"].xcom_push(key=RETURN_VALUE, value=summary)
        return summary

    def _raise_for(self, outcome: Outcome) -> None:
        if outcome.kind is Kind.HOPELESS:
            raise AirflowFailException(outcome.message)
        if outcome.kind is Kind.LOCKED and self.when_locked == "skip":
            raise AirflowSkipException(outcome.message)
        if outcome.kind is not Kind.DONE:
            raise AirflowException(outcome.message)
