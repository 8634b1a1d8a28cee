"""Rules: what each does to a row, as a rule of its own and as the check of an -if."""

import pytest

from ess_dask.aq.run import run_program

ROWS = b"1,a\n2,b\n3,c\n"
TABLE = "a,A1\na,A2\nb*,B\nC,C\n"


def lines(aq, *rules, columns=("i:n", "s:s"), stdin=ROWS, output=("-o,notitle", "-")):
    words = [aq.write("table", TABLE) if word == "TABLE" else word for word in rules]
    ended = aq.pp("-d", *columns, *words, *output, stdin=stdin)
    assert ended.code == 0, ended.err
    return ended.lines


CASES = [
    (["-filt", "n > 1"], ['2,"b"', '3,"c"']),
    (["-true"], ['1,"a"', '2,"b"', '3,"c"']),
    (["-false"], []),
    (["-skip"], []),
    (["-if", "-filt", "n == 2", "-skip", "-endif"], ['1,"a"', '3,"c"']),
    (["-if", "-filt", "n == 2", "-quit", "-endif"], ['1,"a"']),
    (["-if", "-filt", "n == 2", "-quitafter", "-endif"], ['1,"a"', '2,"b"']),
    (["-ifnot", "-filt", "n == 2", "-false", "-endif"], ['2,"b"']),
    (["-if", "-false", "-elifnot", "-filt", "n > 2", "-eval", "n", "9", "-endif"],
     ['9,"a"', '9,"b"', '3,"c"']),
    (["-if", "-true", "-if", "-filt", "n > 1", "-eval", "s", '"x"', "-endif", "-endif"],
     ['1,"a"', '2,"x"', '3,"x"']),
    (["-sub", "s", "TABLE"], ['1,"A1"', '2,"b"', '3,"c"']),
    (["-sub,pat", "s", "TABLE"], ['1,"A1"', '2,"B"', '3,"c"']),
    (["-sub,ncas,req", "s", "TABLE"], ['1,"A1"', '3,"C"']),
    (["-sub,all", "s", "TABLE"], ['1,"A1"', '1,"A2"', '2,"b"', '3,"c"']),
    (["-sub,all,req", "s", "TABLE"], ['1,"A1"', '1,"A2"']),
    (["-sub", "s", "TABLE", "TO", "FROM"], ['1,"a"', '2,"b"', '3,"c"']),
    (["-if", "-sub", "s", "TABLE", "-eval", "n", "9", "-endif"], ['9,"A1"', '2,"b"', '3,"c"']),
    (["-if", "-sub,all", "s", "TABLE", "-eval", "n", "9", "-endif"],
     ['9,"A1"', '9,"A2"', '2,"b"', '3,"c"']),
    (["-ifnot", "-sub,all", "s", "TABLE", "-eval", "n", "9", "-endif"], ['1,"A1"', '1,"A2"',
     '9,"b"', '9,"c"']),
    (["-grep", "s", "TABLE", "from", "X"], ['1,"a"']),
    (["-grep,pat,ncas", "s", "TABLE", "from", "X"], ['1,"a"', '2,"b"', '3,"c"']),
    (["-grep,rev", "s", "TABLE", "from", "X"], ['2,"b"', '3,"c"']),
    (["-cmb", "TABLE", "s:s", "s:t"], ['1,"a","A1"', '2,"b",', '3,"c",']),
    (["-cmb,all,req", "TABLE", "s:s", "s:t"], ['1,"a","A1"', '1,"a","A2"']),
    (["-cmb,ncas", "TABLE", "s:s", "s:t"], ['1,"a","A1"', '2,"b",', '3,"c","C"']),
    (["-cmb", "TABLE", "s,key:s", "s,cmb:t"], ['1,"a","A1"', '2,"b",', '3,"c",']),
    (["-if", "-cmb", "TABLE", "s:s", "s:t", "-eval", "n", "9", "-endif"],
     ['9,"a","A1"', '2,"b",', '3,"c",']),
    (["-if", "-filt", "n == 1", "-cmb", "TABLE", "s:s", "s:t", "-endif"],
     ['1,"a","A1"', '2,"b",', '3,"c",']),
    (["-map", "s", "%%v:[ab]%%", "<%%v%%>"], ['1,"<a>"', '2,"<b>"', '3,"c"']),
    (["-map,ncas", "s", "B", "x"], ['1,"a"', '2,"x"', '3,"c"']),
    (["-if", "-mapf", "s", "b", "-eval", "n", "9", "-endif"], ['1,"a"', '9,"b"', '3,"c"']),
    (["-mapf", "s", "%%v:[a]%%", "-mapc", "s:t", "%%v%%%%no%%."], ['1,"a","a."', '2,"b","."',
     '3,"c","."']),
    (["-mapf,pcre", "s", "(?<v>[ab])", "-mapc", "s", "%%v%%%%1%%"], ['1,"aa"', '2,"bb"', '3,']),
    (["-kenc", "s:k", "n", "s", "-kdec", "k", "i:m", "s:", "-c", "~k"], None),
    (["-renam", "s", "t", "-alias", "n", "m", "-eval", "t", "t + ToS(m)"], ['1,"a1"', '2,"b2"',
     '3,"c3"']),
    (["-mesg", "hello"], ['1,"a"', '2,"b"', '3,"c"']),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "expected"), [case for case in CASES if case[1] is not None])
