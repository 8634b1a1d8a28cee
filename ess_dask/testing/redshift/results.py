"""Rows on their way to the client: the types that PostgreSQL has under other numbers."""

from __future__ import annotations

import struct

from ess_dask.testing.redshift import wire

_JSONB, _SUPER = 3802, 4000
_BYTEA, _VARBYTE = 17, 6551


def as_redshift_types(body: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Return a row description with Redshift's type numbers, and the places of VARBYTE columns."""
    shown = bytearray(body)
    places = []
    at = 2
    for place in range(struct.unpack_from("!h", body)[0]):
        at = body.index(b"\0", at) + 1
        oid = struct.unpack_from("!i", body, at + 6)[0]
        if oid == _JSONB:
            struct.pack_into("!ih", shown, at + 6, _SUPER, -1)
        elif oid == _BYTEA:
            struct.pack_into("!ih", shown, at + 6, _VARBYTE, -1)
            places.append(place)
        at += 18
    return bytes(shown), tuple(places)


def with_hex(body: bytes, places: tuple[int, ...]) -> bytes:
    r"""Return a row with VARBYTE as plain digits; PostgreSQL puts ``\x`` before them."""
    values = wire.row(body)
    for place in places:
        value = values[place]
        if value is not None and value.startswith(b"\\x"):
            values[place] = value[2:]
    return wire.row_body(values)
