"""Inputs: every format and attribute, bad records and their limits, skipping, compression."""

import bz2
import gzip
import os
import threading

import pytest

CASES = [
    ("csv", "-f", ["s:a", "i:b"], 'x,1\n"y, ""z""",2\n,\n', ['"x",1', '"y, ""z""",2', ",0"]),
    ("quoted line ends", "-f", ["s:a", "i:b"], '"x\ny",1\n', ['"x', 'y",1']),
    ("carriage returns", "-f", ["s:a", "i:b"], 'x,1\r\n"y",2\r\n', ['"x",1', '"y",2']),
    ("no last line end", "-f", ["s:a", "i:b"], "x,1\ny,2", ['"x",1', '"y",2']),
    ("a quote within", "-f", ["s:a"], 'x"y\n', ['"x""y"']),
    ("separated", "-f,sep=:", ["s:a", "s:b"], 'x:"y"\n', ['"x","""y"""']),
    ("separated by a comma", "-f,sep=,", ["s:a", "s:b"], '"x,y"\n', ['"""x","y"""']),
    ("csv by tabs", "-f,csv,sep=\\x09", ["s:a", "s:b"], '"x\ty"\tz\n', ['"x\ty","z"']),
    ("escapes", "-f,esc,sep=|", ["s:a", "s:b"], "x\\|y|z\\\\\n", ['"x|y","z\\"']),
    ("escaped quotes", "-f,esc", ["s:a", "s:b"], '"x\\"y",z\n', ['"x""y","z"']),
    ("one escaped column", "-f,sep=;", ["s,esc:a", "s:b"], "x\\;y;z\\z\n", ['"x;y","z\\z"']),
    ("log escapes", "-f,sep=;", ["s,clf:a", "s:b"], "x\\x41\\n\\\";z\n", ['"xA', '""","z"']),
    ("lengths within csv", "-f", ["s,n=3:a", "s:b"], "x,y,z\n", ['"x,y","z"']),
    ("skipped columns", "-f", ["X", "s:a", "X[I]:no"], "1,x,y\n", ['"x"']),
    ("skipped columns of a type", "-f", ["XS", "s:a", "Xip:no"], "1,x,y\n", ['"x"']),
    ("positions", "-f", ["s@3:a", "s@1:b"], "1,2,3\n", ['"1","3"']),
    ("positions go on", "-f", ["s@2:a", "s:b"], "1,2,3\n", ['"2","3"']),
    ("fixed", "-f,fix", ["s,n=2:a", "i,n=3,trm:b"], "ab  7\ncd 12rest\n", ['"ab",7', '"cd",12']),
    ("divided", "-f,div", ["sep:[", "s:a", "sep:] ", "s:b"], "[x] y z\n", ['"x","y z"']),
    ("divided by lengths", "-f,div", ["s,n=2:a", "s:b", "SEP:;"], "abc;rest\n", ['"ab","c"']),
    ("divided with escapes", "-f,div,esc", ["s:a", "sep:;", "s:b"], "x\\;y;z\n", ['"x;y","z"']),
    ("html", "-f,tab", ["s:a", "i:b"],
     "<table><TR><th>h</th></TR><tr class=x><td>x</td><td a=b>1</TD></tr>\n"
     "<tr><td>y</td><td>2</td></tr>",
     ['"x",1', '"y",2']),
    ("trimmed", "-f", ["s,trm:a", "i,trm:b"], " x , 1 \n", ['"x",1']),
    ("cases", "-f", ["s,lo:a", "s,up:b"], "A\xc9,\xe9a\n", ['"a\xc9","\xe9A"']),
    ("hexadecimal", "-f", ["i,hex:a", "is,hex:b"], "ff,-0x1\n", ["255,-1"]),
    ("dashes and blanks", "-f", ["i:a", "ls:b", "f:c"], "-,-,\n ,, 1.5\n", ["0,0,0", "0,0,1.5"]),
    ("limits", "-f", ["i:a", "is:b", "l:c", "ls:d"],
     "4294967295,-2147483648,18446744073709551615,-9223372036854775808\n",
     ["4294967295,-2147483648,18446744073709551615,-9223372036854775808"]),
    ("signs and exponents", "-f", ["i:a", "f:b", "f:c"], "+5,-1e3,inf\n", ["5,-1000,inf"]),
    ("addresses", "-f", ["ip:a", "ip:b", "ip:c"], "1.2.3.4,,2001:DB8::1\n",
     ["1.2.3.4,0.0.0.0,2001:db8::1"]),
    ("bytes", "-f", ["s:a"], "\xff\xfe\x01\n", ['"\xff\xfe\x01"']),
    ("skipped lines", "-f,+1", ["s:a"], "title\nx\n", ['"x"']),
    ("skipped bytes", "-f,+2b", ["s:a"], "abx\n", ['"x"']),
    ("skipped records", "-f,+1r", ["s:a"], '"a\nb"\nx\n', ['"x"']),
    ("more skipped than there is", "-f,+9", ["s:a"], "x\n", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "columns", "data", "lines"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_formats(aq, option, columns, data, lines):
    ended = aq.pp(option, aq.write("in", data), "-d", *columns, "-o,notitle", "-")
    assert ended.code == 0, ended.err
    assert ended.lines == lines


BAD = [
    ("-f", ["i:a"], "x\n", "column 'a': 'x' is not an integer"),
    ("-f", ["i:a"], "1 \n", "'1 ' is not an integer"),
    ("-f", ["i:a"], "1_0\n", "not an integer"),
    ("-f", ["i:a"], "4294967296\n", "out of the range"),
    ("-f", ["i:a"], "-1\n", "out of the range"),
    ("-f", ["is:a"], "2147483648\n", "out of the range"),
    ("-f", ["f:a"], "1.2.3\n", "not a number"),
    ("-f", ["f:a"], "-\n", "not a number"),
    ("-f", ["ip:a"], "1.2.3.256\n", "not an address"),
    ("-f", ["i,hex:a"], "xyz\n", "not an integer"),
    ("-f", ["s:a", "s:b"], "x\n", "only 1 of 2 fields"),
    ("-f,nox", ["s:a"], "x,y\n", "2 fields instead of 1"),
    ("-f", ["s:a", "s:b"], '"x"y,z\n', "follows the end of field 1"),
    ("-f", ["s:a"], '"x\n', "a quote is not closed"),
    ("-f,bz=5", ["s:a"], "toolong\n", "longer than 5 bytes"),
    ("-f,fix", ["s,n=5:a"], "abc\n", "3 bytes instead of 5"),
    ("-f", ["s,n=5:a"], "abc\n", "shorter than 5 bytes"),
    ("-f,div", ["sep:[", "s:a"], "x\n", "no separator '['"),
    ("-f,div", ["s:a", "sep:]"], "x\n", "no separator behind field 1"),
    ("-f,tab", ["s:a", "s:b"], "<tr><td>1</td></tr>", "only 1 of 2 cells"),
    ("-f,tab,nox", ["s:a"], "<tr><td>1</td><td>2</td></tr>", "2 cells instead of 1"),
    ("-f,jsn", ["s:a:k"], '{"k": }\n', "bad JSON"),
    ("-f,xml", ["s:a:k"], "<k></j>", "bad XML"),
    ("-f,xml", ["s:a:k"], '<!DOCTYPE x [<!ENTITY e "x">]><k>&e;</k>', "bad XML"),
]  # fmt: skip


@pytest.mark.parametrize(("option", "columns", "data", "reason"), BAD)
def test_a_bad_record_ends_the_run(aq, option, columns, data, reason):
    name = aq.write("in", data)
    ended = aq.pp(option, name, "-d", *columns)
    assert ended.code == 13
    assert f"{name}: record 1: " in ended.err
    assert reason in ended.err


@pytest.mark.parametrize(("option", "columns", "data", "reason"), BAD)
def test_or_it_is_dropped(aq, option, columns, data, reason):
    head, comma, rest = option.partition(",")
    ended = aq.pp(
        f"{head},eok{comma}{rest}", aq.write("in", data), "-d", *columns, "-o,notitle", "-", "-stat"
    )
    assert (ended.code, ended.lines) == (0, [])
    assert reason in ended.err
    assert "err=1 out=0" in ended.err


def test_good_records_around_bad_ones(aq):
    data = 'a,1\n"b"c,2\nd\n"e,3\nf,4\ng,5\n'
    ended = aq.pp(
        "-f,eok,qui", aq.write("in", data), "-d", "s:a", "i:b", "-o,notitle", "-", "-stat"
    )
    assert ended.lines == ['"a",1', '"f",4', '"g",5']
    assert ended.err == "aq_pp: rec=6 err=3 out=3\n"


@pytest.mark.parametrize(
    ("attributes", "code", "kept"),
    [("eok=2", 0, 3), ("eok=1", 13, 2), ("eok=1/3", 0, 3), ("eok=1/4", 13, 2), ("eok", 0, 3)],
)
def test_limits_of_bad_records(aq, attributes, code, kept):
    data = "1\nx\n2\ny\n3\n" if attributes != "eok=1/3" else "1\nx\n2\n3\ny\n"
    ended = aq.pp(f"-f,{attributes}", aq.write("in", data), "-d", "i:a", "-o,notitle", "-")
    assert ended.code == code
    assert len(ended.lines) == kept


@pytest.mark.slow
def test_any_number_of_bad_records_is_dropped_in_the_time_of_reading_them(aq):
    data = "x\n" * 200_000 + "1\n"
    ended = aq.pp("-f,eok,qui", aq.write("in", data), "-d", "i:a", "-o,notitle", "-", "-stat")
    assert ended.out == b"1\n"
    assert "rec=200001 err=200000 out=1" in ended.err
    assert aq.pp(f"-f,qui,eok={10**17}/{10**17}", aq.write("in", data), "-d", "i:a").code == 0


def test_messages_stop_after_their_number(aq):
    ended = aq.pp("-f,eok,qui=1", aq.write("in", "x\ny\n"), "-d", "i:a")
    assert ended.err.count("not an integer") == 1


def test_json_goes_on_with_the_next_record(aq):
    data = '{"k":1}\n{"k":broken}\n{"k":[3}\n{"k":4}\n'
    ended = aq.pp("-f,jsn,eok,qui", aq.write("in", data), "-d", "i:a:k", "-o,notitle", "-")
    assert ended.lines == ["1", "4"]


@pytest.mark.parametrize(
    ("columns", "data", "lines", "messages"),
    [
        (["i:a:k"], '[\n{"k":1},\n{"k":x},\n{"k":3}\n]\n{"k":4}', ["1", "3", "4"], ["Expecting"]),
        (["i:a:[*].k"], '[\n{"k":1},\n{"k":x},\n{"k":3}\n]', ["1", "3"], ["Expecting"]),
        (["i:a:k"], '[\n{"k":1},\n{"k":x}\n]', ["1"], ["Expecting"]),
        (["i:a:[0].k", "i:b:[1].k"], '[{"k":1},\n{"k":x},\n{"k":3}]\n[{"j":2},{"k":4}]', ["0,4"],
         ["Expecting"]),
        (["i:a:k"], '[{"k":1},{"k":2}', ["1", "2"], ["ends within an array"]),
        (["i:a:k"], '[{"k":1},{"k', ["1"], ["Unterminated"]),
    ],
)  # fmt: skip
def test_a_bad_or_cut_json_array_costs_what_is_bad_alone(aq, columns, data, lines, messages):
    ended = aq.pp("-f,jsn,eok", aq.write("in", data), "-d", *columns, "-o,notitle", "-")
    assert (ended.code, ended.lines) == (0, lines)
    found = ended.err.splitlines()
    assert len(found) == len(messages)
    assert all(message in line for message, line in zip(messages, found, strict=True))


def test_a_long_string_that_no_column_wants_spoils_no_json(aq):
    data = f'{{"long":"{"x" * 700_000}","k":1}}\n{{"k":2}}\n'
    ended = aq.pp("-f,jsn", aq.write("in", data), "-d", "i:a:k", "-o,notitle", "-")
    assert ended.lines == ["1", "2"]


JSON = [
    (["s:a:k"], '{"k": 1.50}{"K":true},\n{"k":null}{"k":"\\u00e9\\ud83d\\ude00"}',
     ['"1.50"', '"true"', "", '"\xc3\xa9\xf0\x9f\x98\x80"']),
    (["s:a:k.x[1]"], '{"k":{"x":[1,2]}}{"k":{"x":[[3],4]}}', ['"2"', '"4"']),
    (["s:a:k"], '[{"k":1},{"k":2}]', ['"1"', '"2"']),
    (["s:a:k"], '\xef\xbb\xbf{"k":1}\n\xef\xbb\xbf[{"k":2}]', ['"1"', '"2"']),
    (["s:a:[*].k", "s:b:[*].l[*]"], '[{"k":1,"l":[2,3]},{"l":[4]}]', ['"1","2"', '"1","3"',
     ',"4"']),
    (["s:a:k"], '{"k":{"o":1}}', [""]),
    (["s:a:k"], "\xff", None),
    (["s:a:k"], '{"k":"\xff\xe9"}', ['"\xff\xe9"']),
    (["s:a:k"], '{"k":"a\nb"}', ['"a', 'b"']),
    (["s:a:k"], '{"k":1,"k":2}', ['"2"']),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "data", "lines"), JSON)
def test_json(aq, columns, data, lines):
    ended = aq.pp("-f,jsn", aq.write("in", data), "-d", *columns, "-o,notitle", "-")
    assert (ended.lines if ended.code == 0 else None) == lines


@pytest.mark.slow
def test_json_over_many_blocks(aq):
    rows = "".join(f'{{"k":"{"x" * (n % 977)}","n":[{n},{-n}]}}\n' for n in range(20000))
    ended = aq.pp("-f,jsn", aq.write("in", rows), "-d", "is:n:n[*]", "-o,notitle", "-")
    assert ended.lines == [str(sign * n) for n in range(20000) for sign in (1, -1)]


XML = [
    (["s:a:r.k"], "<?xml version='1.0'?><r><k>&lt;&#233;&amp;</k></r>\n<!DOCTYPE r><r><K>2</K></r>",
     ['"<\xc3\xa9&"', '"2"']),
    (["s:a:r.k[*]"], "<r><k>1</k><k/><k>3</k></r>", ['"1"', "", '"3"']),
    (["s:a:r.k[1]"], "<r><k>1</k><k>2</k></r>", ['"2"']),
    (["s:a:r.k"], "<r><k> 1 <!-- c --><![CDATA[<2>]]></k></r>", ['" 1 <2>"']),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "data", "lines"), XML)
