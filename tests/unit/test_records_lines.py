"""Lines of plain text: what whole-array counting must not get wrong."""

import numpy as np
import pytest

from ess_dask.records.lines import Lines


def lines_of(text):
    return Lines.of(np.frombuffer(bytearray(text), np.uint8), returns=b"\r" in text)


@pytest.mark.parametrize("fields", [1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 600])
def test_any_number_of_fields_is_counted(fields):
    texts = [",".join("x" * fields), "a,b", "", "," * 63, "x" * 63, "x" * 64 + ",", "," * fields]
    for shift in range(66):
        whole = ["y" * shift, *texts]
        lines = lines_of("".join(f"{text}\n" for text in whole).encode())
        assert lines.fields(ord(",")).tolist() == [text.count(",") + 1 for text in whole]


def test_lines_are_given_without_their_ends():
    lines = lines_of(b"a,b\r\n\r\n\nc\n")
    assert lines.texts(np.arange(4)) == [b"a,b", b"", b"", b"c"]
    assert lines.texts(np.array([3, 0])) == [b"c", b"a,b"]
    assert len(lines) == 4


def test_wiped_lines_are_nothing_but_line_ends():
    data = np.frombuffer(bytearray(b"a,b\r\nccc\nd\n\n"), np.uint8)
    Lines.of(data, returns=True).wipe(np.array([0, 2, 3]))
    assert data.tobytes() == b"\n\n\n\r\nccc\n\n\n\n"


def test_lines_of_several_texts():
    parts = [lines_of(b"a\nbb\n"), lines_of(b""), lines_of(b"\r\nc\n")]
    joined = Lines.joined(parts)
    assert joined.texts(np.arange(4)) == [b"a", b"bb", b"", b"c"]
    assert Lines.joined(parts[:1]) is parts[0]


def test_blank_lines_are_found():
    for shift in range(66):
        text = b"\n" + b"y" * shift + b"\n\n\nab\n" + b"z" * 70 + b"\n\n"
        expected = [number for number, line in enumerate(text.split(b"\n")[:-1]) if not line]
        assert lines_of(text).blank().tolist() == expected
    assert lines_of(b"a\nb\n").blank().tolist() == []
