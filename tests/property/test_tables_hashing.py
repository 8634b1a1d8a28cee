"""Partitions: equal keys together, the same on every machine, no row lost, order kept."""

import datetime as dt
import math
import struct
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.errors import UsageError
from ess_dask.tables.partition import hash_keys, partition_numbers, split

MASK = 2**64 - 1
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def rotate(x, r):
    return ((x << r) | (x >> (64 - r))) & MASK


def lane_round(acc, lane):
    return rotate((acc + lane * P2) & MASK, 31) * P1 & MASK


def xxh64(data: bytes, seed: int = 0) -> int:
    """The published algorithm, as slow and plain as it can be written."""
    rest = data
    if len(data) >= 32:
        acc = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        while len(rest) >= 32:
            acc = [
                lane_round(a, lane)
                for a, lane in zip(acc, struct.unpack("<4Q", rest[:32]), strict=True)
            ]
            rest = rest[32:]
        h = sum(rotate(a, r) for a, r in zip(acc, (1, 7, 12, 18), strict=True)) & MASK
        for a in acc:
            h = ((h ^ lane_round(0, a)) * P1 + P4) & MASK
    else:
        h = (seed + P5) & MASK
    h = (h + len(data)) & MASK
    while len(rest) >= 8:
        h ^= lane_round(0, struct.unpack("<Q", rest[:8])[0])
        h, rest = (rotate(h, 27) * P1 + P4) & MASK, rest[8:]
    if len(rest) >= 4:
        h ^= struct.unpack("<I", rest[:4])[0] * P1 & MASK
        h, rest = (rotate(h, 23) * P2 + P3) & MASK, rest[4:]
    for byte in rest:
        h = rotate(h ^ (byte * P5 & MASK), 11) * P1 & MASK
    for shift, prime in ((33, P2), (29, P3)):
        h = (h ^ (h >> shift)) * prime & MASK
    return h ^ (h >> 32)


