"""The small programs: aq_cat, aq_cnt, aq_ord, aq_sess, loginf, objcnv, logcnv."""

import json

import pytest

KEYS = "a,x,1\na,y,2\nb,x,3\na,x,5\n"


def test_cat_copies_text(aq):
    one, two = aq.write("one", 'h\n"a,b",1\n"c\nd",2\n'), aq.write("two", "h\ne,3\n")
    assert aq("aq_cat", "-f,+1", one, two).out == b'"a,b",1\n"c\nd",2\ne,3\n'
    assert aq("aq_cat", "-f,+1", one, "-c", "2", "1").out == b'1,"a,b"\n2,"c\nd"\n'
    assert aq("aq_cat", "-f,+1r", two, "-c", "3-1").out == b",3,e\n"
    many = aq("aq_cat", "-stat", "-f", two, "-o", "copy", "-c", "1", "-o", "-")
    assert many.out == b"h\ne,3\n"
    assert many.err == "aq_cat: rec=2 err=0 out=4\n"
    assert (aq.folder / "copy").read_bytes() == b"h\ne\n"
    assert aq("aq_cat", stdin=b"x\n").out == b"x\n"


def test_cat_of_columns(aq):
    ended = aq("aq_cat", "-stat", "-f", "-", "-d", "s:a", "i:b", "-c", "~a", stdin=b"x,1\n")
    assert ended.out == b'"b"\n1\n'
    assert ended.err == "aq_cat: rec=1 err=0 out=1\n"


@pytest.mark.parametrize(
    "words", [["-c", "0"], ["-c", "x"], ["-f,jsn", "-"], ["word"], ["-d", "s:a", "-filt", "a"]]
)
def test_wrong_cats(aq, words):
    assert aq("aq_cat", *words).code == 2


def test_ord_sorts(aq):
    name = aq.write("in", "2,b,9.9.9.9\n1,B,10.0.0.1\n2,a,::1\n1,b,9.9.9.9\n")
    columns = ["-f", name, "-d", "i:n", "s:s", "ip:p", "-o,notitle", "-", "-c", "n", "s"]
    assert aq("aq_ord", *columns, "-sort", "n").lines == ['1,"B"', '1,"b"', '2,"b"', '2,"a"']
    assert aq("aq_ord", *columns, "-sort,dec", "n").lines == ['2,"a"', '2,"b"', '1,"b"', '1,"B"']
    assert aq("aq_ord", *columns, "-sort,ncas", "s", "n").lines[1:] == ['1,"B"', '1,"b"', '2,"b"']
    assert aq("aq_ord", *columns, "-sort", "p", "n").lines == ['1,"b"', '2,"b"', '1,"B"', '2,"a"']
    blocks = aq("aq_ord", *columns, "-sort,dec", "n", "-blk", "3", "b", "-stat")
    assert blocks.lines == ['2,"a"', '2,"b"', '1,"b"', '1,"B"']
    assert blocks.err == "aq_ord: rec=4 err=0\n"
    only = aq("aq_ord", *columns, "-sort", "n", "-blk_only", "3", "c")
    assert only.lines == []
    assert sorted(path.name for path in aq.folder.glob("c-*")) == ["c-1.bin", "c-2.bin"]


@pytest.mark.parametrize("how", [(), ("-blk", "2", "b"), ("-blk", "100", "c")])
@pytest.mark.parametrize("sort", ["-sort", "-sort,dec"])
def test_what_is_no_number_is_behind_all_numbers(aq, how, sort):
    values = ["3", "nan", "-inf", "1", "nan", "inf", "2", "nan", "0"]
    text = "".join(f"{value},{at}\n" for at, value in enumerate(values)).encode()
    lines = aq("aq_ord", "-d", "f:p", "i:n", sort, "p", *how, "-o,notitle", "-", stdin=text).lines
    ordered = ["-inf,2", "0,8", "1,3", "2,6", "3,0", "inf,5", "nan,1", "nan,4", "nan,7"]
    assert lines == (ordered if sort == "-sort" else ordered[::-1])


def test_ord_merges(aq):
    one, two = aq.write("one", "9\n5\n"), aq.write("two", "7\n")
    merged = aq("aq_ord", "-f", one, two, "-d", "i:n", "-sort,mrg,dec", "n", "-o,notitle", "-")
    assert merged.lines == ["9", "7", "5"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-sort", "no"],
        ["-sort,no", "n"],
        ["-sort", "n", "-blk", "x", "p"],
        ["-sort", "n", "-eval", "n", "1"],
    ],
)
def test_wrong_ords(aq, words):
    ended = aq("aq_ord", "-d", "i:n", *words, stdin=b"1\n")
    assert ended.code == 2


