"""The ``settings:`` of a pipeline file: checked where they are written, resolved when it runs."""

from __future__ import annotations

import functools
from typing import Any

from ess_dask.documents.fields import Before, FieldError
from ess_dask.documents.yaml import Map, Scalar


def _own_settings(value: Any) -> Any:
    """Return name to scalar, once every value is known to be good for its setting."""
    from ess_dask.documents.checking import problems
    from ess_dask.settings import Settings

    if not isinstance(value, Map):
        raise FieldError("must be a mapping of setting to value")
    for first in problems(Settings, value)[:1]:
        raise FieldError(first.message, hint=first.hint, place=first.place)
    return {name: item for name, item in value.items() if isinstance(item, Scalar)}


@functools.cache
def _schema() -> dict[str, Any]:
    from ess_dask.documents.checking import adapter
    from ess_dask.settings import Settings

    schema = adapter(Settings).json_schema()
    schema.pop("title", None)
    return schema


def is_text(name: str) -> bool:
    """Whether the schema takes nothing but a text for a setting."""
    return bool(_schema()["properties"][name].get("type") == "string")


OwnSettings = Before(_own_settings, _schema, final=True)
"""Mark of the field: name to value as written."""
