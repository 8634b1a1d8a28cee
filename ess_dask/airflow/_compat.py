"""Names of Airflow that moved between its majors, each from where this Airflow has it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

OLDEST = (2, 10)


def _find(*places: str) -> Any:
    """Return the first of ``module:name`` that there is."""
    for place in places:
        module, _, name = place.partition(":")
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"this Airflow has none of: {', '.join(places)}")


def _check_version(version: str) -> None:
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < OLDEST:
        raise ImportError(
            f"ess_dask.airflow needs Apache Airflow 2.10 to 3.x, this is {version}\n"
            "  hint: use an ess line in a BashOperator, or a newer Airflow"
        )


_check_version(_find("airflow:__version__"))

BaseHook: Any = _find("airflow.sdk:BaseHook", "airflow.hooks.base:BaseHook")
BaseOperator: Any = _find("airflow.sdk:BaseOperator", "airflow.models:BaseOperator")
BaseOperatorLink: Any = _find("airflow.sdk:BaseOperatorLink", "airflow.models:BaseOperatorLink")
BaseSensorOperator: Any = _find(
    "airflow.sdk:BaseSensorOperator", "airflow.sensors.base:BaseSensorOperator"
)
PokeReturnValue: Any = _find("airflow.sdk:PokeReturnValue", "airflow.sensors.base:PokeReturnValue")
XCom: Any = _find("airflow.sdk.execution_time.xcom:XCom", "airflow.models.xcom:XCom")
mask_secret: Any = _find(
    "airflow.sdk.log:mask_secret",
    "airflow.sdk.execution_time.secrets_masker:mask_secret",
    "airflow.utils.log.secrets_masker:mask_secret",
)
AirflowException: Any = _find(
    "airflow.sdk.exceptions:AirflowException", "airflow.exceptions:AirflowException"
)
AirflowFailException: Any = _find(
    "airflow.sdk.exceptions:AirflowFailException", "airflow.exceptions:AirflowFailException"
)
AirflowSkipException: Any = _find(
    "airflow.sdk.exceptions:AirflowSkipException", "airflow.exceptions:AirflowSkipException"
)
AirflowNotFoundException: Any = _find(
    "airflow.sdk.exceptions:AirflowNotFoundException",
    "airflow.exceptions:AirflowNotFoundException",
)
