"""What machines cost per hour: asked of AWS's price list, kept for a week, never needed.

Whoever may not ask, or cannot reach it, is told no price. Disks, traffic and taxes come on top.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ess_dask.cluster.ec2.aws import hurried_client
from ess_dask.folders import cache_dir

_SECONDS = 5.0
"""Nobody waits long for a number that only informs."""

PRICE_LIST = "us-east-1"
"""The region where the price list of all regions is."""

_KEPT_SECONDS = 7 * 86_400.0


def known_price(region: str, kind: str, spot: bool) -> float | None:
    """Return the price (US dollars per hour) that was asked for this week; AWS is not asked."""
    found = _read().get(_key(region, kind, spot))
    return float(found[0]) if found and time.time() - found[1] < _KEPT_SECONDS else None


def price(region: str, kind: str, spot: bool, credentials: str = "") -> float | None:
    """Return the price per hour; AWS is asked when it is not known. None: it does not say."""
    from botocore import exceptions as boto

    known = known_price(region, kind, spot)
    if known is not None:
        return known
    with suppress(boto.BotoCoreError, boto.ClientError, ValueError, KeyError, IndexError):
        ask = _spot_price if spot else _list_price
        found = ask(region, kind, credentials)
        _keep(_key(region, kind, spot), found)
        return found
    return None


def total(prices: Iterable[float | None]) -> str:
    """Return the sum of prices as a person reads it; '' when one of them is not known."""
    found = list(prices)
    if not found or None in found:
        return ""
    return f"${sum(each for each in found if each is not None):.2f} per hour"


def _list_price(region: str, kind: str, credentials: str) -> float:
    fields = {
        "instanceType": kind,
        "regionCode": region,
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
    }
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": to} for key, to in fields.items()]
    pricing = hurried_client("pricing", PRICE_LIST, _SECONDS, credentials)
    answer = pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)
    terms = json.loads(answer["PriceList"][0])["terms"]["OnDemand"]
    dimension = next(iter(next(iter(terms.values()))["priceDimensions"].values()))
    return float(dimension["pricePerUnit"]["USD"])


def _spot_price(region: str, kind: str, credentials: str) -> float:
    answer = hurried_client("ec2", region, _SECONDS, credentials).describe_spot_price_history(
        InstanceTypes=[kind],
        ProductDescriptions=["Linux/UNIX"],
        StartTime=datetime.now(UTC),
        MaxResults=20,
    )
    return max(float(each["SpotPrice"]) for each in answer["SpotPriceHistory"])


def _key(region: str, kind: str, spot: bool) -> str:
    return f"{region}/{kind}{'/spot' if spot else ''}"


def _path() -> Path:
    return cache_dir() / "prices.json"


def _read() -> dict[str, Any]:
    try:
        found = json.loads(_path().read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(key: str, value: float) -> None:
    part = _path().with_suffix(".part")
    part.write_text(json.dumps({**_read(), key: [value, time.time()]}))
    part.replace(_path())
