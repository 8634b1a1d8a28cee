"""Functions from addresses to places. The data is a file in MaxMind's format.

``ESS_GEO_DATABASE`` names it: a country or city database (GeoLite2, DB-IP ...). Names of countries
and regions are those of the database, in English.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from typing import Any

from ess_dask.aq.errors import AqConfigError
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Type

VARIABLE = "ESS_GEO_DATABASE"
_CACHED = 65536


@cache
def _database(path: str) -> Any:
    if not path:
        raise AqConfigError(
            "there is no data for IpToCountry()",
            hint=f"set {VARIABLE} to a country or city database in MaxMind format (.mmdb)",
        )
    import maxminddb

    try:
        return maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise AqConfigError(
            f"{VARIABLE}={path}: not a usable database: {error}", hint="download it again"
        ) from None


def _open() -> Any:
    return _database(os.environ.get(VARIABLE, ""))


@lru_cache(maxsize=_CACHED)
def country_code(address: str) -> str:
    """Return ``COUNTRY`` or ``COUNTRY:REGION`` of an address, '' if it is not in the data."""
    try:
        found = _open().get(address)
    except ValueError:
        return ""  # A v6 address in a database of v4 addresses.
    country = (found or {}).get("country") or {}
    regions = (found or {}).get("subdivisions") or [{}]
    parts = (country.get("iso_code", ""), regions[0].get("iso_code", ""))
    return ":".join(part for part in parts if part)


@cache
def _names(path: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for _, found in _database(path):
        country = found.get("country") or {}
        code = country.get("iso_code", "")
        names.setdefault(code, _english(country))
        for region in (found.get("subdivisions") or ())[:1]:
            names.setdefault(f"{code}:{region.get('iso_code', '')}", _english(region))
    return names


def _english(place: dict[str, Any]) -> str:
    name = (place.get("names") or {}).get("en", "")
    return str(name).encode("utf-8").decode("latin-1")


def country_name(code: str) -> str:
    """Return the name of the country in a code, '' for none."""
    country = code.partition(":")[0]
    return _names(os.environ.get(VARIABLE, "")).get(country, "") if country else ""


def region_name(code: str) -> str:
    """Return the name of the region in a code, '' for none."""
    return _names(os.environ.get(VARIABLE, "")).get(code, "") if ":" in code else ""


FUNCTIONS = (
    Function(
        "IpToCountry", "IpToCountry(Ip)", (Parameter.ADDRESS,), Type.STR, lambda _: country_code
    ),
    Function(
        "CountryName", "CountryName(Code)", (Parameter.TEXT,), Type.STR, lambda _: country_name
    ),
    Function(
        "CountryRegion", "CountryRegion(Code)", (Parameter.TEXT,), Type.STR, lambda _: region_name
    ),
)
