"""Lines of plain text: what whole-array counting must not get wrong."""

import random

import numpy as np
import pytest

from ess_dask.records.lines import Lines
from ess_dask.records.rejects import RAW_LIMIT


def lines_of(text):
    return Lines.of(np.frombuffer(bytearray(text), np.uint8), returns=b"\r" in text)


def fields_of(text):
    return text.count(",") + 1 if text else 0


@pytest.mark.parametrize("width", [2, 3, 63, 64, 65, 127, 128, 129, 255, 256, 257, 600, 70_000])
def test_every_irregular_line_among_regular_ones_is_taken_out(width):
    regular = "," * (width - 1)
    odd = ["", "x", regular + ",", regular[1:] or "yy", "," * 3 * width, "x" * 64 + regular + ",,"]
    for shift in range(66) if width < 1000 else (0, 1):
        # Regular lines stand between: irregular ones that follow at once may make up for others.
        far = [regular + "z" * 130] * 2
        whole = [regular + "y" * shift]
        for text in odd:
            whole += [*far, text]
        wrong = [at for at, text in enumerate(whole) if text.count(",") != width - 1]
        for texts in (whole, [*whole, *far], whole[::-1]):
            lines = lines_of("".join(f"{text}\n" for text in texts).encode())
            wrong = [at for at, text in enumerate(texts) if text.count(",") != width - 1]
            found, counts, taken = lines.take_irregular(ord(","), width)
            assert found.tolist() == wrong
            assert counts.tolist() == [fields_of(texts[at]) for at in wrong]
            assert taken.to_pylist() == [texts[at].encode()[:RAW_LIMIT] for at in wrong]
            left = b"".join(
                b"\n" * (len(text) + 1) if at in wrong else f"{text}\n".encode()
                for at, text in enumerate(texts)
            )
            assert lines.data.tobytes() == left


def test_what_is_taken_out_is_irregular_and_what_is_left_is_made_up_for():
    choose = random.Random(7)
    missed = 0
    for _ in range(400):
        texts = [
            "," * choose.choice([0, 1, 2, 2, 2, 2, 3]) + "v" * choose.randrange(40)
            for _ in range(60)
        ]
        end = choose.choice(["\n", "\r\n"])
        lines = lines_of("".join(text + end for text in texts).encode())
        found, counts, taken = lines.take_irregular(ord(","), 3)
        wrong = {at for at, text in enumerate(texts) if text.count(",") != 2}
        assert set(found.tolist()) <= wrong
        assert taken.to_pylist() == [texts[at].encode() for at in found.tolist()]
        assert counts.tolist() == [fields_of(texts[at]) for at in found.tolist()]
        left = wrong - set(found.tolist())
        assert sum(texts[at].count(",") - 2 for at in left) == 0
        missed += len(left)
    assert missed


def test_lines_are_given_without_their_ends():
    lines = lines_of(b"a,b\r\n\r\n\nc\n")
    assert lines.raws(np.arange(4)).to_pylist() == [b"a,b", b"", b"", b"c"]
    assert lines.raws(np.array([3, 0])).to_pylist() == [b"c", b"a,b"]
    assert len(lines) == 4


def test_lines_with_carriage_returns_keep_them_when_they_are_taken_out():
    lines = lines_of(b"a,b\r\nccc\r\nd,e\r\n\r\n")
    found, _, texts = lines.take_irregular(ord(","), 2)
    assert (found.tolist(), texts.to_pylist()) == ([1, 3], [b"ccc", b""])
    assert lines.data.tobytes() == b"a,b\r\n\n\n\n\r\nd,e\r\n\r\n"


def test_lines_of_several_texts():
    parts = [lines_of(b"a\nbb\n"), lines_of(b""), lines_of(b"\r\nc\n")]
    joined = Lines.joined(parts)
    assert joined.raws(np.arange(4)).to_pylist() == [b"a", b"bb", b"", b"c"]
    assert Lines.joined(parts[:1]) is parts[0]


def test_empty_lines_are_found():
    for shift in range(66):
        text = b"\n" + b"y" * shift + b"\n\n\nab\n" + b"z" * 70 + b"\r\n\r\n"
        lines = text.replace(b"\r", b"").split(b"\n")[:-1]
        expected = [number for number, line in enumerate(lines) if not line]
        assert lines_of(text).empty().tolist() == expected
    assert lines_of(b"a\nb\n").empty().tolist() == []
