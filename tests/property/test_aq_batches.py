"""Batches give what the row interpreter gives: the same bytes, counts and errors, at any size."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ess_dask.aq.errors import AqError
from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.rows.state import State
from ess_dask.aq.run import run_program, run_rows
from ess_dask.aq.stores import NoStore
from ess_dask.aq.vector.plan import why_rows

COLUMNS = ["s:s", "i:i", "is:k", "f:f", "l:l", "s:t"]

TEXTS = [
    "",
    "a",
    "B",
    "ab",
    "aB,c",
    'q"u',
    "x y",
    "\xe9t\xe9",
    "a\nb",
    "0",
    "-",
    "AB",
    "z" * 30,
    "a;b;;c",
]
NUMBERS = ["", "0", "1", "7", "12", "4294967295", " 3"]
SIGNED = ["", "0", "-1", "5", "-2147483648", "2147483647"]
FLOATS = [
    "",
    "0",
    "1.5",
    "-0.0",
    "99.91",
    "1e300",
    "nan",
    "inf",
    "-2.25",
    "0.1",
    "1e-7",
    "123456789.125",
]
LONGS = ["", "0", "18446744073709551615", "9223372036854775808", "17"]
BAD = ["x", "-", "1,2,3", '"', 'a"b"', "\xff", "1.2.3"]

RULES = [
    ["-filt", "i > 1"],
    ["-filt", 'f < 50 || s == "a"'],
    ["-filt", 's ~== "ab" || !(k >= 0)'],
    ["-filt", "f == f"],
    ["-filt", "f != 1.5 && l > 3"],
    ["-filt", "i &= 1"],
    ["-eval", "f:n1", "f * i"],
    ["-eval", "i:n2", "f * 3.7"],
    ["-eval", "is:n3", "l - k"],
    ["-eval", "l:n4", "(k * 3) % 5 / 2"],
    ["-eval", "s:n5", 's + "|" + ToS(i) + t'],
    ["-eval", "s:n6", "SubStr(s, 0 - 3, i - 1)"],
    ["-eval", "f:n7", "f / k"],
    ["-eval", "i:n8", "i / k"],
    ["-eval", "ls:n9", 'SLeng(s) + StrIndex(s, "b") + PatCmp(t, "*b?", ncas) + (i == 7)'],
    ["-eval", "s:n10", "ToUpper(s) + ToLower(t) + UrlEnc(s)"],
    ["-eval", "f:m0", "3 - f / 2.5 + (k / 0.7)"],
    ["-eval", "f:by", "0.7", "-eval", "f:m3", "f / by + (1.5 / f)"],
    ["-var", "f:per", "0.3", "-eval", "f:m4", "i / per", "-c", "m4"],
    ["-eval", "s:m1", 'ToLower(RxRep(s, "b", "BB", all)) + ToUpper(SubStr(t, i))'],
    ["-eval", "s:m2", 'ToLower(ToS(10 / k) + "\\xc9")'],
    ["-filt", '(ToS(10 / k) + s) ~== "10\\xe9t\\xe9" || (RxRep(s, "a", "b") ~== "B")'],
    ["-eval", "f:n11", "Ceil(f) + Floor(f) + Min(f, 3) + Round(f)"],
    ["-eval", "ls:n12", "$RowNum * 10"],
    ["-eval", "-", 'RxMap(s, "\\\\(.\\\\)b", t, "<%%1%%>")'],
    ["-eval", "i:n13", 'RxReplace(s, "b*", t, "_", all)'],
    ["-eval", "ls:n14", "(k & 12) | (i ^ 3)"],
    ["-eval", "f", "f + 0.1"],
    ["-eval", "s", '"c"'],
    ["-eval", "f:n15", "ToF(s) + ToI(t) + SHash(s)"],
    ["-var", "ls:sum", "5", "-eval", "sum", "sum + k", "-eval", "ls:n16", "sum"],
    ["-var", "f:total", "0.1", "-eval", "total", "total + f", "-c", "s", "total"],
    [
        "-var",
        "i:count",
        "0",
        "-if",
        "-filt",
        "i > 2",
        "-eval",
        "count",
        "count + 1",
        "-endif",
        "-eval",
        "i:n17",
        "count",
    ],
    [
        "-var",
        "s:last",
        '"-"',
        "-if",
        "-filt",
        "k < 0",
        "-eval",
        "last",
        "s",
        "-elif",
        "-filt",
        "i == 1",
        "-eval",
        "s:n18",
        "last",
        "-endif",
    ],
    ["-var", "f:top", "0", "-eval", "top", "Max(top, f)", "-eval", "f:n19", "top"],
    ["-var", "is:low", "9", "-eval", "low", "Min(low, k)", "-eval", "is:n20", "low"],
    ["-var", "ls:down", "0", "-eval", "down", "down - i", "-ovar", "OVAR"],
    [
        "-if",
        "-filt",
        "i > 2",
        "-eval",
        "s:n21",
        '"big"',
        "-elif",
        "-filt",
        's == ""',
        "-false",
        "-else",
        "-eval",
        "n21",
        "t",
        "-endif",
    ],
    ["-ifnot", "-filt", "k > 0", "-skip", "-endif"],
    [
        "-if",
        "-map",
        "s",
        "%%v:@ab%%%*",
        "<%%v%%>",
        "-eval",
        "i:n22",
        "1",
        "-else",
        "-eval",
        "n22",
        "2",
        "-endif",
    ],
    ["-mapf", "s", "%%a%%b%*", "-mapf,rx", "t", "\\(.\\)$", "-mapc", "s:n23", "%%a%%-%%1%%"],
    ["-map,rx_extended", "t", "a|ab", "[%%0%%]"],
    ["-kenc", "s:n24", "s", "i", "f", "-kdec", "n24", "s:n25", "i:", "f:n26"],
    ["-kenc", "s:n27", "k", "l"],
    ["-sub", "s", "LOOKUP"],
    ["-sub,all,pat,ncas", "t", "LOOKUP"],
    ["-sub,req", "s", "LOOKUP"],
    ["-grep,rev", "s", "LOOKUP", "from"],
    ["-cmb", "JOIN", "i:i", "s:n28"],
    ["-cmb,all", "JOIN", "i:i", "s:n29"],
    ["-cmb,req,ncas", "JOIN", "i,cmb:i", "s:s"],
    ["-pmod", 'unwrap_strv("t",";","s","relax")'],
    ["-o", "OUT2", "-c", "i", "f"],
    [
        "-if",
        "-filt",
        "f > 1",
        "-o,jsn",
        "OUT3",
        "-c",
        "s",
        "f",
        "l",
        "-else",
        "-o,sep=:,esc",
        "OUT4",
        "-endif",
    ],
    ["-c", "~f", "^i:number+%05d"],
    ["-o,bin", "OUT5"],
    ["-o,fmt_g", "OUT6", "-c", "f", "k"],
    ["-eval", "s:n30", "MaskStr(s) + Base64Enc(t)"],
    ["-renam", "s", "s2", "-alias", "s2", "s"],
    ["-eval", "i", "Set(s, 1)"],
    ["-seed", "3", "-eval", "i:n31", "$Random % 10"],
    ["-if", "-filt", "i == 12", "-quitafter", "-endif"],
    ["-quit"],
]


def cell(value, rng):
    quoted = any(char in value for char in ',"\n') or rng.random() < 0.2
    return '"' + value.replace('"', '""') + '"' if quoted else value


def table(rng, rows, bad):
    texts = TEXTS if rng.random() < 0.4 else [text for text in TEXTS if not set(text) & set('"\n')]
    pools = [texts, NUMBERS, SIGNED, FLOATS, LONGS, texts]
    lines = []
    for _ in range(rows):
        values = [cell(rng.choice(pool), rng) for pool in pools]
        if rng.random() < bad:
            values[rng.randrange(6)] = rng.choice(BAD)
        if rng.random() < bad:
            values = values[: rng.randrange(1, 8)] + ["more"] * rng.randrange(3)
        lines.append(",".join(values) + rng.choice(["\n", "\n", "\n", "\r\n"]))
    text = "".join(lines)
    return text if rng.random() < 0.7 else text.rstrip("\n")


@dataclass
class Outcome:
    files: dict
    counts: tuple
    error: str


def outcome(arguments, folder, run):
    """Run in a folder of its own; return what is left behind."""
    folder.mkdir()
    own = [str(folder / word) if word.startswith(("OUT", "OVAR")) else word for word in arguments]
    inputs, error, counts = Inputs(), "", ()
    try:
        program = parse_command(own, inputs.read_header, None)
        state = run(program, inputs)
        counts = (state.counts.records, state.counts.errors, state.written, state.variables)
    except AqError as problem:
        error = problem.message.replace(str(folder), "")
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return Outcome(files, counts, error)


def by_rows(program, inputs):
    state = State.of(program, inputs, NoStore())
    state.open_outputs()
    try:
        run_rows(state)
    except BaseException as problem:
        if type(problem).__name__ != "RunEnded":
            state.targets.close()
            raise
    state.finish()
    return state


def in_batches(size):
    def run(program, inputs):
        return run_program(program, inputs, NoStore(), block_bytes=size, small_bytes=1)

    return run


def command(rng, source, lookup, join, count):
    chosen = rng.sample(RULES if rng.random() < 0.3 else RULES[:-4], count)
    words = ["-f,eok,qui" if rng.random() < 0.8 else "-f", str(source), "-d", *COLUMNS]
    for rule in chosen:
        words += [{"LOOKUP": str(lookup), "JOIN": str(join)}.get(word, word) for word in rule]
    if rng.random() < 0.5:
        words += ["-o", "OUT1"]
    names = iter(range(100))
    return [
        f"OUT{next(names)}x" if word == "-" and words[at - 1].startswith("-o") else word
        for at, word in enumerate(words)
    ]


@pytest.mark.slow
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9), size=st.sampled_from([40, 300, 3000, 1 << 20]))
def test_batches_are_rows(seed, size, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aq")
    rng = random.Random(seed)
    source, lookup, join = folder / "in.csv", folder / "lookup.csv", folder / "join.csv"
    source.write_bytes(table(rng, rng.randrange(60), rng.choice([0, 0, 0.05])).encode("latin-1"))
    lookup.write_bytes(b'a,one\nAB,two\n"a*",three\nab,four\na,five\nB,\n')
    join.write_bytes(b"1,x\n7,y\n1,z\n12,\n")
    words = command(rng, source, lookup, join, rng.randrange(1, 5))
    if "-c" in words:
        words += ["-o", "OUT9"]
    words = [word for word in words if word is not None]
    if "-o" not in words and "-c" not in words and "-ovar" not in words:
        words += ["-o", "OUT1"]
    rows = outcome(words, folder / "rows", by_rows)
    batches = outcome(words, folder / "batches", in_batches(size))
    assert repr(batches) == repr(rows), words


@pytest.mark.parametrize("rule", [rule for rule in RULES if "$Random" not in str(rule)])
def test_most_rules_run_by_batches(rule):
    words = ["-f", "x", "-d", *COLUMNS]
    words += [{"LOOKUP": "l", "JOIN": "j"}.get(word, word) for word in rule]
    program = parse_command([*words, "-o", "OUT"], None, None)
    expected = any(word in str(rule) for word in ("-quit", "-kdec", "OVAR-"))
    assert bool(why_rows(program)) == expected


DIVIDED = ["ip:p", "sep: [", "s,clf:s", "sep:] ", "i:i", "sep:;", "f:f", "sep:!", "s,up:t"]
FIXED = ["s,n=3:s", "i,n=4,trm:i", "X,n=1", "f,n=5,trm:f"]


def divided_line(rng):
    address = rng.choice(["1.2.3.4", "9.8.7.6", "1.2.3.04", "::1", ""])
    text = rng.choice(["a", "GET /", "", "x] y", 'q\\"', "\xe9"])
    number, real = (
        rng.choice(["1", "-", "", "77", "0x1", " 5"]),
        rng.choice(["1.5", "", "-2", "1e3", "x"]),
    )
    return f"{address} [{text}] {number};{real}!{rng.choice(['end', '', 'e]!'])}"


def fixed_line(rng):
    texts = [
        rng.choice(["abc", "a  ", "\xff\xfe\xfd"]),
        rng.choice([" 12 ", "9999", "   -", "    ", "1 2 "]),
    ]
    texts += ["|", rng.choice(["1.250", " -3.5", "     ", "1e+03"])]
    return "".join(texts) + rng.choice(["", "rest"])


@pytest.mark.slow
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9), size=st.sampled_from([40, 300, 1 << 20]), odd=st.booleans())
def test_other_lines_by_columns_are_rows(seed, size, odd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aq")
    rng = random.Random(seed)
    make, form, columns = rng.choice([(divided_line, "div", DIVIDED), (fixed_line, "fix", FIXED)])
    lines = [make(rng) for _ in range(rng.randrange(1, 60))]
    if not odd:
        lines = [rng.choice(lines)] * len(lines)
    if rng.random() < 0.2:
        lines.insert(rng.randrange(len(lines)), rng.choice(["", "short", "\x01"]))
    source = folder / "in"
    source.write_bytes(rng.choice(["\n", "\r\n"]).join(lines).encode("latin-1"))
    words = [f"-f,eok,{form}", str(source), "-d", *columns, "-eval", "f:g", "f + i", "-o", "OUT"]
    rows = outcome(words, folder / "rows", by_rows)
    batches = outcome(words, folder / "batches", in_batches(size))
    assert repr(batches) == repr(rows)