def test_rules(aq, rules, expected):
    assert lines(aq, *rules) == expected


def test_unwrapping(aq):
    def unwrapped(text, *attributes):
        args = ",".join(f'"{word}"' for word in ("s", ";", "t", *attributes))
        words = ["-eval", "s:t", '""', "-pmod", f"unwrap_strv({args})", "-c", "t"]
        return lines(aq, *words, columns=("s:s",), stdin=text, output=())[1:]

    assert unwrapped(b"a;b;\n") == ['"a"', '"b"']
    assert unwrapped(b"a;;b;\n") == ['"a"', "", '"b"']
    assert unwrapped(b"a;b\n") == ['"a"', '"b"']
    assert unwrapped(b"a;;b;\n", "noblank") == ['"a"', '"b"']
    assert unwrapped(b"a;b;\n", "relax") == ['"a"', '"b"', ""]
    assert unwrapped(b"\n") == []
    assert unwrapped(b"\n", "relax") == [""]


def test_merging_sorted_inputs(aq):
    table = aq.write("sorted", "1,x\n2,y\n2,z\n4,w\n")
    columns = ["-d", "i:n", "s:s"]
    joined = aq.pp(*columns, "-cmb,mrg,all", table, "i:n", "s:t", "-o,notitle", "-", stdin=ROWS)
    assert joined.lines == ['1,"a","x"', '2,"b","y"', '2,"b","z"', '3,"c",']
    table = aq.write("down", "4,w\n2,y\n1,x\n")
    down = aq.pp(*columns, "-cmb,dec", table, "i:n", "s:t", "-o,notitle", "-", stdin=b"3,c\n2,b\n")
    assert down.lines == ['3,"c",', '2,"b","y"']
    unsorted = aq.pp(*columns, "-cmb,mrg", table, "i:n", "s:t", stdin=b"3,c\n2,b\n")
    assert unsorted.code == 13


def test_variables(aq):
    ended = aq.pp(
        "-d", "i:n", "s:s", "-var", "s:v", "'it''s'", "-var", "f:w", "1.5", "-var", "s:old",
        "plain",
        "-eval", "w", "w * n", "-ovar", "-", "-c", "*", "w:total+%.1f", stdin=ROWS,
    )  # fmt: skip
    assert ended.lines == ['"v","w","old","total"', '"its",9,"plain",9.0']


