"""Archives: members as files of their own, and the traps that are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile

import pytest

from ess_dask.errors import ReadError
from ess_dask.records.archives import Limits, list_members, open_files, read_blocks
from ess_dask.records.chunk import FileSource
from ess_dask.records.csv import read_chunks
from ess_dask.records.spec import Column, DataType, ReadSpec

COLUMNS = (Column("a", DataType("int32")), Column("b", DataType("string")))
FILES = {"day/one.csv": b"a,b\n1,x\nTBD,y\n", "day/two.csv": b"b,a\nz,3\n", "read.me": b"hello\n"}


def make_zip(files=FILES, compress=zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compress) as archive:
        archive.mkdir("day")
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def make_tar(files=FILES, extra=()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        folder = tarfile.TarInfo("day")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return out.getvalue()


ARCHIVES = {
    "zip": make_zip,
    "stored zip": lambda files=FILES: make_zip(files, zipfile.ZIP_STORED),
    "tar": make_tar,
    "tar.gz": lambda files=FILES: gzip.compress(make_tar(files)),
    "tar.bz2": lambda files=FILES: bz2.compress(make_tar(files)),
    "tar.xz": lambda files=FILES: lzma.compress(make_tar(files)),
}
each_archive = pytest.mark.parametrize("kind", ARCHIVES)


class Unseekable(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation


def source(data: bytes, kind=io.BytesIO) -> FileSource:
    return FileSource("lake/all.bin", lambda: kind(data))


def contents(data: bytes, pattern="", limits=None, kind=io.BytesIO) -> dict[str, bytes]:
    spec = ReadSpec(COLUMNS, archive=pattern)
    options = {"limits": limits} if limits else {}
    return {
        uri: b"".join(blocks) for uri, blocks in open_files(source(data, kind), spec, **options)
    }


@each_archive
@pytest.mark.parametrize("stream", [io.BytesIO, Unseekable])
def test_all_members_in_order(kind, stream):
    got = contents(ARCHIVES[kind](), kind=stream)
    assert got == {f"lake/all.bin!{name}": data for name, data in FILES.items()}
    assert list(got) == [f"lake/all.bin!{name}" for name in FILES]


@each_archive
def test_a_glob_picks_members(kind):
    assert list(contents(ARCHIVES[kind](), "*.csv")) == [
        "lake/all.bin!day/one.csv",
        "lake/all.bin!day/two.csv",
    ]
    assert contents(ARCHIVES[kind](), "nothing*") == {}


@each_archive
def test_members_are_listed_with_their_sizes(kind):
    members = list_members(source(ARCHIVES[kind]()), "*.csv")
    assert [(m.name, m.size) for m in members] == [("day/one.csv", 14), ("day/two.csv", 8)]


@each_archive
def test_each_member_has_its_own_title_lines_and_name(kind):
    chunks = list(read_chunks(source(ARCHIVES[kind]()), ReadSpec(COLUMNS, archive="*.csv")))
    rows = [row for chunk in chunks for row in chunk.table.to_pylist()]
    assert rows == [{"a": 1, "b": "x"}, {"a": 3, "b": "z"}]
    rejects = [row for chunk in chunks for row in chunk.rejects.to_pylist()]
    assert [(r["uri"], r["member"], r["line"], r["raw"]) for r in rejects] == [
        ("lake/all.bin", "day/one.csv", 3, b"TBD,y")
    ]


@each_archive
def test_no_member_picked_gives_one_empty_chunk(kind):
    (chunk,) = read_chunks(source(ARCHIVES[kind]()), ReadSpec(COLUMNS, archive="none*"))
    assert chunk.rows_read == 0
    assert chunk.table.column_names == ["a", "b"]


@each_archive
def test_read_blocks_joins_the_members(kind):
    joined = b"".join(read_blocks(source(ARCHIVES[kind]()), ReadSpec(COLUMNS)))
    assert joined == b"".join(FILES.values())


def test_each_member_begins_a_line_of_its_own():
    files = {"a": b"1", "b": b"", "c": b"2\n", "d": b"3\r\n", "e": b"4\r", "f": b"5\0", "g": b"6"}
    joined = b"".join(read_blocks(source(make_zip(files)), ReadSpec(COLUMNS)))
    assert joined == b"1\n2\n3\r\n4\r5\0006"


@each_archive
def test_members_may_be_compressed_themselves(kind):
    got = contents(ARCHIVES[kind]({"a.csv.gz": gzip.compress(b"a,b\n")}))
    assert got == {"lake/all.bin!a.csv.gz": b"a,b\n"}


@each_archive
def test_an_archive_within_an_archive_is_refused(kind):
    with pytest.raises(ReadError, match=r"inner"):
        contents(ARCHIVES[kind]({"inner": make_tar()}))


@each_archive
@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "..\\evil", "C:/x"])
def test_paths_that_lead_out_are_refused(kind, name):
    data = ARCHIVES[kind]({name: b"x"})
    with pytest.raises(ReadError) as caught:
        contents(data)
    assert repr(name) in caught.value.message
    with pytest.raises(ReadError):
        list_members(source(data))


def test_links_in_a_tar_are_refused():
    for type_ in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        link = tarfile.TarInfo("evil")
        link.type, link.linkname = type_, "/etc/passwd"
        with pytest.raises(ReadError, match=r"'evil' is a link or a device"):
            contents(make_tar(extra=[link]))


def test_a_link_that_is_not_picked_does_no_harm():
    link = tarfile.TarInfo("evil")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    assert len(contents(make_tar(extra=[link]), "*.csv")) == 2


def test_a_link_in_a_zip_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("evil")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ReadError, match=r"'evil' is a symbolic link"):
        contents(out.getvalue())


def test_an_encrypted_member_is_refused():
    data = bytearray(make_zip({"secret.csv": b"a,b\n"}))
    data[data.index(b"PK\x01\x02", data.index(b"secret.csv")) + 8] |= 1
    marks = [i for i in range(len(data)) if data[i : i + 4] == b"PK\x01\x02"]
    data[marks[-1] + 8] |= 1
    with pytest.raises(ReadError, match=r"'secret.csv' is encrypted"):
        contents(bytes(data))


@each_archive
def test_a_member_over_the_size_limit_is_refused(kind):
    with pytest.raises(ReadError, match=r"'day/one.csv' unpacks to more"):
        contents(ARCHIVES[kind](), limits=Limits(member_bytes=10))
    with pytest.raises(ReadError, match=r"'day/two.csv' unpacks to more"):
        contents(ARCHIVES[kind](), limits=Limits(total_bytes=18))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_is_refused_by_its_ratio(kind):
    data = ARCHIVES[kind]({"bomb": bytes(40 << 20)})
    with pytest.raises(ReadError, match=r"'bomb' unpacks to more"):
        contents(data, limits=Limits(ratio=100, free_bytes=1 << 20))
    assert sum(map(len, contents(data).values())) == 40 << 20


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_every_truncated_tar_is_an_error(kind):
    whole = make_tar({"a.csv": b"a,b\n1,x\n", "b.csv": b"a,b\n2,y\n"})
    end = max(i for i, byte in enumerate(whole) if byte) + 1
    for length in range(600, end, 97):
        data = whole[:length] if kind == "tar" else gzip.compress(whole[:length])
        with pytest.raises(ReadError):
            contents(data)


def test_a_tar_cut_between_members_is_an_error():
    whole = make_tar({"a.csv": b"x" * 512, "b.csv": b"y" * 512})
    with pytest.raises(ReadError, match=r"too early"):
        contents(whole[: 512 * 3])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_with_more_behind_its_end_is_an_error(pack):
    one, two = make_tar({"a.csv": b"a,b\n1,x\n"}), make_tar({"b.csv": b"a,b\n2,y\n"})
    assert contents(pack(one) + pack(b"\0" * 20480)) == {"lake/all.bin!a.csv": b"a,b\n1,x\n"}
    for data in (pack(one) + pack(two), pack(one + two)):
        with pytest.raises(ReadError, match=r"behind the end of the tar"):
            contents(data)
        with pytest.raises(ReadError, match=r"behind the end of the tar"):
            list_members(source(data))


def test_a_tar_with_a_broken_header_is_an_error():
    whole = make_tar({"a.csv": b"a,b\n1,x\n", "b.csv": b"a,b\n2,y\n", "c.csv": b"a,b\n3,z\n"})
    for name in (b"a.csv", b"b.csv", b"c.csv"):
        data = bytearray(whole)
        data[data.index(name)] ^= 1
        with pytest.raises(ReadError):
            contents(bytes(data))


@pytest.mark.parametrize("second", [{"b.csv": b"a,b\n2,y\n"}, {}])
def test_several_zips_in_one_file_are_an_error(second):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in second.items():
            archive.writestr(name, data)
    data = make_zip() + out.getvalue()
    with pytest.raises(ReadError, match=r"before its first member"):
        contents(data)
    with pytest.raises(ReadError, match=r"before its first member"):
        list_members(source(data))
    if not second:
        assert contents(out.getvalue()) == {}


def test_every_truncated_zip_is_an_error():
    whole = make_zip()
    for length in range(4, len(whole), 13):
        with pytest.raises(ReadError):
            contents(whole[:length])


def test_a_broken_zip_member_is_an_error():
    data = bytearray(make_zip({"a.csv": b"0123456789" * 50}, zipfile.ZIP_STORED))
    data[data.index(b"0123456789")] ^= 1
    with pytest.raises(ReadError, match=r"all.bin!a.csv: broken zip member"):
        contents(bytes(data))


def test_a_plain_file_is_no_archive():
    assert contents(b"a,b\n1,x\n") == {"lake/all.bin": b"a,b\n1,x\n"}
    with pytest.raises(ReadError, match=r"no archive"):
        list_members(source(b"a,b\n" * 500))
