"""Composite keys in one binary string, and hashes of columns.

A key is its fields in order: a letter for the type, then a string's length (4 bytes) and bytes, or
8 bytes of a number, or the length and bytes of an address. ``-kenc`` and ``KeyEnc`` share it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from ess_dask.aq.addresses import pack_address, unpack_address
from ess_dask.aq.errors import EvalError
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Kind, Type, Value, plain_nan
from ess_dask.aq.tree import Call, Reference

_LETTERS = {
    Kind.S: "s",
    Kind.F: "f",
    Kind.L: "l",
    Kind.LS: "j",
    Kind.I: "i",
    Kind.IS: "k",
    Kind.IP: "a",
}
_KIND_NAMES = {kind.value: kind for kind in Kind}


def encode_key(kinds: Sequence[Kind], values: Sequence[Value]) -> str:
    """Return the key of ``values``."""
    return "".join(map(_encode, kinds, values))


def _encode(kind: Kind, value: Value) -> str:
    if isinstance(value, float):
        return "f" + struct.pack(">d", plain_nan(value)).decode("latin-1")
    if isinstance(value, int):
        return _LETTERS[kind] + (value & (1 << 64) - 1).to_bytes(8, "big").decode("latin-1")
    body = pack_address(value).decode("latin-1") if kind is Kind.IP else value
    return _LETTERS[kind] + len(body).to_bytes(4, "big").decode("latin-1") + body


def decode_key(key: str, kinds: Sequence[Kind]) -> list[Value]:
    """Return the first ``len(kinds)`` fields of a key; ``EvalError`` if it does not hold them."""
    values, at = [], 0
    for kind in kinds:
        value, at = _decode(key, at, kind)
        values.append(value)
    return values


def _decode(key: str, at: int, kind: Kind) -> tuple[Value, int]:
    if key[at : at + 1] != _LETTERS[kind]:
        raise EvalError(f"the key holds no {kind.value} field at byte {at}")
    at += 1
    if kind in (Kind.S, Kind.IP):
        size = int.from_bytes(key[at : at + 4].encode("latin-1"), "big")
        body = key[at + 4 : at + 4 + size]
        if len(body) < size:
            raise EvalError("the key ends too early")
        text = unpack_address(body.encode("latin-1")) if kind is Kind.IP else body
        return text, at + 4 + size
    raw = key[at : at + 8].encode("latin-1")
    if len(raw) < 8:
        raise EvalError("the key ends too early")
    if kind is Kind.F:
        return float(struct.unpack(">d", raw)[0]), at + 8
    return int.from_bytes(raw, "big", signed=kind.signed), at + 8


def _kinds_of(call: Call) -> list[Kind]:
    kinds = [node.kind for node in call.values if isinstance(node, Reference)]
    assert len(kinds) == len(call.values)
    return kinds


def _encoder(call: Call) -> Callable[..., str]:
    kinds = _kinds_of(call)
    return lambda *values: encode_key(kinds, values)


def _decoder(call: Call) -> Callable[[str], tuple[int, tuple[Value, ...]]]:
    targets = iter(call.targets)
    chosen = [None if name else next(targets) for name in call.constants]
    kinds = [
        target.kind if target else _KIND_NAMES[name.upper()]
        for target, name in zip(chosen, call.constants, strict=True)
    ]
    wanted = [at for at, target in enumerate(chosen) if target]

    def run(key: str) -> tuple[int, tuple[Value, ...]]:
        values = decode_key(key, kinds)
        return 1, tuple(values[at] for at in wanted)

    return run


def _check_types(call: Call) -> str:
    wrong = [name for name in call.constants if name and name.upper() not in _KIND_NAMES]
    return f"unknown column type {wrong[0]!r}" if wrong else ""


def _hasher(person: bytes) -> Callable[[Call], Callable[..., int]]:
    def make(call: Call) -> Callable[..., int]:
        kinds = _kinds_of(call)
        return lambda *values: hash_key(encode_key(kinds, values), person)

    return make


def hash_key(key: str, person: bytes) -> int:
    """Return a 32-bit hash of an encoded key, independent for each ``person`` (8 bytes)."""
    import hashlib

    digest = hashlib.blake2s(key.encode("latin-1"), digest_size=4, person=person)
    return int.from_bytes(digest.digest(), "big")


_COLUMNS = (Parameter.COLUMN_VALUE,)


def _columns(name: str, gives: Type, make: Callable[[Call], Callable[..., Value]]) -> Function:
    return Function(name, f"{name}(Col [, Col ..])", _COLUMNS, gives, make, repeated=_COLUMNS)


FUNCTIONS = (
    _columns("KeyEnc", Type.STR, _encoder),
    Function(
        "KeyDec",
        'KeyDec(Key, Col|"TYPE" ..)',
        (Parameter.TEXT, Parameter.COLUMN_OR_TYPE),
        Type.INT,
        _decoder,
        repeated=(Parameter.COLUMN_OR_TYPE,),
        check=_check_types,
        sets=True,
    ),
    _columns("KeyHash", Type.INT, _hasher(b"key-hash")),
    _columns("ImpHash", Type.INT, _hasher(b"imp-hash")),
    _columns("SegHash", Type.INT, _hasher(b"seg-hash")),
)
