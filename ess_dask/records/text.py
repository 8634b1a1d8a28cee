"""Blocks of bytes in any declared encoding to blocks of UTF-8 without a byte order mark."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

from ess_dask.errors import ConfigError

_UTF8_BOM = codecs.BOM_UTF8
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONE_SURROGATE = "\udcff"
"""Stands for undecodable bytes: as UTF-8 it is invalid, so that the reader rejects the row."""


def utf8_blocks(blocks: Iterable[bytes], encoding: str) -> tuple[int, Iterator[bytes]]:
    """Return (bytes skipped at the front, blocks of UTF-8).

    A byte order mark is stripped; that of UTF-16 is believed whatever ``encoding`` says. What does
    not decode becomes invalid UTF-8 in its place. Raises ``ConfigError`` for an unknown encoding.
    """
    name = check_encoding(encoding)
    stream = iter(blocks)
    head = b""
    while len(head) < len(_UTF8_BOM) and (block := next(stream, None)) is not None:
        head += block
    if head.startswith(_UTF8_BOM) and name in ("utf-8", "utf-8-sig"):
        return len(_UTF8_BOM), chain((head[len(_UTF8_BOM) :],), stream)
    if head.startswith(_UTF16_BOMS) and name in ("utf-8", "utf-8-sig", "utf-16"):
        name = "utf-16"
    elif name in ("utf-8", "utf-8-sig", "ascii"):
        return 0, chain((head,), stream)
    return 0, _transcode(chain((head,), stream), name)


def check_encoding(encoding: str) -> str:
    """Return the name that Python has for an encoding of text; ``ConfigError`` for what is none."""
    try:
        "a".encode(encoding)  # which refuses codecs that are none of text, such as hex
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise ConfigError(
            f"unknown encoding {encoding!r}", hint="use utf-8, utf-16, latin-1, cp1252 ..."
        ) from None


def _transcode(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    codecs.register_error("ess_dask.reject", _reject)
    decoder = codecs.getincrementaldecoder(encoding)("ess_dask.reject")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _reject(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _LONE_SURROGATE, error.end
