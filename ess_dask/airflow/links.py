"""The link from a task to its run's report."""

from __future__ import annotations

from typing import Any

from ess_dask.airflow._compat import BaseOperatorLink, XCom

REPORT_URL = "report_url"
"""XCom key under which a task leaves the address of its report."""


class EssReportLink(BaseOperatorLink):
    """Leads to the report, where the connection says how to get there (``report_url``)."""

    name = "ess report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the report's address, '' when the task has left none."""
        return XCom.get_value(ti_key=ti_key, key=REPORT_URL) or ""


def report_url(pattern: str, run_id: object) -> str:
    """Return the address of a run's report, '' when either is not known."""
    return pattern.replace("{run_id}", str(run_id)) if pattern and run_id else ""
