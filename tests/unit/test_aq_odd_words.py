"""Words no sane option has: each is refused in a sentence, with the exit code of a wrong option."""

import time

import pytest

from ess_dask.aq.errors import InputDataError
from ess_dask.aq.inputs.binary import BinaryReader, encode_head
from ess_dask.aq.kinds import Kind

ENDLESS = "9" * 5000
"""More digits than Python itself makes a number of."""

RULES = [
    ["-seed", "²"],
    ["-seed", ENDLESS],
    ["-var", "i:v", "²"],
    ["-mapf", "a", f"%%z:{ENDLESS}%%"],
    ["-mapf", "a", "%%z:5-2%%"],
    ["-mapc", "s:x", f"%%a:{ENDLESS}%%"],
    ["-filt", f'ClipStr(a, "{ENDLESS}>") == ""'],
    ["-eval", "i:x", f'RxCmp(a, "a\\\\{{{ENDLESS}\\\\}}")'],
    ["-eval", "i:x", "(" * 3000 + "1" + ")" * 3000],
    ["-eval", "s:x", "ToUpper(" * 1000 + "a" + ")" * 1000],
    ["-c", f"b+%{ENDLESS}d"],
    ["-c", "b+%999999999d"],
    ["-c", "b+%*d"],
    ["-filt", 'a == "\ud800"'],
    ["-o", "\ud800"],
]


@pytest.mark.parametrize("words", RULES, ids=lambda words: " ".join(words)[:30])
def test_rules(aq, words):
    name = aq.write("in", "x,1\n")
    before = words if words[0] == "-var" else []
    rest = [] if before else words
    ended = aq.pp("-f", name, "-d", "s:a", "i:b", *before, *rest)
    assert (ended.code, ended.out) == (2, b"")
    assert ended.err.startswith("aq_pp: ")


@pytest.mark.parametrize("attribute", ["bz=", "+", "eok=", "eok=1/", "qui="])
def test_attributes_of_inputs(aq, attribute):
    assert aq.pp(f"-f,{attribute}{ENDLESS}", aq.write("in", ""), "-d", "s:a").code == 2


@pytest.mark.parametrize("spec", [f"s,n={ENDLESS}:a", f"s@{ENDLESS}:a", "s,n=²:a", "s@²:a"])
def test_columns(aq, spec):
    assert aq.pp("-f", aq.write("in", "x\n"), "-d", spec).code == 2


def test_keys_of_objects(aq):
    assert aq.pp("-f,jsn", aq.write("in", "{}"), "-d", f"s:a:k[{ENDLESS}]").code == 2


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("aq_ord", ["-sort", "a", "-blk", "²", "out"]),
        ("aq_ord", ["-sort", "a", "-blk", ENDLESS, "out"]),
        ("aq_sess", ["-t", "b", "-k", "a", "-tout", "²"]),
        ("aq_sess", ["-t", "b", "-k", "a", "-tout", "5", "-ttol", "x"]),
    ],
)
def test_other_programs(aq, program, words):
    ended = aq(program, "-f", aq.write("in", "x,1\n"), "-d", "s:a", "i:b", *words)
    assert ended.code == 2
    assert "needs a number" in ended.err


def test_a_range_of_columns_has_an_end(aq):
    name = aq.write("in", "x,y\n")
    assert aq("aq_cat", "-f", name, "-c", "1-999999999").code == 2
    assert aq("aq_cat", "-f", name, "-c", f"1-{ENDLESS}").code == 2
    assert aq("aq_cat", "-f", name, "-c", "2-1").out == b"y,x\n"


def test_numbers_without_end_in_the_data_are_numbers_that_wrap_or_bad_records(aq):
    name = aq.write("in", f"{ENDLESS}0000001,1\n{'0' * 5000}7,{'0' * 5000}7\nx,{ENDLESS}\n")
    ended = aq.pp(
        "-f,eok", name, "-d", "s:a", "i:b", "-eval", "l:c", "ToI(a)", "-o,notitle", "-", "-c", "c"
    )
    assert ended.lines == [str(int(ENDLESS[:64] + "0000001") % 2**64), "7"]
    assert "out of the range of its type" in ended.err
    assert aq.value(ENDLESS[:300], kind="l") == aq.value(str(int(ENDLESS[:300]) % 2**64), kind="l")
    xml = aq.write("xml", f"<a><b>&#{ENDLESS};</b></a>")
    assert "bad XML" in aq.pp("-f,xml,eok", xml, "-d", "s:a:a.b").err
    zeros = aq.write("zeros", f"<a><b>&#{'0' * 5000}233;</b></a>")
    assert aq.pp("-f,xml", zeros, "-d", "s:a:a.b", "-o,notitle", "-").out == '"é"\n'.encode()


def test_printed_numbers_are_what_c_prints(aq):
    name = aq.write("in", "4294967233,-1\n")
    ended = aq.pp("-f", name, "-d", "i:a", "is:b", "-o,notitle", "-",
                  "-c", "a+%c", "b+max=%d", "b+%%%x", "b+%c")  # fmt: skip
    assert ended.out == b"\xc1,max=-1,%ffffffff,\xff\n"


def test_an_address_of_a_wrong_length_is_an_error_of_the_input():
    head = encode_head([Kind.IP], ["a"])
    for size in (0, 1, 7, 17):
        reader = BinaryReader(iter([head + bytes((1, size)) + b"x" * size]), "x")
        reader.start()
        with pytest.raises(InputDataError, match="address"):
            list(reader.records([Kind.IP]))


HOSTILE = {
    "cells that never end": ("tab", ["s:a"], b"<td>" * 300_000),
    "cells that never begin": ("tab", ["s:a"], b"<td " * 300_000),
    "instructions that never end": ("xml", ["s:a:a.b"], b"<?" * 300_000),
    "types that never end": ("xml", ["s:a:a.b"], b"<!DOCTYPE " * 100_000),
    "bad values": ("jsn", ["s:a:a"], b'{"a":}\n' * 20_000),
    "a quote that never closes": ("csv,bz=1000000", ["s:a"], b'"x\n' + b"a\n" * 400_000),
    "nested arrays": ("jsn", ["s:a:a"], b"[" * 300_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_inputs_are_read_in_the_time_of_reading_them(aq, name):
    form, columns, data = HOSTILE[name]
    began = time.process_time()
    ended = aq.pp(f"-f,{form},eok,qui", aq.write("in", data), "-d", *columns, "-o", "/dev/null")
    assert ended.code == 0
    # The square of the size would be minutes.
    assert time.process_time() - began < 15


def test_prologs_are_dropped_wherever_a_block_ends(aq):
    document = (
        '<?xml version="1.0"?><!DOCTYPE a><a><?php x > y ?><b>1</b></a>'
        '<?xml version="1.0"?><!DOCTYPE a SYSTEM "x"><a><b>2</b></a>'
    )
    name = aq.write("in", document)
    assert aq.pp("-f,xml", name, "-d", "i:a:a.b", "-o,notitle", "-").lines == ["1", "2"]
