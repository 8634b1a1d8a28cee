"""Reading CSV equals a slow, plain reference, whatever the chunks and the blocks."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ess_dask.records.chunk import FileSource
from ess_dask.records.csv import read_chunks
from ess_dask.records.spec import Column, DataType, ReadSpec

WIDTH = 3
TYPES = ("string", "int32", "string")


@dataclass
class Row:
    line: int
    values: tuple | None = None
    column: str = ""
    reason: str = ""
    raw: bytes = b""


def reference(data: bytes, max_record: int, types=TYPES) -> list[Row]:
    """Every row and reject of ``data`` without a title, one byte after another."""
    offset = 0
    if data.startswith(b"\xef\xbb\xbf"):
        data, offset = data[3:], 3
    eol = 13 if b"\r" in data and b"\n" not in data else 10
    out = []
    at, line = 0, 1
    while at < len(data):
        stop, fields, fault = record(data, at, eol, max_record)
        if fault:
            stop = data.find(eol, at)
            stop = len(data) if stop < 0 else stop
        raw = data[at:stop]
        if eol == 10 and raw.endswith(b"\r"):
            raw = raw[:-1]
        out.append(judge(raw, fields, fault, line, offset + at, types))
        line += data[at : stop + 1].count(eol)
        at = stop + 1
    return out


def record(data: bytes, start: int, eol: int, max_record: int):
    """Return (position of the line end, fields, fault) of the record at ``start``."""
    fields, field, state = [], bytearray(), "start"
    at = start
    while True:
        byte = data[at] if at < len(data) else None
        end = byte is None or byte == eol
        if at - start >= max_record and (state == "quoted" or not end or at - start > max_record):
            return at, [], too_long(data, at, state, eol, max_record)
        if state == "quoted":
            if byte is None:
                return at, [], "quote not closed"
            if byte == 34:
                state = "closed"
            else:
                field.append(byte)
        elif end:
            if state == "open" and eol == 10 and field.endswith(b"\r"):
                del field[-1]
            fields.append(bytes(field))
            return at, fields, ""
        elif byte == 44:
            fields.append(bytes(field))
            field, state = bytearray(), "start"
        elif byte == 34:
            if state == "start":
                state = "quoted"
            elif state == "closed":
                field.append(34)
                state = "quoted"
            else:
                return at, [], "stray quote in an unquoted field"
        elif state == "closed":
            follows = data[at + 1] if at + 1 < len(data) else None
            if not (eol == 10 and byte == 13 and follows in (10, None)):
                return at, [], "text after a closing quote"
        else:
            field.append(byte)
            state = "open"
        at += 1


def too_long(data: bytes, at: int, state: str, eol: int, max_record: int) -> str:
    line_end = eol == 10 and data[at : at + 2] in (b"\r\n", b"\r")
    if state == "closed" and data[at] not in b',"' and not line_end:
        return "text after a closing quote"
    return "quote not closed" if state == "quoted" else f"record longer than {max_record} bytes"


def judge(raw, fields, fault, line, offset, types) -> Row:
    width = len(types)
    if not fault and width > 1 and not raw:
        fault = "blank line"
    if not fault and len(fields) != width:
        kind = "few" if len(fields) < width else "many"
        fault = f"too {kind} fields ({len(fields)} of {width})"
    if not fault:
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            fault = f"invalid UTF-8 at byte {offset + error.start}"
    if fault:
        return Row(line, reason=fault, raw=raw)
    values = []
    for number, (field, type_) in enumerate(zip(fields, types, strict=True)):
        text = field.decode()
        if type_ == "string":
            values.append(text or None)
            continue
        stripped = text.strip(" \t")
        if not stripped:
            values.append(None)
        elif not re.fullmatch(r"[+-]?[0-9]+", stripped):
            return Row(line, None, f"c{number}", f"not an int32: {text!r}", raw)
        elif not -(2**31) <= int(stripped) < 2**31:
            return Row(line, None, f"c{number}", f"out of range for int32: {text!r}", raw)
        else:
            values.append(int(stripped))
    return Row(line, tuple(values))


def read(data, blocks=None, types=TYPES, **options) -> list[Row]:
    columns = tuple(Column(f"c{i}", DataType(t)) for i, t in enumerate(types))
    spec = ReadSpec(columns, header=False, **options)
    source = FileSource("f", lambda: io.BytesIO(data))
    out = []
    for chunk in read_chunks(source, spec, blocks):
        assert chunk.rows_read == len(chunk.lines) + chunk.rejects.num_rows
        here = [
            Row(line, tuple(row.values()))
            for line, row in zip(chunk.lines.tolist(), chunk.table.to_pylist(), strict=True)
        ]
        assert [row.line for row in here] == sorted(row.line for row in here)
        bad = [
            Row(r["line"], None, r["column"], r["reason"], r["raw"])
            for r in chunk.rejects.to_pylist()
        ]
        assert [row.line for row in bad] == sorted(row.line for row in bad)
        out += sorted(here + bad, key=lambda row: row.line)
    return out


def slices(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


FIELD = st.one_of(
    st.sampled_from(
        [b"", b"7", b"-12", b" 5 ", b"+3", b"TBD", b"99999999999", b"x", b'""', b'"a,b"']
    ),
    st.sampled_from(
        [
            b'"a\nb"',
            b'"a""b"',
            b'"1"',
            b'"x',
            b'y"',
            b'"a"b',
            b'"\r\n"',
            b"\xff",
            b"\xc3\xa9",
            b"\0",
            b"\xef\xbb\xbfx",
        ]
    ),
    st.text('ab",\n\r 1é', max_size=6).map(str.encode),
)
LINE = st.lists(FIELD, min_size=1, max_size=4).map(b",".join)
GOOD = st.tuples(
    st.sampled_from([b"x", b"", b'"q"', b'"a\nb"']),
    st.sampled_from([b"1", b"", b"T"]),
    st.just(b"z"),
).map(b",".join)
END = st.sampled_from([b"\n", b"\n", b"\r\n"])
TEXT = st.lists(st.tuples(st.one_of(LINE, GOOD, st.just(b"")), END).map(b"".join), max_size=12).map(
    b"".join
)
WILD = st.lists(st.sampled_from(list(b'",\n\rax1')), max_size=60).map(bytes)
DATA = st.one_of(
    TEXT,
    TEXT.map(lambda t: t.rstrip(b"\r\n")),
    WILD,
    TEXT.map(lambda t: t.replace(b"\r\n", b"\r").replace(b"\n", b"\r")),
)


@pytest.mark.slow
@settings(max_examples=400)
@given(
    data=DATA,
    chunk=st.integers(16, 4096),
    cuts=st.lists(st.integers(0, 500), max_size=8),
    longest=st.sampled_from([8, 20, 60, 1 << 20]),
)
@example(data=b'"a"\r', chunk=16, cuts=[], longest=60)
@example(data=b'x,1,"a"\r\nx,2,b\r', chunk=16, cuts=[8], longest=60)
def test_reading_equals_the_reference(data, chunk, cuts, longest):
    expected = reference(data, longest)
    got = read(data, slices(data, cuts), chunk_bytes=chunk, max_record_bytes=longest)
    assert got == expected


@pytest.mark.slow
@settings(max_examples=150)
@given(data=DATA, chunk=st.integers(16, 200))
def test_one_column_takes_blank_lines_as_blank_values(data, chunk):
    got = read(data, [data], types=("string",), chunk_bytes=chunk)
    assert got == reference(data, 1 << 20, ("string",))