def test_cnt_counts(aq):
    columns = ["-f", aq.write("in", KEYS), "-d", "s:p", "s:q", "i:v"]
    assert aq("aq_cnt", *columns, "-k", "K", "p", "-stat").lines == ['"row","K"', "4,2"]
    assert aq("aq_cnt", *columns, "-kx", "-", "-", "p").lines == ['"p"', '"a"', '"b"']
    stats = aq("aq_cnt", *columns, "-kX,notitle", "-", "-", "p", "STAT:v").lines
    assert stats[0].startswith('"a",3,8,2.6666666666666665,2.0816659994661326,1,5')
    assert stats[1] == '"b",1,3,3,0,3,3'


def test_cnt_merges(aq):
    columns = ["-d", "s:p", "s:q", "i:v"]
    full = aq("aq_cnt", *columns, "-kX", "-", "-", "p", "stats:v", stdin=KEYS.encode()).lines
    halves = [KEYS[:12].encode(), KEYS[12:].encode()]
    for form, read in (("aq", []), ("notitle", ["-d", "s:p", "stats:v"])):
        parts = b"".join(
            aq("aq_cnt", *columns, f"-kX,{form}", "-", "-", "p", "stats:v", stdin=half).out
            for half in halves
        )
        how = "aq" if form == "aq" else "csv"
        assert aq("aq_cnt", f"-fX,{how}", "-", *read, stdin=parts).lines == full
        summary = aq("aq_cnt", f"-fX,{how}", "-", *read, "-k", "K", "p", "-o", "-", stdin=parts)
        assert summary.lines == ['"row","K"', "4,2"]


@pytest.mark.parametrize(
    "words",
    [["-k", "K"], ["-k", "K", "no"], ["-kX", "-", "-", "p", "stats:q"],
     ["-kx", "-", "-", "p", "stats:v"],
     ["-kX", "-", "-", "stats:v"]],
)  # fmt: skip
def test_wrong_counts(aq, words):
    assert aq("aq_cnt", "-d", "s:p", "s:q", "i:v", *words, stdin=KEYS.encode()).code == 2


def test_sessions(aq):
    columns = ["-d", "i:t", "s:u", "-t", "t", "-k", "u"]
    events = b"100,a\n150,b\n1000,a\n900,b\n3000,a\n"

    def sessions(*words):
        return aq("aq_sess", *columns, *words, "-o,notitle", "-", stdin=events)

    tolerant = sessions("-tout", "1800", "-ttol", "100", "-stat")
    assert sorted(tolerant.lines) == [
        '"a",100,1000,900,2',
        '"a",3000,3000,0,1',
        '"b",150,1000,850,2',
    ]
    assert tolerant.err == "aq_sess: rec=5 err=0 out=3\n"
    strict = sessions("-tout", "1800")
    assert strict.code == 13
    assert strict.lines == ['"a",100,1000,900,2', '"b",150,150,0,1']
    assert sessions("-tout", "500", "-ttol", "100", "-trim").lines == [
        '"a",1000,1000,0,1',
        '"b",1000,1000,0,1',
    ]
    assert aq("aq_sess", "-bz", "9", *columns, stdin=events).code == 2
    assert aq("aq_sess", "-d", "s:t", "s:u", "-t", "t", "-k", "u", "-tout", "1").code == 2


def test_objects_and_logs(aq):
    ended = aq(
        "objcnv",
        "-stat",
        "-jsn",
        "-base",
        "k",
        "-bz",
        "99",
        "-f",
        "-",
        "-d",
        "i:a:n",
        stdin=b'{"k":{"n":3}}',
    )
    assert ended.lines == ['"a"', "3"]
    assert ended.err == "objcnv: rec=1 err=0 out=1\n"
    assert aq("objcnv", "-d", "i:a:n").code == 2
    file = aq.write("in", '{"k":{"n":1}}')
    ended = aq("objcnv", "-f,jsn", file, "-base", "k", "-d", "i:a:n")
    assert ended.lines == ['"a"', "1"]
    assert aq("objcnv", "-xml", "-f,jsn", file, "-d", "i:a:n").code == 2
    log = aq("logcnv", "-f,eok", "-", "-d", "s:a", "sep: [", "s:b", "sep:]", stdin=b"x [y]\n")
    assert log.lines == ['"a","b"', '"x","y"']


@pytest.mark.parametrize(
    "program", ["aq_cat", "aq_cnt", "aq_ord", "aq_pp", "aq_sess", "loginf", "objcnv", "logcnv"]
)
def test_help(aq, program):
    ended = aq(program, "-h")
    assert ended.code == 0
    assert ended.lines[0].startswith(program)


