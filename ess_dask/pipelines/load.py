"""From a pipeline file to a ``Pipeline``: read, apply ``--set``, fill in variables, check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import did_you_mean
from ess_dask.errors import ConfigError

if TYPE_CHECKING:
    from ess_dask.pipelines.model import Pipeline
    from ess_dask.settings import Settings

SHIPPED = Path(__file__).parent / "shipped"
"""The folder of the pipelines that come with the product."""


def load_pipeline(
    path: str | Path,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Pipeline:
    """Return the pipeline of a file with ``--set`` values ``PATH=VALUE`` applied.

    ``environment`` (default: the process's) fills ``${VAR}``. Raises ``ConfigError`` with
    ``file:line:column`` for anything wrong.
    """
    from ess_dask.documents.yaml import read_bytes

    return read_pipeline(read_bytes(path), str(path), overrides, environment)


def read_pipeline(
    data: bytes,
    name: str,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Pipeline:
    """Return the pipeline written in ``data``; ``name`` stands for the file in messages."""
    from ess_dask.documents import yaml
    from ess_dask.documents.checking import check
    from ess_dask.documents.variables import expand
    from ess_dask.pipelines.model import Pipeline
    from ess_dask.pipelines.overrides import apply_overrides

    document = apply_overrides(yaml.load(data, name), overrides)
    filled = expand(document, environment)
    assert isinstance(filled, yaml.Map)
    return check(Pipeline, filled)


@dataclass(frozen=True, slots=True)
class OpenedPipeline:
    """A pipeline, the folder of its file (Python steps are looked up there), and the settings in
    force for it."""

    pipeline: Pipeline
    folder: Path
    settings: Settings


def open_pipeline(name: str, overrides: Sequence[str] = ()) -> OpenedPipeline:
    """Return a pipeline by its file or shipped name; raises as ``load_pipeline``."""
    from ess_dask.settings import load_settings

    path = find_pipeline(name)
    pipeline = load_pipeline(path, overrides)
    settings = load_settings(pipeline=pipeline.settings)
    return OpenedPipeline(pipeline, path.absolute().parent, settings)


def find_pipeline(name: str) -> Path:
    """Return the file that ``name`` means: a path, or a shipped pipeline such as ``woodworking``.

    Raises ``ConfigError`` listing the places that were searched, in order.
    """
    places = [Path(name)]
    if name and "/" not in name and not name.startswith("."):
        places.append(SHIPPED / f"{name.removesuffix('.yaml')}.yaml")
    for path in places:
        if path.is_file():
            return path
    searched = "".join(f"\n    {path}" for path in places)
    hint = did_you_mean(name, shipped_pipelines())
    raise ConfigError(f"no pipeline '{name}'; searched, in order:{searched}", hint=hint)


def shipped_pipelines() -> tuple[str, ...]:
    """Return the names of the pipelines that come with the product."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
