"""No record is lost silently: what comes in comes out as a row or is told as a bad record."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.aq.errors import AqError
from ess_dask.aq.inputs.binary import BinaryReader, encode_head, encode_record
from ess_dask.aq.inputs.reading import Counts, FilePlace, Inputs, good_rows, typed_rows
from ess_dask.aq.inputs.records import Broken
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.rows.state import blank_row
from ess_dask.aq.run import run_program
from ess_dask.aq.stores import NoStore

LINE = st.binary(max_size=24).map(lambda data: data.replace(b"\n", b""))
SIZES = st.integers(1, 40)


def found_in(words, data, step):
    """Return rows (lists) and complaints (texts) of a stream that comes in pieces."""
    program = parse_command(["-f" + words[0], "x", "-d", *words[1:]], None, None)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    spec, blank = program.inputs[0], blank_row(program.kinds)
    return [
        found.reason if isinstance(found, Broken) else found
        for found in typed_rows(spec, pieces, blank)
    ]


@pytest.mark.parametrize(
    "words",
    [
        (",sep=;,eok", "s:a", "i:b"),
        (",sep=;,esc,nox,eok", "s:a", "i:b"),
        (",fix,eok", "s,n=3:a", "i,n=2:b"),
        (",div,eok", "sep:[", "s:a", "sep:]", "i:b"),
    ],
)
@settings(max_examples=150)
@given(lines=st.lists(LINE, max_size=8), ends=st.booleans(), step=SIZES)
def test_a_line_is_a_record_whatever_is_in_it(words, lines, ends, step):
    data = b"\n".join(lines) + b"\n" * ends
    records = data.split(b"\n")
    expected = len(records) - (records[-1] == b"")
    assert len(found_in(words, data, step)) == expected


GOOD = "k{0},{0}\n"


@settings(max_examples=300)
@given(st.lists(LINE.map(lambda line: line.replace(b'"', b"'")), max_size=6), SIZES)
def test_good_lines_of_csv_come_out_whatever_is_between_them(garbage, step):
    data = b"".join(GOOD.format(n).encode() + bad + b"\n" for n, bad in enumerate(garbage))
    rows = found_in((",eok,nox", "s:a", "i:b"), data, step)
    assert len(rows) == 2 * len(garbage)
    assert rows[::2] == [[f"k{n}", n] for n in range(len(garbage))]


@pytest.mark.slow
@settings(max_examples=300)
@given(st.text('",x 1\r', max_size=12), SIZES)
def test_a_quote_that_never_closes_takes_no_other_line_with_it(text, step):
    odd = text if text.count('"') % 2 else text + '"x'
    lines = [GOOD.format(n) for n in range(6)]
    data = "".join([*lines[:3], odd + "\n", *lines[3:]])
    rows = found_in((",eok,nox", "s:a", "i:b"), data.encode(), step)
    assert rows[:3] + rows[-3:] == [[f"k{n}", n] for n in range(6)]
    assert len(rows) == 7


@settings(max_examples=300)
@given(st.lists(st.text('{[:,1 ak\\', max_size=8), max_size=5), SIZES)  # fmt: skip
def test_good_json_objects_come_out_whatever_begins_between_them(garbage, step):
    good = [f'{{"k": {n}, "w": "x"}}\n' for n in range(1, len(garbage) + 1)]
    data = "".join(one + bad + "\n" for one, bad in zip(good, garbage, strict=True))
    rows = found_in((",jsn,eok", "i:k:k"), data.encode(), step)
    assert [row[0] for row in rows if isinstance(row, list) and row[0]] == [
        n + 1 for n in range(len(garbage))
    ]


@settings(max_examples=200)
@given(st.lists(st.text("<td/r >x", max_size=12), max_size=5), SIZES)
def test_good_rows_of_a_table_come_out_whatever_text_is_between_them(garbage, step):
    between = [text.replace("<", "").replace(">", "") for text in garbage]
    good = [f"<tr><td>k{n}</td><td>{n}</td></tr>" for n in range(len(garbage))]
    data = "".join(one + bad for one, bad in zip(good, between, strict=True))
    assert found_in((",tab,eok", "s:a", "i:b"), data.encode(), step) == [
        [f"k{n}", n] for n in range(len(garbage))
    ]


KINDS = [Kind.S, Kind.I, Kind.F, Kind.IP]
VALUES = st.tuples(
    st.text(st.characters(max_codepoint=255), max_size=6),
    st.integers(0, 2**32 - 1),
    st.floats(allow_nan=False),
    st.sampled_from(["0.0.0.0", "1.2.3.4", "::1"]),
)


def binary(rows, names=("a", "b", "c", "d")):
    head = encode_head(KINDS, names)
    records = [encode_record(KINDS, row) for row in rows]
    return head, records


def read_binary(data, step):
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    reader = BinaryReader(iter(pieces), "x")
    reader.start()
    return list(reader.records(KINDS))


@settings(max_examples=200)
@given(st.lists(VALUES, max_size=5), st.integers(0, 200), SIZES)
def test_a_binary_stream_that_breaks_off_loses_only_what_is_not_there(rows, cut, step):
    head, records = binary(rows)
    data = head + b"".join(records)[:cut]
    ends = [sum(map(len, records[: n + 1])) for n in range(len(records))]
    whole = [list(row) for row, end in zip(rows, ends, strict=True) if end <= cut]
    found = read_binary(data, step)
    assert found[: len(whole)] == whole
    within = len(data) - len(head) not in (0, *ends)
    assert [type(one) for one in found[len(whole) :]] == [Broken] * within


@pytest.mark.slow
@settings(max_examples=400)
@given(st.lists(VALUES, max_size=3), st.integers(0, 60), st.binary(max_size=4), SIZES)
def test_binary_bytes_that_are_wrong_give_rows_or_an_error(rows, at, wrong, step):
    head, records = binary(rows)
    data = head + b"".join(records)
    data = data[:at] + wrong + data[at + len(wrong) :]
    try:
        found = read_binary(data, step)
    except AqError:
        return
    assert all(isinstance(one, Broken) or len(one) == len(KINDS) for one in found)


@settings(max_examples=60)
@given(st.lists(st.one_of(LINE, st.just(b"k,1"), st.just(b"k,2,3")), max_size=30), st.booleans())
def test_rows_out_and_bad_records_are_all_records_by_batches_too(tmp_path_factory, lines, batches):
    folder = tmp_path_factory.mktemp("accounts")
    # The first line is good: the stream must not begin like a compressed one.
    data = b"".join(line.replace(b'"', b"") + b"\n" for line in (b"k,1", *lines))
    (folder / "in").write_bytes(data)
    words = ["-f,eok,qui", str(folder / "in"), "-d", "s:a", "i:b", "-o,notitle", str(folder / "o")]
    state = run_program(
        parse_command(words, None, None), Inputs(), NoStore(),
        block_bytes=64, small_bytes=0 if batches else 1 << 20,
    )  # fmt: skip
    assert state.counts.records == len(lines) + 1
    assert state.written + state.counts.errors == state.counts.records


@settings(max_examples=200)
@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5), st.integers(1, 12))
def test_a_window_of_bad_records_is_counted_as_one_would_count_it(bad, limit, rows):
    lines = ["x" if wrong else "1" for wrong in bad]
    program = parse_command([f"-f,eok={limit}/{rows},qui", "x", "-d", "i:a"], None, None)
    counts, spec = Counts(), program.inputs[0]
    found = typed_rows(spec, ["\n".join(lines).encode()], blank_row(program.kinds))
    exceeded = any(sum(bad[max(0, n - rows) : n]) > limit for n in range(1, len(bad) + 1))
    try:
        kept = list(good_rows(found, spec, counts, FilePlace("x")))
    except AqError:
        assert exceeded
        return
    assert not exceeded
    assert len(kept) == bad.count(False)
