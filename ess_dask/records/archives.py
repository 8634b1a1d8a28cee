"""Archives, member by member: zip and tar, a tar also inside a compression.

A member is a file of its own, compressed or not. Nothing is unpacked to disk, but a member that a
careless tool would write elsewhere (absolute, ``../``, a link) makes the archive suspicious as a
whole, and one that grows beyond all measure is a bomb: both are a ``ReadError`` naming it.
"""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, cast

from ess_dask.dataclass import dataclass
from ess_dask.errors import ReadError
from ess_dask.records.chunk import FileSource
from ess_dask.records.compression import BLOCK_BYTES, codec_name, decompress, open_source
from ess_dask.records.spec import ReadSpec

if TYPE_CHECKING:
    import tarfile

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TAR_BLOCK = 512
_SPOOL_BYTES = 64 << 20
_SPECIAL = zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may unpack to: bytes of one member, bytes of all members, and their
    ratio to the stored bytes once more than ``free_bytes`` have come out."""

    member_bytes: int = 64 << 30
    total_bytes: int = 1 << 40
    ratio: int = 500
    free_bytes: int = 64 << 20


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive: its name and size in bytes."""

    name: str
    size: int


def open_files(
    source: FileSource, spec: ReadSpec, limits: Limits = LIMITS
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield (uri, plain bytes) of ``source``, or ``uri!member`` for each member picked.

    ``spec.archive`` is a glob over the member's path, '' takes all. Each member must be read
    before the next is asked for.
    """
    codec = codec_name(spec.compression)
    with open_source(source) as stream:
        head = _peek(stream)
        if not codec and head.startswith(_ZIP):
            yield from _zip(source.uri, head, stream, spec.archive, limits)
            return
        counted = _Counted(head, stream)
        blocks = decompress(cast("BinaryIO", counted), source.uri, codec)
        first = _gather(blocks, _TAR_BLOCK)
        whole = chain((first,), blocks)
        if _is_tar(first):
            yield from _tar(source.uri, whole, counted, spec.archive, limits)
        else:
            yield source.uri, whole


def read_blocks(source: FileSource, spec: ReadSpec) -> Iterator[bytes]:
    """Yield the plain bytes of ``source``; those of an archive's members one after another, text of
    each in lines of its own."""
    last = b""
    for _, blocks in open_files(source, spec):
        # A text may lack its last line end; NUL ends one of UTF-16, or what is none.
        open_line = last not in (b"", b"\n", b"\r", b"\0")
        for block in filter(None, blocks):
            if open_line:
                yield b"\n"
                open_line = False
            yield block
            last = block[-1:]


def list_members(source: FileSource, pattern: str = "") -> tuple[Member, ...]:
    """Return the regular files of an archive whose path matches ``pattern``, in stored order.

    Raises ``ReadError`` when ``source`` is no archive or not a safe one.
    """
    with open_source(source) as stream:
        head = _peek(stream)
        if head.startswith(_ZIP):
            with _open_zip(source.uri, head, stream) as archive:
                infos = _zip_members(source.uri, archive, pattern)
                return tuple(Member(info.filename, info.file_size) for info in infos)
        counted = _Counted(head, stream)
        blocks = decompress(cast("BinaryIO", counted), source.uri)
        first = _gather(blocks, _TAR_BLOCK)
        if not _is_tar(first):
            raise ReadError(f"{source.uri} is no archive", hint="zip and tar files have members")
        reader = _BlockReader(chain((first,), blocks))
        return tuple(
            Member(info.name, info.size) for info, _ in _tar_members(source.uri, reader, pattern)
        )


class _Counted:
    """A stored stream with its first bytes pushed back, counting what was read of it."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream
        self.stored = 0

    def read(self, size: int) -> bytes:
        block, self._head = self._head or self._stream.read(size), b""
        self.stored += len(block)
        return block


class _BlockReader:
    """Blocks as the file object that tarfile wants; remembers the last 512 bytes."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""
        self._at = 0
        self.tail = b""

    def read(self, size: int) -> bytes:
        if self._at == len(self._rest):
            self._rest, self._at = next(self._blocks, b""), 0
        out = self._rest[self._at : self._at + size]
        self._at += len(out)
        if out:
            self.tail = (self.tail + out[-_TAR_BLOCK:])[-_TAR_BLOCK:]
        return out


class _Meter:
    """Counts what comes out of an archive against its limits."""

    def __init__(self, uri: str, limits: Limits) -> None:
        self.uri = uri
        self.limits = limits
        self.total = 0

    def watch(self, name: str, blocks: Iterator[bytes], stored: _Counted | int) -> Iterator[bytes]:
        """Pass blocks of member ``name`` on; ``stored`` tells how many bytes they came from."""
        limits, member = self.limits, 0
        for block in blocks:
            member += len(block)
            self.total += len(block)
            source = stored if isinstance(stored, int) else stored.stored
            allowed = max(limits.free_bytes, limits.ratio * source)
            if member > limits.member_bytes or self.total > min(limits.total_bytes, allowed):
                raise ReadError(
                    f"{self.uri}: member {name!r} unpacks to more than is allowed "
                    f"({member} bytes so far)",
                    hint="the archive looks like a decompression bomb; unpack it by hand",
                )
            yield block


def _peek(stream: BinaryIO) -> bytes:
    head = b""
    while len(head) < 4 and (more := stream.read(_TAR_BLOCK)):
        head += more
    return head


def _gather(blocks: Iterator[bytes], size: int) -> bytes:
    head = b""
    while len(head) < size and (block := next(blocks, None)) is not None:
        head += block
    return head


def _is_tar(head: bytes) -> bool:
    if len(head) < _TAR_BLOCK or b"\0" not in head:
        # A header is padded with zeros; for text, tarfile (10 ms) is not imported.
        return False
    import tarfile

    try:
        tarfile.TarInfo.frombuf(head[:_TAR_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _picked(name: str, pattern: str) -> bool:
    return not pattern or fnmatchcase(name, pattern)


def _refuse(uri: str, name: str, why: str) -> ReadError:
    return ReadError(
        f"{uri}: member {name!r} {why}", hint="pick other members with archive, or repack the file"
    )


def _check_name(uri: str, name: str) -> None:
    parts = name.replace("\\", "/")
    if parts.startswith("/") or ".." in PurePosixPath(parts).parts or parts[1:3] == ":/":
        raise _refuse(uri, name, "has a path that leads out of the archive")


def _plain_member(uri: str, stream: BinaryIO) -> Iterator[bytes]:
    blocks = decompress(stream, uri)
    first = _gather(blocks, _TAR_BLOCK)
    if first.startswith(_ZIP) or _is_tar(first):
        raise ReadError(f"{uri}: an archive within an archive", hint="unpack the outer one first")
    yield first
    yield from blocks


@contextmanager
def _open_zip(uri: str, head: bytes, stream: BinaryIO) -> Iterator[zipfile.ZipFile]:
    with SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        whole = stream
        if stream.seekable():
            stream.seek(0)
        else:
            # The directory of a zip stands at its end.
            whole = cast("BinaryIO", spool)
            whole.write(head)
            shutil.copyfileobj(stream, whole, BLOCK_BYTES)
        try:
            archive = zipfile.ZipFile(whole)
        except zipfile.BadZipFile as error:
            raise ReadError(f"{uri}: broken zip: {error}", hint="fetch the file again") from None
        with archive:
            _check_start(uri, archive)
            yield archive


def _check_start(uri: str, archive: zipfile.ZipFile) -> None:
    """Raise ``ReadError`` when members may stand before those that the directory tells: of several
    archives in a row it is the last one's."""
    first = min((info.header_offset for info in archive.infolist()), default=archive.start_dir)
    if first > 0:
        raise ReadError(
            f"{uri}: the zip has {first} bytes before its first member",
            hint="pack anew what was put together from several",
        )


def _zip_members(uri: str, archive: zipfile.ZipFile, pattern: str) -> Iterator[zipfile.ZipInfo]:
    for info in archive.infolist():
        name = info.filename
        if info.is_dir() or not _picked(name, pattern):
            continue
        _check_name(uri, name)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _refuse(uri, name, "is a symbolic link")
        if info.flag_bits & 1:
            raise _refuse(uri, name, "is encrypted")
        yield info


def _zip(
    uri: str, head: bytes, stream: BinaryIO, pattern: str, limits: Limits
) -> Iterator[tuple[str, Iterator[bytes]]]:
    meter = _Meter(uri, limits)
    with _open_zip(uri, head, stream) as archive:
        stored = sum(info.compress_size for info in archive.infolist())
        for info in _zip_members(uri, archive, pattern):
            name = f"{uri}!{info.filename}"
            content = _zip_content(archive, info, name)
            yield name, meter.watch(info.filename, content, stored)


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, uri: str) -> Iterator[bytes]:
    try:
        with archive.open(info) as member:
            yield from _plain_member(uri, cast("BinaryIO", member))
    except _SPECIAL as error:
        why = str(error) or "it ends too early"
        raise ReadError(f"{uri}: broken zip member: {why}", hint="fetch the file again") from None


