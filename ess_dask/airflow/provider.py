"""What Airflow is told about the provider (entry point ``apache_airflow_provider``)."""

from __future__ import annotations

from typing import Any

from ess_dask._version import __version__

CONNECTION_TYPE = "ess"

HIDDEN_FIELDS = ("host", "schema", "login", "port", "extra")

FORM: dict[str, tuple[str, str, str]] = {
    "executable": (
        "Executable",
        "The ess of the environment that ess-dask is installed in; default: ess on the PATH.",
        "/opt/ess/bin/ess",
    ),
    "folder": ("Working folder", "Pipelines and relative paths start here.", "/srv/shop"),
    "cache_dir": (
        "State folder",
        "ESS_CACHE_DIR; default: ~/.ess of the worker.",
        "/srv/shop/.ess",
    ),
    "profile": ("Profile", "Settings profile of ess.", "redshift"),
    "environment": ("Environment", "Further variables, a JSON object.", '{"TZ": "UTC"}'),
    "aws_conn_id": ("AWS connection", "Its keys, region and endpoint go to ess.", "aws_default"),
    "report_url": ("Report URL", "Where reports can be seen.", "https://reports/{run_id}/"),
}
"""Fields of the connection's form: label, explanation, example."""


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description in Airflow's schema."""
    return {
        "package-name": "ess-dask",
        "name": "ess-dask",
        "description": "Runs ess-dask pipelines and waits for their files.",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": "ess_dask.airflow.hook.EssHook",
                "hook-name": "ess-dask",
                "conn-fields": {
                    name: {
                        "label": label,
                        "description": about,
                        "schema": {"type": ["string", "null"]},
                    }
                    for name, (label, about, _) in FORM.items()
                },
                "ui-field-behaviour": field_behaviour(),
            }
        ],
        "extra-links": ["ess_dask.airflow.links.EssReportLink"],
    }


def field_behaviour() -> dict[str, Any]:
    """Return how the connection's form treats the usual fields."""
    return {
        "hidden-fields": list(HIDDEN_FIELDS),
        "relabeling": {"password": "Warehouse password"},
        "placeholders": {name: example for name, (_, _, example) in FORM.items()},
    }