def test_xml(aq, columns, data, lines):
    ended = aq.pp("-f,xml", aq.write("in", data), "-d", *columns, "-o,notitle", "-")
    assert ended.lines == lines


@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress])
def test_compressed_inputs(aq, squeeze):
    name = aq.write("plain.csv", squeeze(b"1\n2\n"))
    assert aq.pp("-f", name, "-d", "i:a", "-o,notitle", "-").lines == ["1", "2"]


def test_a_truncated_input_is_a_read_error(aq):
    name = aq.write("a.gz", gzip.compress(os.urandom(5000))[:-2000])
    ended = aq.pp("-f", name, "-d", "s:a")
    assert ended.code == 12
    assert name in ended.err


def test_inputs_that_cannot_be_opened(aq):
    assert aq.pp("-f", "nope", "-d", "s:a").code == 11
    assert aq.pp("-f", aq.folder, "-d", "s:a").code in (11, 12)
    assert aq.pp("-f", f"fifo@{aq.write('file', '')}", "-d", "s:a").code == 11
    assert aq.pp("-f", "connect@127.0.0.1:x", "-d", "s:a").code == 11
    assert aq.pp("-f", "connect@127.0.0.1:1", "-d", "s:a").code == 11


def test_several_files_and_appended_data(aq):
    one, two = aq.write("one", "1,a\n"), aq.write("two", "2,b\n")
    ended = aq.pp("-f", one, two, "-d", "i:n", "s:s", "-cat", one, "s:x", "s:s", "-o,notitle", "-")
    assert ended.lines == ['1,"a",', '2,"b",', '0,"a","1"']


