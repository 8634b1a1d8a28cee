"""Compressed files: told by content, read whole or not at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.errors import AccessError, ConfigError, ReadError
from ess_dask.records.archives import read_blocks
from ess_dask.records.chunk import FileSource
from ess_dask.records.compression import BLOCK_BYTES, codec_name, decompress, open_source
from ess_dask.records.spec import Column, DataType, ReadSpec

CODECS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
each_codec = pytest.mark.parametrize("codec", CODECS)
TEXT = b"2014-09-01T00:00:02,4084,23\n" * 50


class Trickle(io.BytesIO):
    """A stream that answers with few bytes at a time, as a socket may."""

    def read(self, size=-1):
        return super().read(min(size, 7) if size >= 0 else 7)


def source(data: bytes, kind=io.BytesIO, uri="purchase.csv.gz") -> FileSource:
    return FileSource(uri, lambda: kind(data))


def blocks(file: FileSource, compression: str = "") -> Iterator[bytes]:
    with open_source(file) as stream:
        yield from decompress(stream, file.uri, codec_name(compression))


def plain(data: bytes, compression: str = "", kind=io.BytesIO) -> bytes:
    return b"".join(blocks(source(data, kind), compression))


@each_codec
def test_the_content_decides(codec):
    assert plain(CODECS[codec](TEXT)) == TEXT


@each_codec
def test_the_compression_may_be_forced(codec):
    assert plain(CODECS[codec](TEXT), codec) == TEXT
    with pytest.raises(ReadError, match=r"purchase.csv.gz"):
        plain(TEXT, codec)


@each_codec
def test_several_members_are_one_file(codec):
    pack = CODECS[codec]
    assert plain(pack(TEXT) + pack(b"") + pack(b"more\n")) == TEXT + b"more\n"


@pytest.mark.parametrize("number", range(16))
def test_frames_that_zstd_skips_may_come_first(number):
    frame = bytes([0x50 + number]) + b"\x2a\x4d\x18\x03\0\0\0abc"
    packed = zstd.compress(TEXT)
    assert plain(frame + packed + frame + packed) == TEXT + TEXT
    with pytest.raises(ReadError, match="ends too early"):
        plain(frame[:9])


@each_codec
def test_zero_bytes_behind_the_last_member_are_padding(codec):
    assert plain(CODECS[codec](TEXT) + b"\0" * 1024) == TEXT


@each_codec
@pytest.mark.parametrize("garbage", [b"g", b"garbage", b"\0\0garbage of some length", b"\x1f\x8b"])
def test_garbage_behind_the_last_member_is_an_error(codec, garbage):
    with pytest.raises(ReadError, match=r"purchase.csv.gz"):
        plain(CODECS[codec](TEXT) + garbage)


@each_codec
@pytest.mark.parametrize("kind", [io.BytesIO, Trickle])
def test_every_truncation_is_an_error(codec, kind):
    packed = CODECS[codec](TEXT)
    # The first letters of bzip2's mark alone are a text.
    for length in range(4 if codec == "bzip2" else 2, len(packed)):
        with pytest.raises(ReadError, match=r"too early|broken"):
            plain(packed[:length], kind=kind)


@each_codec
def test_a_truncated_second_member_is_an_error(codec):
    packed = CODECS[codec](TEXT)
    for length in range(1, len(packed)):
        with pytest.raises(ReadError):
            plain(packed + packed[:length])


@each_codec
def test_a_broken_checksum_is_an_error(codec):
    packed = bytearray(CODECS[codec](TEXT))
    at = -8 if codec == "gzip" else -2 if codec == "zstd" else len(packed) // 2
    packed[at] ^= 0x10
    with pytest.raises(ReadError):
        plain(bytes(packed))


@pytest.mark.parametrize(
    "text", [b"", b"B", b"BZ", b"BZhello,world\n", b"(", b"(a)\n", b"P", b"PK,1\n", b"a,b\n", b"\0"]
)
@pytest.mark.parametrize("kind", [io.BytesIO, Trickle])
def test_what_is_not_compressed_comes_as_it_is(text, kind):
    assert plain(text, kind=kind) == text


@each_codec
def test_none_takes_compressed_bytes_as_they_are(codec):
    packed = CODECS[codec](TEXT)
    assert plain(packed, "none") == packed


@each_codec
def test_blocks_are_bounded_however_much_comes_out(codec):
    found = list(blocks(source(CODECS[codec](bytes(3 * BLOCK_BYTES + 5)))))
    assert max(map(len, found)) <= BLOCK_BYTES
    assert sum(map(len, found)) == 3 * BLOCK_BYTES + 5


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(CODECS)), st.binary(max_size=300)), min_size=1, max_size=1
    ),
    st.integers(1, 4),
)
def test_any_bytes_come_back(parts, times):
    ((codec, data),) = parts
    assert plain(CODECS[codec](data) * times) == data * times


def test_names_of_compressions():
    assert [codec_name(n) for n in ("", "none", "GZ", "bz2", "zst", "xz", "plain")] == [
        "", "none", "gzip", "bzip2", "zstd", "xz", "none",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"'lzo'") as caught:
        codec_name("lzo")
    assert "zstd" in caught.value.hint


def test_a_vanished_and_a_forbidden_file():
    def gone():
        raise FileNotFoundError(2, "no such file")

    def refused():
        raise PermissionError(13, "denied")

    with pytest.raises(ReadError, match=r"a.gz: the file is gone"):
        list(blocks(FileSource("a.gz", gone)))
    with pytest.raises(AccessError, match=r"a.gz"):
        list(blocks(FileSource("a.gz", refused)))


def test_read_blocks_takes_the_compression_from_the_spec():
    columns = (Column("a", DataType("string")),)
    packed = gzip.compress(TEXT)
    assert b"".join(read_blocks(source(packed), ReadSpec(columns))) == TEXT
    assert b"".join(read_blocks(source(packed), ReadSpec(columns, compression="none"))) == packed
