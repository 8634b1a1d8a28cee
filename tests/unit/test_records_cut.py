"""Fields cut out of plain lines: what is found by bits is what splitting each line gives."""

import random
from unittest.mock import patch

import numpy as np
import pytest

from ess_dask.records.bits import positions
from ess_dask.records.cut import cut, cut_pays
from ess_dask.records.lines import Lines
from ess_dask.records.spec import Column
from ess_dask.records.title import Fields
from ess_dask.records.types import parse_type


def lines_of(texts, end="\n"):
    data = np.frombuffer("".join(text + end for text in texts).encode(), np.uint8)
    return Lines.of(data, returns=end == "\r\n")


def check(texts, width, wanted, end="\n"):
    found = cut(lines_of(texts, end), ord(","), width, wanted)
    fields = [text.split(",") if text else [] for text in texts]
    wrong = [number for number, line in enumerate(fields) if len(line) != width]
    assert found.wrong.tolist() == wrong
    assert found.counts.tolist() == [len(fields[number]) for number in wrong]
    good = [line for line in fields if len(line) == width]
    for position in wanted:
        assert found.texts(position).to_pylist() == [line[position] for line in good]
        column = "".join(line[position] + "\n" for line in good)
        assert found.column(position).tobytes() == column.encode()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [1, 2, 1 << 13])
def test_fields_are_those_of_each_line(end, block):
    choose = random.Random(5)
    with patch("ess_dask.records.cut.BLOCK_WORDS", block):
        for _ in range(150):
            width = choose.choice([2, 3, 5, 70])
            longest = choose.choice([0, 1, 3, 30, 90])
            texts = [
                ",".join("v" * choose.randint(0, longest) for _ in range(fields))
                for fields in choose.choices(
                    [width, width - 1, width + 1, 1], [9, 1, 1, 1], k=choose.randint(0, 40)
                )
            ]
            wanted = choose.sample(range(width), choose.randint(1, min(width, 3)))
            check(texts, width, wanted, end)


@pytest.mark.parametrize("size", range(60, 68))
def test_lines_about_as_long_as_a_word(size):
    for shift in range(70):
        short, long = "a,b" + "c" * (size - 3), "d" * (size - 1) + ","
        check(["x" * shift, short, long, long[::-1], short], 2, [0, 1])


def test_the_last_lines_are_long_and_have_no_separator():
    check(["a,b", "x" * 200], 2, [1])
    check(["x" * 200], 2, [0])
    check(["a,b,c", "x" * 100 + ",y", "z" * 300], 3, [2, 0])


def test_no_line_is_good_or_there():
    check([], 2, [0])
    check(["", "", "a"], 2, [0, 1])


def test_fields_of_nothing():
    check([",,", ",,"], 3, [0, 1, 2])


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 1])
def test_places_that_are_set_are_found(share):
    choose = random.Random(3)
    bits = [choose.random() < share for _ in range(64 * 50)]
    words = np.packbits(np.array(bits), bitorder="little").view(np.uint64)
    assert positions(words).tolist() == [place for place, bit in enumerate(bits) if bit]


@pytest.mark.parametrize(
    ("line", "wanted", "pays"),
    [("a,b,c,d", 2, True), ("a,b,c,d", 3, False), ("a" * 60 + ",b,c,d", 1, False)],
)
def test_few_fields_of_short_lines_are_cut(line, wanted, pays):
    columns = tuple(Column(f"c{n}", parse_type("string")) for n in range(wanted))
    assert cut_pays(lines_of([line] * 3), Fields(4, columns, tuple(range(wanted)))) is pays