def test_the_reference_is_xxhash64():
    # The values published with the algorithm.
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"a") == 0xD24EC4F1A98C6E5B
    assert xxh64(b"Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1


def canonical(value) -> bytes:
    """The documented canonical form, one value at a time."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, dt.datetime):
        micros = (value.replace(tzinfo=dt.UTC) - EPOCH) // dt.timedelta(microseconds=1)
        return struct.pack("<q", micros)
    if isinstance(value, dt.date):
        return struct.pack("<q", (value - dt.date(1970, 1, 1)).days * 86_400_000_000)
    if isinstance(value, float) and not (value.is_integer() and -(2**63) <= value < 2**64):
        return struct.pack("<d", math.nan if math.isnan(value) else value)
    return struct.pack("<Q", int(value) & MASK)


def reference(values) -> int:
    hashes = [0 if v is None else xxh64(canonical(v)) for v in values]
    result = hashes[0]
    for other in hashes[1:]:
        result = xxh64(struct.pack("<Q", other), seed=result)
    return result


COLUMNS = {
    pa.string(): st.text(),
    pa.large_string(): st.text(),
    pa.binary(): st.binary(max_size=80),
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats() | st.sampled_from([2.0**63, -(2.0**63), 2.0**64, 1e300, -0.0]),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.dictionary(pa.int32(), pa.string()): st.text(max_size=3),
}


@st.composite
def keyed(draw):
    """A table of key columns and the same values as Python lists."""
    rows = draw(st.integers(0, 30))
    data, fields = [], []
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(list(COLUMNS)))
        values = draw(st.lists(st.none() | COLUMNS[kind], min_size=rows, max_size=rows))
        data.append(values)
        fields.append(pa.field(f"k{number}", kind))
    arrays = [pa.array(v, f.type) for v, f in zip(data, fields, strict=True)]
    return pa.table(arrays, schema=pa.schema(fields)), data


@pytest.mark.slow
@given(keyed())
def test_hashes_are_those_of_the_slow_reference(case):
    table, data = case
    got = hash_keys(table, tuple(table.column_names)).tolist()
    assert got == [reference(row) for row in zip(*data, strict=True)]


@pytest.mark.slow
@given(keyed(), st.integers(1, 300))
def test_split_keeps_every_row_in_order_in_its_partition(case, partitions):
    table, _ = case
    key = tuple(table.column_names)
    table = table.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    numbers = partition_numbers(table, key, partitions).tolist()
    parts = split(table, key, partitions)
    assert [p for p, _ in parts] == sorted({*numbers}) if partitions > 1 else True
    for number, part in parts:
        rows = part["row"].to_pylist()
        assert rows == [r for r, n in enumerate(numbers) if n == number]
        assert part.select(["row"]).to_pylist() == [{"row": r} for r in rows]
        assert hash_keys(part, key).tolist() == hash_keys(table, key)[rows].tolist()


@pytest.mark.slow
@given(keyed(), st.data())
def test_a_slice_of_rows_goes_where_the_whole_would(case, data):
    table, _ = case
    key = tuple(table.column_names)
    cut = data.draw(st.integers(0, table.num_rows))
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert (hash_keys(chunked, key) == hash_keys(table, key)).all()
    assert (hash_keys(table.slice(cut), key) == hash_keys(table, key)[cut:]).all()


def one(value, kind):
    return int(hash_keys(pa.table({"k": pa.array([value], kind)}), ("k",))[0])


@pytest.mark.parametrize(
    "same",
    [
        [(1, pa.int8()), (1, pa.uint64()), (1.0, pa.float32()), (1.0, pa.float64()),
         (True, pa.bool_()), (Decimal("1.00"), pa.decimal128(9, 2)), (1, pa.int64())],
        [(0, pa.int32()), (0.0, pa.float64()), (-0.0, pa.float64()), (-0.0, pa.float32())],
        [(math.nan, pa.float64()), (-math.nan, pa.float64()), (math.nan, pa.float32())],
        [(2**63, pa.uint64()), (2.0**63, pa.float64()), (Decimal(2**63), pa.decimal128(38, 0))],
        [(2**64 - 1, pa.uint64()), (Decimal(2**64 - 1), pa.decimal128(38, 0))],
        [(-(2**63), pa.int64()), (-(2.0**63), pa.float64()),
         (Decimal(-(2**63)), pa.decimal128(38, 2))],
        [(1.5, pa.float64()), (Decimal("1.5"), pa.decimal128(9, 1)),
         (Decimal("1.500"), pa.decimal256(50, 3))],
        [(Decimal(2**53 + 1), pa.decimal128(20, 0)), (2**53 + 1, pa.int64())],
        [("ß", pa.string()), ("ß", pa.large_string()), ("ß".encode(), pa.binary())],
        [(dt.date(2014, 9, 1), pa.date32()), (dt.date(2014, 9, 1), pa.date64()),
         *((1_409_529_600 * 10**n, pa.timestamp(u)) for n, u in ((0, "s"), (3, "ms"), (6, "us"))),
         (1_409_529_600 * 10**9 + 999, pa.timestamp("ns")),
         (dt.datetime(2014, 9, 1, tzinfo=dt.UTC), pa.timestamp("ms", "America/New_York"))],
        [(None, t) for t in (pa.null(), pa.string(), pa.int64(), pa.float64(), pa.date32())],
    ],
)  # fmt: skip
def test_values_that_are_one_key_share_a_partition(same):
    assert len({one(value, kind) for value, kind in same}) == 1


@pytest.mark.parametrize(
    "different",
    [
        [(1, pa.int64()), ("1", pa.string()), (-1, pa.int64()), (None, pa.int64())],
        [("a", pa.string()), ("A", pa.string()), ("a ", pa.string()), ("", pa.string()),
         (None, pa.string())],
        [(math.nan, pa.float64()), (None, pa.float64()), (0.0, pa.float64())],
        [(2.0**64, pa.float64()), (0, pa.int64()), (1e300, pa.float64())],
    ],
)  # fmt: skip
def test_different_keys_have_different_hashes(different):
    assert len({one(value, kind) for value, kind in different}) == len(different)


def test_columns_of_a_key_keep_their_borders_and_order():
    rows = pa.table({"a": ["ab", "a", "", None], "b": ["c", "bc", "abc", "abc"]})
    assert len(set(hash_keys(rows, ("a", "b")).tolist())) == 4
    assert hash_keys(rows, ("a", "b")).tolist() != hash_keys(rows, ("b", "a")).tolist()


def golden_hashes():
    table = pa.table(
        {
            "s": pa.array(["", "userID", "a" * 40, None, "日本"]),
            "i": pa.array([0, 1, -1, None, 2**62], pa.int64()),
            "f": pa.array([0.5, -0.0, math.nan, None, 1e300]),
            "t": pa.array([0, 1, -1, None, 10**15], pa.timestamp("us")),
        }
    )
    keys = (("s",), ("i",), ("f",), ("t",), ("s", "i"), ("s", "i", "f", "t"))
    return [hash_keys(table, key).tolist() for key in keys]


GOLDEN = [
    [17241709254077376921, 13524907631493137337, 6241609220271238915, 0, 9278228920455835563],
    [3803688792395291579, 11468921228449061269, 9642548396912002761, 0, 9835943264235290955],
    [5245389620263901762, 3803688792395291579, 16838308782748609196, 0, 11016503143049590244],
    [3803688792395291579, 11468921228449061269, 9642548396912002761, 0, 14206812008755996132],
    [
        9576816205429742069,
        13171259784795488443,
        14455894141319662127,
        3803688792395291579,
        17017961471857323141,
    ],
    [
        4122529272783708675,
        17491062060889788215,
        8379873752793190158,
        4187699687204595010,
        7152568416470383252,
    ],
]


def test_hashes_are_frozen():
    # A change would send the rows of a new import to other partitions than those before.
    assert golden_hashes() == GOLDEN


@pytest.mark.slow
def test_hashes_do_not_depend_on_the_process():
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['golden_hashes']())"
    run = subprocess.run(
        [sys.executable, "-c", code, __file__],
        capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "77"},
    )  # fmt: skip
    assert run.stdout.strip() == str(GOLDEN)


@pytest.mark.parametrize("kind", [pa.list_(pa.int32()), pa.struct([("a", pa.int8())])])
def test_a_nested_column_cannot_be_a_key(kind):
    table = pa.table({"k": pa.array([None], kind)})
    with pytest.raises(UsageError, match="column k is"):
        hash_keys(table, ("k",))


def test_keys_spread_evenly():
    table = pa.table({"k": np.arange(100_000)})
    counts = np.bincount(partition_numbers(table, ("k",), 32), minlength=32)
    assert counts.min() > 2800 and counts.max() < 3450


def test_a_skewed_key_stays_in_one_partition():
    keys = ["hot"] * 9000 + [f"u{i}" for i in range(1000)]
    parts = split(pa.table({"k": keys}), ("k",), 32)
    sizes = sorted(part.num_rows for _, part in parts)
    assert sum(sizes) == 10_000 and sizes[-1] >= 9000 and len(parts) == 32
