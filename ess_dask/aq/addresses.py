"""Addresses: text in, canonical text out, and their order."""

from __future__ import annotations

import re

from ess_dask.aq.kinds import BLANK_ADDRESS

_V4 = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")
_PLAIN_V4 = re.compile(
    r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}"
)
"""A v4 address already in its canonical form."""

CANONICAL_V4 = f"^{_PLAIN_V4.pattern}$"


def parse_address(text: str) -> str | None:
    """Return the canonical text of an address, the zero address for '', None for other text."""
    if not text:
        return BLANK_ADDRESS
    if _PLAIN_V4.fullmatch(text):
        return text
    if match := _V4.fullmatch(text):
        numbers = [int(part) for part in match.groups()]
        return ".".join(map(str, numbers)) if max(numbers) < 256 else None
    return _parse_v6(text) if ":" in text else None


def _parse_v6(text: str) -> str | None:
    import ipaddress

    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    return str(address.ipv4_mapped or address)


def order_of(address: str) -> tuple[int, int]:
    """Return what addresses sort by: every v4 address before every v6 address."""
    if ":" not in address:
        a, b, c, d = address.split(".")
        return 4, (int(a) << 24) | (int(b) << 16) | (int(c) << 8) | int(d)
    import ipaddress

    return 6, int(ipaddress.IPv6Address(address))


def pack_address(address: str) -> bytes:
    """Return the 4 or 16 bytes of an address."""
    version, number = order_of(address)
    return number.to_bytes(4 if version == 4 else 16, "big")


def unpack_address(data: bytes) -> str:
    """Return the canonical text of 4 or 16 bytes."""
    if len(data) == 4:
        return ".".join(map(str, data))
    import ipaddress

    return str(ipaddress.IPv6Address(data))