def test_an_output_that_follows_a_variable(aq):
    ended = aq.pp(
        "-d", "i:n", "s:s", "-var", "s:file", '"one"', "-if", "-filt", "n == 2", "-eval", "file",
        '"two"', "-endif", "-o,fvar", "file", "-c", "n", stdin=ROWS,
    )  # fmt: skip
    assert ended.code == 0
    assert (aq.folder / "one").read_bytes() == b'"n"\n1\n'
    assert (aq.folder / "two").read_bytes() == b'"n"\n2\n3\n'


def test_outputs_within_conditions(aq):
    ended = aq.pp(
        "-d", "i:n", "s:s", "-if", "-filt", "n == 1", "-o", "one", "-elif", "-filt", "n == 2",
        "-o", "two",
        "-c", "s", "-endif", "-eval", "n", "n + 10", "-c", "n", stdin=ROWS,
    )  # fmt: skip
    assert ended.lines == ['"n"', "11", "12", "13"]
    assert (aq.folder / "one").read_bytes() == b'"n","s"\n1,"a"\n'
    assert (aq.folder / "two").read_bytes() == b'"s"\n"b"\n'


OUTPUTS = [
    ([], b'"s","f","i"\n"x,""y",0.10000000000000001,7\n,0,0\n'),
    (["notitle"], b'"x,""y",0.10000000000000001,7\n,0,0\n'),
    (["sep=;"], b's;f;i\nx,"y;0.10000000000000001;7\n;0;0\n'),
    (["csv,sep=;"], b'"s";"f";"i"\n"x,""y";0.10000000000000001;7\n;0;0\n'),
    (["esc"], b'"s","f","i"\n"x\\,\\"y",0.10000000000000001,7\n,0,0\n'),
    (["sep=\\x09,esc"], b's\tf\ti\nx,\\"y\t0.10000000000000001\t7\n\t0\t0\n'),
    (["sep=\\xff"], b's\xfff\xffi\nx,"y\xff0.10000000000000001\xff7\n\xff0\xff0\n'),
    (["fmt_g"], b'"s","f","i"\n"x,""y",0.1,7\n,0,0\n'),
    (["jsn"], b'{"s":"x,\\"y","f":0.10000000000000001,"i":7}\n{"s":"","f":0,"i":0}\n'),
    (["nodelay"], b'"s","f","i"\n"x,""y",0.10000000000000001,7\n,0,0\n'),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "data"), OUTPUTS)
@pytest.mark.parametrize("small", [1, 1 << 20])
def test_output_formats(aq, monkeypatch, attributes, data, small):
    monkeypatch.setattr(
        "ess_dask.aq.programs.aq_pp.run_program",
        lambda *args: run_program(*args, small_bytes=small),
    )
    option = ",".join(["-o", *attributes])
    ended = aq.pp("-d", "s:s", "f:f", "i:i", option, "-", stdin=b'"x,""y",0.1,7\n,,\n')
    assert ended.out == data


SELECTIONS = [
    (["b", "a"], '"b","a"', '"y",1'),
    (["*", "v"], '"a","b","v"', '1,"y",5'),
    (["~a"], '"b"', '"y"'),
    (["^a:A", "~b"], '"A"', "1"),
    (["a:x+%03d", "a"], '"x","a"', "001,1"),
    (["a+%x"], '"a"', "1"),
    (["^a+%03d", "^A:x", "~b"], '"x"', "001"),
    (["a:x", "^a+%03d"], '"x"', "001"),
    (["a+%5.1lld|"], '"a"', "    1|"),
    (["a+100%%%u"], '"a"', "100%1"),
]


@pytest.mark.parametrize(("words", "title", "row"), SELECTIONS)
def test_selections(aq, words, title, row):
    ended = aq.pp("-d", "i:a", "s:b", "-var", "i:v", "5", "-c", *words, stdin=b"1,y\n")
    assert ended.lines == [title, row]