def test_a_named_pipe(aq):
    path = aq.folder / "pipe"
    os.mkfifo(path)
    feeder = threading.Thread(target=path.write_bytes, args=(b"1\n2\n",))
    feeder.start()
    ended = aq.pp("-f", f"fifo@{path}", "-d", "i:a", "-o,notitle", "-")
    feeder.join()
    assert ended.lines == ["1", "2"]


def test_the_binary_formats(aq):
    data = "x\xff,1.5,-3,4294967295,18446744073709551615,1.2.3.4\n,0,0,0,0,::1\n"
    columns = ["s:s", "f:f", "is:k", "i:i", "l:l", "ip:p"]
    plain = aq.pp("-d", *columns, stdin=data.encode("latin-1"))
    for name, read in (("aq", []), ("bin", ["-d", *columns])):
        packed = aq.pp("-d", *columns, f"-o,{name}", "-", stdin=data.encode("latin-1")).out
        assert aq.pp(f"-f,{name}", "-", *read, stdin=packed).out == plain.out
        assert aq.pp(f"-f,{name}", "-", *read, stdin=packed + packed).code == 0
        cut = aq.pp(f"-f,{name}", "-", *read, stdin=packed[:-1])
        assert cut.code == 13
    packed = aq.pp("-d", "s:a", "is:b", "-o,bin", "-", stdin=b"x,-1\n").out
    assert aq.pp("-f,bin", "-", "-d", "XS", "is:b", stdin=packed).lines == ['"b"', "-1"]
    assert aq.pp("-f,bin", "-", "-d", "s:a", "X[IS]:b", stdin=packed).lines == ['"a"', '"x"']
    packed = aq.pp("-d", "s:a", "-o,bin", "-", stdin=b"x\n").out
    assert aq.pp("-f,bin", "-", "-d", "i:a", stdin=packed).code == 2
    assert aq.pp("-f,bin", "-", "-d", "X[S]:a", "s:b", stdin=packed).code == 2
    assert aq.pp("-f,bin", "-", "-d", "s:a", stdin=b"nothing").code == 13
    assert aq.pp("-f,aq", "-", stdin=b"").code == 13
