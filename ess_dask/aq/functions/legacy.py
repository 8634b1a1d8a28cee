"""Arguments as the functions KDec() and QryParmExt() took them before they got their new names."""

from __future__ import annotations

from collections.abc import Callable

from ess_dask.aq.codecs import url_decode
from ess_dask.aq.kinds import Kind

_TYPES = frozenset(kind.value for kind in Kind)


def todays_arguments(function: str, spec: str) -> str | None:
    """Return the arguments behind the first one as they are written today.

    ``spec`` is the only string that an old call has there; None if it is not in the old form.
    """
    translate = _FORMS.get(function.lower())
    return translate(spec) if translate else None


def _key_fields(spec: str) -> str | None:
    """``Column;Type:;..``: a field goes to a column, or is passed over by its type."""
    if spec.upper() in _TYPES:
        return None
    fields = spec.split(";")
    return ", ".join(_quoted(f.removesuffix(":")) if f.endswith(":") else f for f in fields)


def _query_keys(spec: str) -> str:
    """``[attributes]&Key[:Column][,attributes]..``: without a column the key is its name."""
    defaults, *keys = spec.split("&")
    arguments = [_quoted(defaults)]
    for text in keys:
        name, _, attributes = text.partition(",")
        key, _, column = name.partition(":")
        arguments += [column or key, _quoted(url_decode(key)), _quoted(attributes)]
    return ", ".join(arguments)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_FORMS: dict[str, Callable[[str], str | None]] = {"kdec": _key_fields, "qryparmext": _query_keys}
