"""Compressed streams to plain bytes, in big blocks. The content decides, never the name.

A stream that ends early, fails its checksum or carries anything but zero bytes after its last
member is a ``ReadError``: a front part is never taken for the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ess_dask.errors import AccessError, ConfigError, ReadError
from ess_dask.records.chunk import FileSource

BLOCK_BYTES = 4 << 20
"""Upper size of a decompressed block."""
STORED_BYTES = 1 << 20
"""How much is read at a time from the store."""

CODECS = ("gzip", "bzip2", "xz", "zstd")
_ALIASES = {"gz": "gzip", "bz2": "bzip2", "zst": "zstd", "plain": "none"}
_BZIP2 = tuple(
    b"BZh%d%s" % (n, body) for n in range(1, 10) for body in (b"1AY&SY", b"\x17rE8P\x90")
)
_MAGIC = (
    ("gzip", b"\x1f\x8b"),
    ("xz", b"\xfd7zXZ\x00"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    # Frames that are skipped: pzstd begins with one.
    *(("zstd", bytes((number,)) + b"\x2a\x4d\x18") for number in range(0x50, 0x60)),
    # The three letters alone may begin a text.
    *(("bzip2", magic) for magic in _BZIP2),
)
_MAGIC_BYTES = max(len(magic) for _, magic in _MAGIC)


def codec_name(compression: str) -> str:
    """Return the canonical name of a compression, '' for detection by content."""
    name = _ALIASES.get(compression.lower(), compression.lower())
    if name and name != "none" and name not in CODECS:
        raise ConfigError(
            f"unknown compression {compression!r}",
            hint="use none, " + ", ".join(CODECS) + " or leave it out: the content decides",
        )
    return name


def open_source(source: FileSource) -> BinaryIO:
    """Open ``source``, its absence or refusal told as errors of the product."""
    try:
        return source.open()
    except FileNotFoundError:
        raise ReadError(f"{source.uri}: the file is gone", hint="list the category again") from None
    except PermissionError:
        raise AccessError(
            f"{source.uri}: reading is not permitted", hint="ask for read permission"
        ) from None


def detect(head: bytes) -> str:
    """Return the codec whose magic bytes ``head`` starts with, or ``none``."""
    for name, magic in _MAGIC:
        if head.startswith(magic) or (_is_cut(head, magic)):
            return name
    return "none"


def _is_cut(head: bytes, magic: bytes) -> bool:
    """Whether ``head``, a whole file, is the first bytes of ``magic`` and cannot be a text."""
    begun = bool(head) and magic.startswith(head)
    return begun and (len(head) > 3 or head[0] == 0x1F or not head.isascii())


def decompress(stream: BinaryIO, uri: str, codec: str = "") -> Iterator[bytes]:
    """Yield the plain bytes of an open stream; ``uri`` names it in errors."""
    head = _read_head(stream)
    if not head:
        return
    codec = codec or detect(head)
    pushed = Pushed(head, stream)
    if codec == "none":
        yield from pushed
    elif codec == "gzip":
        yield from _gzip(pushed, uri)
    else:
        yield from _members(pushed, uri, codec)


def _read_head(stream: BinaryIO) -> bytes:
    # A raw stream may answer short: only an empty answer is the end.
    head = b""
    while len(head) < _MAGIC_BYTES and (more := stream.read(STORED_BYTES)):
        head += more
    return head


class Pushed:
    """A stream whose first bytes were already taken and stand here again."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = STORED_BYTES) -> bytes:
        """Return the first bytes again, then those of the stream."""
        if not self._head:
            return self._stream.read(size)
        out, self._head = self._head[:size], self._head[size:]
        return out

    def readinto(self, target: memoryview) -> int:
        """Put the next bytes into ``target``; return how many."""
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read():
            yield block


def _gzip(stream: Pushed, uri: str) -> Iterator[bytes]:
    import gzip

    from isal import igzip, isal_zlib

    try:
        with igzip.IGzipFile(fileobj=stream, mode="rb") as plain:  # type: ignore[no-untyped-call]
            while block := plain.read(BLOCK_BYTES):
                yield block
    except EOFError:
        raise _truncated(uri, "gzip") from None
    except (gzip.BadGzipFile, isal_zlib.error) as error:  # type: ignore[misc]
        raise _broken(uri, "gzip", str(error)) from None


def _members(stream: Pushed, uri: str, codec: str) -> Iterator[bytes]:
    make, errors = _library(codec)
    pending = stream.read()
    while pending:
        decoder = make()
        try:
            while not decoder.eof:
                if decoder.needs_input and not pending and not (pending := stream.read()):
                    raise _truncated(uri, codec)
                block, pending = decoder.decompress(pending, BLOCK_BYTES), b""
                if block:
                    yield block
        except errors as error:
            raise _broken(uri, codec, str(error)) from None
        pending = _skip_padding(decoder.unused_data, stream)


def _skip_padding(data: bytes, stream: Pushed) -> bytes:
    data = data.lstrip(b"\0")
    while not data and (more := stream.read()):
        data = more.lstrip(b"\0")
    return data


def _library(codec: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    if codec == "bzip2":
        import bz2

        return bz2.BZ2Decompressor, (OSError, ValueError)
    if codec == "xz":
        import lzma

        return lzma.LZMADecompressor, (lzma.LZMAError,)
    zstd = _zstd()
    return zstd.ZstdDecompressor, (zstd.ZstdError,)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _truncated(uri: str, codec: str) -> ReadError:
    return ReadError(
        f"{uri}: the {codec} data ends too early", hint="fetch the file again; it is not complete"
    )


def _broken(uri: str, codec: str, why: str) -> ReadError:
    return ReadError(f"{uri}: broken {codec} data: {why}", hint="fetch the file again")