def _tar_members(
    uri: str, reader: _BlockReader, pattern: str
) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    import tarfile

    try:
        with tarfile.open(fileobj=reader, mode="r|", bufsize=BLOCK_BYTES) as archive:  # type: ignore[call-overload]
            for info in archive:
                if info.isdir() or not _picked(info.name, pattern):
                    continue
                _check_name(uri, info.name)
                if not info.isreg():
                    raise _refuse(uri, info.name, "is a link or a device, not a file")
                yield info, archive
            _check_rest(uri, archive)
    except tarfile.TarError as error:
        raise ReadError(f"{uri}: broken tar: {error}", hint="fetch the file again") from None
    while reader.read(BLOCK_BYTES):
        # What stands behind the end is still checked by the compression's own sum.
        pass
    if reader.tail.strip(b"\0"):
        # tarfile takes any end for the end of the archive; a whole one ends with zero blocks.
        raise ReadError(f"{uri}: the tar ends too early", hint="fetch the file again")


def _check_rest(uri: str, archive: tarfile.TarFile) -> None:
    """Raise ``ReadError`` when anything but zeros follows what tarfile took for the end: it does so
    at the first zeros, also of several archives in a row, and at any broken header."""
    rest = archive.fileobj
    assert rest is not None
    while block := rest.read(BLOCK_BYTES):
        if block.strip(b"\0"):
            raise ReadError(
                f"{uri}: there is more behind the end of the tar",
                hint="fetch the file again, or pack anew what was put together from several",
            )


def _tar(
    uri: str, blocks: Iterator[bytes], counted: _Counted, pattern: str, limits: Limits
) -> Iterator[tuple[str, Iterator[bytes]]]:
    meter = _Meter(uri, limits)
    for info, archive in _tar_members(uri, _BlockReader(blocks), pattern):
        name = f"{uri}!{info.name}"
        yield name, meter.watch(info.name, _tar_content(archive, info, name), counted)


def _tar_content(archive: tarfile.TarFile, info: tarfile.TarInfo, uri: str) -> Iterator[bytes]:
    import tarfile

    member = archive.extractfile(info)
    assert member is not None
    try:
        yield from _plain_member(uri, cast("BinaryIO", io.BufferedReader(member)))
    except tarfile.TarError as error:
        raise ReadError(f"{uri}: broken tar member: {error}", hint="fetch the file again") from None
