"""The software of a cluster's machines equals that of this one, or the cluster is refused.

Functions and tables travel as bytes that only the same releases read the same way.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.endpoint import Endpoint
from ess_dask.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client

WIRE = ("dask", "distributed", "cloudpickle", "msgpack")
"""What both sides speak."""

RESULTS = ("duckdb", "numpy", "pandas", "polars", "polars-hash", "pyarrow")
"""What decides on the rows that come out."""

PRESENT: tuple[str, ...] = (
    "click",
    "fsspec",
    "isal",
    "maxminddb",
    "pydantic",
    "regex",
    "rich",
    "ruamel.yaml",
)
PRESENT += ("s3fs", "stamina", "ua-parser")
"""What a worker needs, in whatever release."""

Versions = Mapping[str, str | None]


def check_versions(client: Client, endpoint: Endpoint) -> None:
    """Raise ``ConfigError`` that names what differs, on which machine, and both versions.

    Dask's own answers are compared, so that no code of ours runs on another Python.
    """
    found: Any = client.get_versions(packages=[*WIRE, *RESULTS, *PRESENT])
    here = found["client"]["packages"]
    machines = {"scheduler": found["scheduler"], **found["workers"]}
    wrong: dict[tuple[str, ...], list[str]] = {}
    for name, answer in machines.items():
        differences = differing(here, answer["packages"])
        if differences:
            wrong.setdefault(differences, []).append(_named(name))
    if wrong:
        raise ConfigError(
            f"the {endpoint.kind} cluster at {endpoint.address} has other software than this "
            f"machine: " + "; ".join(_line(names, texts) for texts, names in wrong.items()),
            hint="install the same releases there (requirements.lock), or use an image that has "
            "them; ess-dask itself is sent",
        )


def differing(here: Versions, there: Versions) -> tuple[str, ...]:
    """Return what is not as it must be, as texts that name both versions."""
    texts = []
    python = ".".join(str(there.get("python")).split(".")[:2])
    own = ".".join(platform.python_version_tuple()[:2])
    if python != own:
        texts.append(f"Python {python}, here {own}")
    texts += [
        f"{name} {there.get(name) or 'is missing'}, here {here.get(name)}"
        for name in (*WIRE, *RESULTS)
        if there.get(name) != here.get(name)
    ]
    texts += [f"{name} is missing" for name in PRESENT if not there.get(name)]
    return tuple(texts)


def _named(machine: Any) -> str:
    return str(machine) if machine == "scheduler" else f"worker {machine}"


def _line(names: list[str], texts: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown} has {', '.join(texts)}"
