"""Writes a pipeline as a commented YAML file, and drafts one from a probe; for ``ess init``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ess_dask.documents.fields import show_seconds
from ess_dask.documents.yaml import Scalar, quote

if TYPE_CHECKING:
    from ess_dask.pipelines.model import Pipeline
    from ess_dask.pipelines.steps import CleanStep

_NO_STEPS = """\
# clean:                          # in order; what is commented out is a suggestion
#   - sql: {query}
#   - python: my_module:my_function   # pandas DataFrame in and out; my_module.py beside this file
"""
_NO_MEMORY = (
    "# memory: {{table: my.{category}, key: {key}}}   # hold the rows in the cluster's memory\n"
)


def draft_pipeline(
    category: str,
    store: str,
    pattern: str | Iterable[str],
    columns: Mapping[str, str],
    **source: Any,
) -> Pipeline:
    """Return the pipeline that loads a category as it is; ``source`` are other fields of Source.

    ``columns`` maps names to type texts, as a probe found them. Raises ``ConfigError`` for a name
    or type that a pipeline file cannot hold.
    """
    from ess_dask.pipelines import rules
    from ess_dask.pipelines.model import Load, Pipeline, Source

    for column, text in columns.items():
        rules.column_name(column)
        rules.type_text(text)
    patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", category).strip("-._") or "pipeline"
    files = Source(
        store=store, category=category, pattern=patterns, columns=dict(columns), **source
    )
    return Pipeline(name=name, source=files, load=Load(table=re.sub(r"\W", "_", name)))


def render_pipeline(pipeline: Pipeline) -> str:
    """Return the text of a pipeline file that loads again as an equal pipeline."""
    first = next(iter(pipeline.source.columns))
    words = {
        "category": re.sub(r"\W", "_", pipeline.source.category),
        "key": quote(first),
        # A suggestion in a comment: nothing executes it.
        "query": quote(f"select * from records where {_identifier(first)} is not null"),  # noqa: S608
    }
    parts = [
        "# Try it with: ess preview FILE, ess plan FILE; then ess run FILE.\n",
        f"name: {quote(pipeline.name)}\n",
        "\n".join(_source(pipeline)) + "\n",
    ]
    steps = [line for step in pipeline.clean for line in _step(step)]
    parts.append("\n".join(["clean:", *steps]) + "\n" if steps else _NO_STEPS.format(**words))
    memory = "\n".join(_section("memory", pipeline.memory))
    parts.append(f"{memory}\n" if memory else _NO_MEMORY.format(**words))
    for name in ("load", "rejects"):
        lines = list(_section(name, getattr(pipeline, name)))
        parts.append("\n".join(lines) + "\n" if lines else "")
    if pipeline.settings:
        lines = [f"  {name}: {_setting(name, value)}" for name, value in pipeline.settings.items()]
        parts.append("\n".join(["settings:", *lines]) + "\n")
    return "".join(parts)


def _identifier(name: str) -> str:
    """Return a column's name as SQL takes it."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    return name if plain else '"' + name.replace('"', '""') + '"'


def _source(pipeline: Pipeline) -> Iterator[str]:
    source = pipeline.source
    yield from _section("source", source, ("date",))
    yield "  columns:                        # a row with a value that does not fit is rejected"
    for name, text in source.columns.items():
        yield f"    {quote(name, is_key=True)}: {quote(text)}"


def _section(name: str, section: Any, always: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a section's lines: fields that differ from their defaults, and those in ``always``."""
    if section is None:
        return
    lines = []
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            lines += [f"  {line}" for line in _section(field.name, value)]
        elif field.name != "columns" and (value != field.default or field.name in always):
            lines.append(f"  {field.name}: {_value(value)}")
    if lines:
        yield f"{name}:"
        yield from lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        inside = ", ".join(quote(item) for item in value)
        return inside if len(value) == 1 else f"[{inside}]"
    return quote(value)


def _setting(name: str, value: Any) -> str:
    """Return a setting as YAML; a number without quotes, as other readers of the schema expect."""
    from ess_dask.pipelines.own_settings import is_text

    text = value.text if isinstance(value, Scalar) else str(value)
    is_number = re.fullmatch(r"0|[1-9][0-9]*", text) and not is_text(name)
    return text if is_number else quote(text)


def _step(step: CleanStep) -> Iterator[str]:
    value = step.value()
    if isinstance(value, str):
        yield f"  - {quote(step.kind, is_key=True)}: {quote(value)}"
        return
    yield f"  - {quote(step.kind, is_key=True)}:"
    for name, item in value.items():
        text = show_seconds(item) if isinstance(item, float) else str(item)
        yield f"      {quote(name, is_key=True)}: {quote(text)}"