FORMATS = [
    (b"a,b\n1,2\n3,4\n", ", Separated", "S:x"),
    (b'"a",b\n"1,2",2\n', "CSV", ""),
    (b"a\tb\n1\t2\n", "\\t Separated", ",sep=\\x09"),
    (b'"a"|b\n"1|2"|2\n', "| Separated CSV", ",csv,sep=|"),
    (b"one\ntwo words\n", '"\\n" Separated', ",sep=\\x0a"),
    (b"name,n\n\xc4\x85,1\nb,2\r\n", ", Separated", ""),
    (b"ab  1\ncd 22\n", "Fixed-Width", ",fix"),
    (b'{"a": 1}\n', "JSON", ",jsn"),
    (b"<r><k>1</k></r>\n", "XML", ",xml"),
    (b"<table><tr><td>1</td></tr></table>", "HTML Table", ",tab"),
    (b"", '"\\n" Separated', ",sep=\\x0a"),
    (b'\xef\xbb\xbf{"a": 1}\n', "JSON", ",jsn"),
    (b"\xef\xbb\xbf<r><k>1</k></r>\n", "XML", ",xml"),
]


@pytest.mark.parametrize(("data", "name", "attributes"), FORMATS)
def test_formats_are_found(aq, data, name, attributes):
    file = aq.write("in", data)
    assert aq("loginf", "-f,auto", file, "-o_typ", "-").lines == [name]
    if name != ", Separated":
        assert aq("loginf", "-f,auto", file, "-o_pp_atr", "-").lines == [attributes]


def test_the_mark_of_a_file_is_no_part_of_its_first_title(aq):
    file = aq.write("in", b"\xef\xbb\xbfa,b\n1,2\n")
    assert aq("loginf", "-f,auto", file, "-o_pp_col", "-").lines == ["I:a", "I:b"]


def test_binary_input_is_found(aq):
    packed = aq.pp("-d", "s:a", "f:b", "-o,aq", "-", stdin=b"x,1.5\n").out
    file = aq.write("in", packed)
    assert aq("loginf", "-f,auto", file, "-o_typ", "-", "-o_pp_col", "-").lines == [
        "Aq Tool Binary", "S:a", "F:b",
    ]  # fmt: skip


def test_column_types(aq):
    data = "n,neg,big,f,ip,mix,blank,dup,dup2,9x\n1,-1,5000000000,1.5,1.2.3.4,1,,a,a b,z\n"
    data += "2,3,1,2,::1,x,,b,c,y\n"
    file = aq.write("in", data)
    specs = aq("loginf", "-f", file, "-o_pp_col", "-").lines
    assert specs == [
        "I:n", "IS:neg", "L:big", "F:f", "IP:ip", "S:mix", "S:blank", "S:dup", "S:dup2", "S:_9x",
    ]  # fmt: skip
    assert aq("loginf", "-f,notitle", file, "-o_pp_col", "-").lines[0] == "S:Col1"
    assert aq("loginf", "-f", file, "-d", "2", "-o_pp_col", "-").lines == ["IS:neg"]
    assert aq("loginf", "-f", file, "-pp_eok", "50", "-o_pp_col", "-").lines[5] == "I:mix"
    assert aq("loginf", "-f", file, "-cmax", "2").code == 13
    assert aq("loginf", "-f", file, "-pp_eok", "x").code == 2
    assert aq("loginf", "-f", file, "word", "-zzz").code == 2


def test_reports(aq):
    file = aq.write("in", "name,v\nx,1\n\xe9,2\nx,1.5\n")
    report = json.loads(aq("loginf", "-f", file).out.decode("latin-1"))
    assert report["Rows"]["Count"] == 3
    assert report["Bytes"] == {"Source": 21, "Count": 14, "Percent": 66.6667}
    assert [column["Unique Estimate"] for column in report["Column"]] == [2, 3]
    assert report["Column"][0]["Type-String"]["Sample-Has binary"] == "\xe9"
    assert report["Column"][1]["Type-Integer"]["Value"] == {"Min": 1, "Max": 2}
    assert json.loads(aq("loginf", "-f", file, "-lim", "1").out)["Rows"]["Count"] == 1
    encoded = json.loads(aq("loginf", "-f", file, "-o", "-", "-b64").out)
    assert encoded["Column"][0]["Label"] == "bmFtZQ=="


def test_raw_results_merge(aq):
    one, two = aq.write("one", "name,v\nx,1\n"), aq.write("two", "name,v\ny,-7\n")
    for file in (one, two):
        aq("loginf", "-f", file, "-o_raw", f"{file}.raw")
    merged = aq("loginf", "-f_raw", f"{one}.raw", f"{two}.raw")
    whole = aq("loginf", "-f", one, two)
    drop = [line for line in whole.lines if "Process Time" not in line]
    assert [line for line in merged.lines if "Process Time" not in line] == drop
    assert aq("loginf", "-f_raw", one).code == 13


@pytest.mark.slow
def test_many_values_are_estimated(aq):
    file = aq.write("in", "".join(f"v{n}\n" for n in range(20000)))
    report = json.loads(aq("loginf", "-f,notitle", file).out)
    assert 18000 < report["Column"][0]["Unique Estimate"] < 22000