def test_negative_numbers_in_hexadecimal(aq):
    ended = aq.pp("-d", "is:a", "ls:b", "-o,notitle", "-", "-c", "a+%x", "b+%o", stdin=b"-1,-1\n")
    assert ended.lines == ["ffffffff,1777777777777777777777"]


WRONG = [
    ["-d", "q:x"], ["-d", "s:1x"], ["-d", "s:x", "s:X"], ["-d", "s,no:x"], ["-d", "s:" + "x" * 32],
    ["-d"], [], ["-zzz"], ["-d", "s:x", "word"], ["-d", "s:x", "-f", "a"], ["-f", "a", "-f", "b"],
    ["-f,no", "a"], ["-f,csv,jsn", "a"], ["-f,sep=ab", "a"], ["-f,fix", "-", "-d", "s:x"],
    ["-f,div", "-", "-d", "s:x", "s:y"], ["-d", "s:x", "sep:,"], ["-f,jsn", "-", "-d", "s:x:"],
    ["-f,jsn", "-", "-d", "s:x:a..b"], ["-d", "s:x", "-if"], ["-d", "s:x", "-if", "-true"],
    ["-d", "s:x", "-else"], ["-d", "s:x", "-endif"], ["-d", "s:x", "-if", "-true", "-else",
    "-elif"],
    ["-d", "s:x", "-eval", "x"], ["-d", "s:x", "-eval", "i:x", "1"], ["-d", "s:x", "-eval", "x",
    "1"],
    ["-d", "s:x", "-eval", "i:y", "y + 1"], ["-d", "s:x", "-eval", "X:y", "x"],
    ["-d", "i:x", "-map", "x", "a", "b"], ["-d", "s:x", "-map,no", "x", "a", "b"],
    ["-d", "i:x", "-sub", "x", "f"], ["-d", "s:x", "-sub", "x", "f", "s:from"],
    ["-d", "s:x", "-sub", "x", "f", "i:from", "s:to"], ["-d", "s:x", "-grep,no", "x", "f"],
    ["-d", "s:x", "-cmb", "f", "s:y"], ["-d", "s:x", "-cmb", "f", "i:x", "s:y"],
    ["-d", "s:x", "-cmb", "f", "s,key:y"], ["-d", "s:x", "-cmb", "f", "s:x", "i,cmb:x"],
    ["-d", "s:x", "-kenc", "s:k"], ["-d", "i:x", "-kdec", "x", "i:y"], ["-d", "s:x", "-kdec", "x",
    "X:"],
    ["-d", "s:x", "-pmod", "other()"], ["-d", "s:x", "-pmod", 'unwrap_strv("x","ab","x")'],
    ["-d", "s:x", "-pmod", "unwrap_strv(", "src"], ["-d", "s:x", "-pmod", 'unwrap_strv("x",";")'],
    ["-d", "s:x", "-o,no", "f"], ["-d", "s:x", "-o,jsn,bin", "f"], ["-d", "s:x", "-o", "-", "-c",
    "nope"],
    ["-d", "s:x", "-c", "x+%d"], ["-d", "i:x", "-c", "x+%s"], ["-d", "i:x", "-c", "x+%d%d"],
    ["-d", "i:x", "-c", "x+%f"], ["-d", "i:x", "-c", ""], ["-d", "s:x", "-o,fvar", "x"],
    ["-d", "s:x", "-c", "~x"], ["-d", "s:x", "-ovar", "-"], ["-d", "s:x", "-var", "i:v", "x"],
    ["-d", "s:x", "-var", "X", "1"], ["-d", "s:x", "-var", "i:x", "1"], ["-d", "s:x", "-seed", "x"],
    ["-d", "s:x", "-alias", "no", "y"], ["-d", "s:x", "-alias", "x", "1"], ["-d", "s:x", "-renam",
    "x"],
    ["-d", "s:x", "-imp,no", "db"], ["-exp", "db:t"], ["-d", "s:x", "-exp", "db", "--"],
    ["-cat", "f", "s:x"], ["-d", "s:x", "-cat", "f"], ["-d", "s:x", "-cat", "f", "i:x"],
    ["-d", *(f"s:c{n}" for n in range(2049))], ["-d", "s@1:x", "s@1:y"],
    ["-d", "s:x", *(["-if", "-true"] * 70)], ["-d", "s:x", "-if", "-if"],
]  # fmt: skip


