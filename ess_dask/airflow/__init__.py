"""Apache Airflow provider: runs pipelines with ``ess``, waits for files, knows its connections.

::

    from ess_dask.airflow import EssRunOperator, EssSensor

For Airflow 2.10 to 3.x. It imports Airflow and the standard library, and nothing else of the
product: ``ess`` itself lives in an environment of its own, named by a connection of type ``ess``.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ess_dask.airflow.provider import get_provider_info

if find_spec("airflow") is None:
    raise ImportError(
        "ess_dask.airflow needs Apache Airflow 2.10 to 3.x, which this Python does not have\n"
        "  hint: pip install --no-deps ess-dask in the environment of Airflow"
    )

if TYPE_CHECKING:
    from ess_dask.airflow.hook import EssHook
    from ess_dask.airflow.links import EssReportLink
    from ess_dask.airflow.operators import EssRunOperator
    from ess_dask.airflow.sensors import EssSensor
    from ess_dask.airflow.triggers import EssFilesTrigger, EssWaitTrigger

_HOMES = {
    "EssFilesTrigger": "triggers",
    "EssHook": "hook",
    "EssReportLink": "links",
    "EssRunOperator": "operators",
    "EssSensor": "sensors",
    "EssWaitTrigger": "triggers",
}

__all__ = [
    "EssFilesTrigger",
    "EssHook",
    "EssReportLink",
    "EssRunOperator",
    "EssSensor",
    "EssWaitTrigger",
    "get_provider_info",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
