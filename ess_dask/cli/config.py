"""``ess config``: the settings in force and where each one comes from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ess_dask.settings import Resolved


@click.command()
@click.option("--show-origin", is_flag=True, help="Say where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with units and descriptions.")
@click.option("--pipeline", metavar="FILE", help="Include the settings of a pipeline file.")
@click.option(
    "--set", "overrides", metavar="PATH=VALUE", multiple=True, help="Change the pipeline."
)
def config(
    show_origin: bool,
    as_json: bool,
    pipeline: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Print the settings in force.

    The output is itself a profile: write it to configs/NAME.yaml and use it with --profile NAME.
    The password in a URL is not printed.
    """
    from ess_dask._settings_sources import unknown_variables
    from ess_dask.settings import resolve_settings

    resolved = resolve_settings(pipeline=_pipeline_settings(pipeline, overrides))
    for name, hint in unknown_variables(os.environ):
        click.echo(f"ess: warning: {name} is not a setting ({hint})", err=True)
    click.echo(_json(resolved) if as_json else _text(resolved, show_origin))


def _pipeline_settings(pipeline: str | None, overrides: tuple[str, ...]) -> dict[str, Any]:
    from ess_dask.errors import UsageError

    if pipeline is None:
        if overrides:
            raise UsageError("--set changes a pipeline", hint="name it with --pipeline FILE")
        return {}
    from ess_dask.pipelines.load import find_pipeline, load_pipeline

    return dict(load_pipeline(find_pipeline(pipeline), overrides).settings)


def _text(resolved: Resolved, show_origin: bool) -> str:
    from ess_dask.settings import NAMES, written

    lines = [f"{name}: {written(name, _value(resolved, name))}" for name in NAMES]
    if show_origin:
        width = max(map(len, lines))
        origins = (resolved.origin(name) for name in NAMES)
        lines = [
            f"{line:<{width}}  # {origin}" for line, origin in zip(lines, origins, strict=True)
        ]
    return "\n".join(lines)


def _json(resolved: Resolved) -> str:
    import json

    from ess_dask.settings import NAMES, description, env_name, unit

    rows = {
        name: {
            "value": _value(resolved, name),
            "unit": unit(name),
            "origin": resolved.origin(name),
            "environment": env_name(name),
            "description": description(name),
        }
        for name in NAMES
    }
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _value(resolved: Resolved, name: str) -> Any:
    """Return a setting as it may be shown: a URL without its password."""
    from ess_dask.settings import unit
    from ess_dask.warehouse.connect import shown_url

    value = getattr(resolved.settings, name)
    return shown_url(value) if unit(name) == "URL" else value
