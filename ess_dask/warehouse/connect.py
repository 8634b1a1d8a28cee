"""A warehouse by its URL: ``duckdb:///relative.duckdb``, ``redshift://host/database``, plug-ins.

A plug-in registers a function ``(url) -> Warehouse`` under its scheme in the entry-point group
``ess_dask.warehouses``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from urllib.parse import unquote

from ess_dask.errors import ConfigError
from ess_dask.warehouse.protocol import Warehouse

GROUP = "ess_dask.warehouses"
"""Entry-point group of the back ends."""


def _open_duckdb(url: str) -> Warehouse:
    from ess_dask.warehouse.duckdb.warehouse import open_duckdb

    return open_duckdb(url)


def _open_redshift(url: str) -> Warehouse:
    from ess_dask.warehouse.redshift.warehouse import open_redshift

    return open_redshift(url)


BUILT_IN = {
    "duckdb": _open_duckdb,
    "redshift": _open_redshift,
    "redshift+redshift_connector": _open_redshift,
}
"""Back ends of the product itself; a plug-in cannot take their schemes."""


def open_warehouse(url: str) -> Warehouse:
    """Return the back end for a URL; nothing is opened or made yet.

    Raises ``ConfigError`` for an unknown scheme, naming the known ones. Of a URL only the scheme is
    ever shown: the rest may hold a password.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+._-]*", scheme):
        raise ConfigError(
            "a warehouse is named by a URL with a scheme", hint=f"known: {', '.join(schemes())}"
        )
    opener = _opener(scheme.lower())
    if opener is None:
        raise ConfigError(
            f"no warehouse is known for the scheme {scheme!r}",
            hint=f"known: {', '.join(schemes())}",
        )
    return opener(url)


def shown_url(url: str) -> str:
    """Return a warehouse's URL as it may be shown: no password, whatever else is odd about it."""
    scheme, separator, rest = url.partition("://")
    if "@" not in rest:
        return url
    # To the last @: a password with one in it that was not escaped must not show either.
    user, place = re.split("[:@]", rest, maxsplit=1)[0], rest.rpartition("@")[2]
    return f"{scheme}{separator}{user}@{place}"


def resolved_url(url: str) -> str:
    """Return the URL of what a URL stands for: the label of a registered cluster says no place.

    Raises ``ConfigError`` for a Redshift URL that cannot be read; the password is not in it.
    """
    if not _is_redshift(url):
        return shown_url(url)
    from ess_dask.warehouse.redshift.url import parse_url

    return str(parse_url(url))


def place_of(url: str) -> str:
    """Return the name of the warehouse at a URL: the same for every way to write it, no secret.

    Of Redshift the schema belongs to it, because tables without one lie there. Raises
    ``ConfigError`` for a Redshift URL that cannot be read.
    """
    if _is_redshift(url):
        from ess_dask.warehouse.redshift.url import parse_url

        parsed = parse_url(url)
        region = "" if parsed.address.host else f"region={parsed.address.region}&"
        return f"redshift://{parsed.address}?{region}schema={parsed.options.schema}"
    location = shown_url(url).partition("?")[0]
    scheme, _, rest = location.partition("://")
    if scheme.lower() == "duckdb":
        return f"duckdb:///{Path(unquote(rest[1:])).resolve()}"
    return location


def _is_redshift(url: str) -> bool:
    return BUILT_IN.get(url.partition("://")[0].lower()) is _open_redshift


def schemes() -> tuple[str, ...]:
    """Return the schemes of all installed back ends, sorted."""
    return tuple(sorted({*BUILT_IN, *_plug_ins()}))


def _plug_ins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _opener(scheme: str) -> Callable[[str], Warehouse] | None:
    if scheme in BUILT_IN:
        return BUILT_IN[scheme]
    point = _plug_ins().get(scheme)
    loaded: Callable[[str], Warehouse] | None = point.load() if point else None
    return loaded