@pytest.mark.parametrize("words", [words for words in WRONG if words])
def test_wrong_options_end_with_2(aq, words):
    ended = aq.pp(*words, stdin=b"1\n")
    assert (ended.code, ended.out) == (2, b""), ended.err
    assert ended.err.startswith("aq_pp: ")


def test_help_and_checks(aq):
    assert b"-eval" in aq.pp("-h").out
    assert aq.pp("-test", "-d", "s:x", "-filt", "x == 1").code == 2
    assert aq.pp("-test", "-f", "nope", "-d", "s:x").code == 0
    assert aq.pp("-test", "-test", "-f", "nope", "-d", "s:x").code == 11
    good = aq.pp(
        "-test",
        "-test",
        "-f",
        aq.write("in", "a\n"),
        "-d",
        "s:x",
        "-sub",
        "x",
        "nope",
        "-o",
        "never",
    )
    assert good.code == 11
    assert not (aq.folder / "never").exists()


def test_output_errors(aq):
    assert aq.pp("-d", "s:x", "-o", aq.folder / "no" / "file", stdin=b"a\n").code == 21
    full = aq.pp("-d", "s:x", "-o", "/dev/full", stdin=b"a\n")
    assert full.code == 22
    assert "No space left" in full.err


def test_rows_before_an_error_are_written(aq):
    ended = aq.pp("-d", "i:x", "-o,notitle", "-", stdin=b"1\n2\nx\n3\n")
    assert (ended.code, ended.lines) == (13, ["1", "2"])


def test_lookups_that_bring_their_columns(aq):
    assert aq.pp("-d", "s:from", "s:to", "i:n", "-o,aq", "t", stdin=b"a,A,7\nz,Z,8\n").code == 0
    assert lines(aq, "-sub,aq", "s", "t") == ['1,"A"', '2,"b"', '3,"c"']
    assert lines(aq, "-grep,aq,rev", "s", "t") == ['2,"b"', '3,"c"']
    joined = ["-renam", "s", "from", "-renam", "n", "id", "-cmb,aq,req", "t"]
    assert lines(aq, *joined) == ['1,"a","A",7']
    refused = aq.pp("-d", "s:s", "-sub,aq", "s", "t", "from", "to")
    assert (refused.code, "'-sub,aq' takes no columns" in refused.err) == (2, True)


def test_default_attributes_of_regular_expressions(aq):
    digits = [
        "-filt",
        r'RxCmp(s, "^\\w$") && PatCmp(s, "?")',
        "-filt",
        'RxRep(s, "[ab]|q", "") == ""',
    ]
    assert lines(aq, "-rx", "pcre", *digits) == ['1,"a"', '2,"b"']
    assert lines(aq, *digits) == []
    # What chooses more than the engine keeps to that; the other engine is not mixed in.
    own = ["-map,rx_extended", "s", "(A)|z", "%%1%%!", "-map,rx,ncas", "s", "^B", "y"]
    assert lines(aq, "-rx", "pcre|caseless", *own) == ['1,"a"', '2,"y"', '3,"c"']
    refused = aq.pp("-rx", "perl", "-d", "s:s")
    assert (refused.code, "unknown attribute 'perl' in '-rx'" in refused.err) == (2, True)


def test_old_spellings(aq):
    assert lines(aq, "-udb", "-ddef", "-rx", "rx_extended", "-map,rx", "s", "(a)", "%%1%%!") == [
        '1,"a!"', '2,"b"', '3,"c"',
    ]  # fmt: skip
