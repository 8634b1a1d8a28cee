"""Dirty inputs by columns: rows, messages and the end are those of the row interpreter."""

import io
import random
from contextlib import redirect_stderr
from dataclasses import dataclass
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ess_dask.aq.errors import AqError
from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.rows.state import State
from ess_dask.aq.run import run_program, run_rows
from ess_dask.aq.stores import NoStore

SHAPES = [
    ["s:s", "i:i", "f:f", "is:k", "s:t"],
    ["i:i", "s,up:s", "f,trm:f", "is,trm:k", "ip:t"],
    ["s,lo:s", "x:x", "l:i", "f:f", "ls:k", "s,trm:t"],
    ["s:s", "x:x", "x:y"],
    ["x:x", "x:y"],
    ["s:s"],
    ["i:i"],
    ["s,up:s", "ip:t"],
]
PLAIN = ["", "1", "7", "12", "ab", "1.2.3.4", "0.5", "-3", "x y"]
ODD = [
    "-",
    "+4",
    " 3",
    "3 ",
    "0x1f",
    "1_0",
    "1e3",
    "nan",
    "-0",
    "1.5.2",
    "::1",
    "1.2.3.04",
    "\xe9A",
]
ODD += ["4294967296", "-1", "99999999999999999999", "\r", "a\rb", "3\r", "\t8", "Infinity", "\xa05"]
QUOTED = ['"a"', '"a,b"', '"a""b"', '""', '"""x"""', '" 3"', '"12"', '"1.5"', '"1.2.3.4"']
STRAY = ['a"b', '"a"b', '"', '"open', 'x"', '"a" ', '""a', '"a\nb"', '"1\n2\r\n3"', '"\n"', '"""']

RULES = [
    ["-filt", "$RowNum % 3 != 1"],
    ["-eval", "ls:n1", "$RowNum * 10"],
    ["-var", "ls:sum", "5", "-eval", "sum", "sum + $RowNum", "-eval", "ls:n2", "sum"],
    ["-var", "ls:seen", "0", "-eval", "seen", "seen + 1", "-o", "OUT3", "-c", "LAST", "seen"],
    ["-eval", "ls:n3", "100 / ($RowNum % 7)"],
    ["-eval", "ls:n9", "7 % ($RowNum - 5)"],
    ["-if", "-filt", "$RowNum % 2 == 0", "-eval", "s:n4", '"even"', "-else", "-skip", "-endif"],
    ["-eval", "s:n5", "ToS($RowNum) + LAST"],
    ["-filt", 'LAST != ""'],
    ["-eval", "s:n6", "ToUpper(LAST)"],
    ["-o", "OUT2"],
    ["-pmod", 'unwrap_strv("LAST"," ","LAST","relax")'],
]
INPUTS = ["", "eok", "eok", "eok", "eok=2", "eok=1/6", "eok=3/20", "eok=40"]
MORE = ["nox", "qui", "qui=2", "+1", "+3", "+9b", "bz=40", "bz=12", "sep=,", "sep=:"]


def line(rng, width, dirt, quotes):
    pools = [PLAIN] + [ODD] * (rng.random() < dirt)
    pools += [QUOTED] * (rng.random() < quotes) + [STRAY] * (rng.random() < dirt * quotes)
    cells = [rng.choice(rng.choice(pools)) for _ in range(width)]
    if rng.random() < dirt:
        cells = cells[: rng.randrange(width + 1)] + ["more"] * rng.randrange(3)
    if rng.random() < dirt / 4:
        cells.append("long" * rng.choice([3, 10, 20]))
    return cells


def text_of(rng, width, separator):
    """Return a text of a few dozen lines."""
    dirt, quotes = rng.choice([0, 0.05, 0.3, 1]), rng.choice([0, 0, 0.2, 1])
    lines = [separator.join(line(rng, width, dirt, quotes)) for _ in range(rng.randrange(60))]
    ends = ["\n"] if rng.random() < 0.7 else ["\n", "\r\n", "\n\n", "\r\n"]
    text = "".join(one + rng.choice(ends) for one in lines)
    return text if rng.random() < 0.7 else text.rstrip("\n")


def command(rng, shape, attributes, source):
    """Return a command whose rules know the columns of a shape."""
    last = next((word.split(":")[1] for word in reversed(shape) if word[0] == "s"), "")
    words = [",".join(["-f", *attributes]), str(source), "-d", *shape]
    if not last:
        words += ["-eval", "s:extra", '"e"']
        last = "extra"
    for rule in rng.sample(RULES, rng.randrange(4)):
        words += [word.replace("LAST", last) for word in rule]
    return [*words, "-o", "OUT1"]


@dataclass
class Outcome:
    """All that can be seen of a run from outside."""

    files: dict
    counts: tuple
    error: tuple
    messages: str


def outcome(words, folder, run):
    """Run in a folder of its own; return what is left behind."""
    folder.mkdir()
    own = [str(folder / word) if word.startswith("OUT") else word for word in words]
    inputs, error, counts, messages = Inputs(), (), (), io.StringIO()
    try:
        with redirect_stderr(messages):
            state = run(parse_command(own, inputs.read_header, None), inputs)
        counts = (state.counts.records, state.counts.errors, state.failed, state.variables)
        counts += (state.written,)
    except AqError as problem:
        error = (problem.message, problem.hint, problem.exit_code)
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return Outcome(files, counts, error, messages.getvalue())


def by_rows(program, inputs):
    state = State.of(program, inputs, NoStore())
    state.open_outputs()
    try:
        run_rows(state)
    except BaseException:
        state.targets.close()
        raise
    state.finish()
    return state


def by_columns(size, stretch):
    def run(program, inputs):
        with (
            patch("ess_dask.aq.vector.engine._STRETCH_BYTES", stretch),
            patch("ess_dask.records.bits.PIECE_BYTES", 64),
            patch("ess_dask.records.split.PIECE_BYTES", 64),
        ):
            return run_program(program, inputs, NoStore(), block_bytes=size, small_bytes=1)

    return run


def compare(words, folder, size, stretch):
    """Assert that both ways leave the same behind."""
    rows = outcome(words, folder / "rows", by_rows)
    columns = outcome(words, folder / "columns", by_columns(size, stretch))
    assert repr(columns) == repr(rows), words


def delimited(rng, folder):
    """Return a command on a ``csv`` or ``sep`` input."""
    shape = rng.choice(SHAPES)
    attributes = [rng.choice(INPUTS), *rng.sample(MORE, rng.choice([0, 0, 1, 2]))]
    attributes = [word for word in attributes if word]
    if sum(word.startswith("sep") for word in attributes) > 1:
        attributes.remove("sep=,")
    separator = ":" if "sep=:" in attributes else ","
    text = text_of(rng, len(shape) + rng.choice([0, 0, 0, 1]), separator)
    (folder / "in").write_bytes(text.encode("latin-1"))
    return command(rng, shape, attributes, folder / "in")


DIVIDED = ["ip:p", "sep: [", "s,clf:s", "sep:] ", "i:i", "sep:;", "f:f", "sep:!", "s,up:t"]
FIXED = ["s,n=3:s", "i,n=4,trm:i", "X,n=1", "f,n=5,trm:f"]
FIXED_LINES = ["abc 12 |1.250", "\xff\xfe\xfd9999|     ", "abc   -| -3.5rest"]
FIXED_LINES += [
    "abc1 2 |1e+03",
    "abc 12 |1.2",
    "",
    "abc 12 |1.2.5",
    "abc 1x |1.250",
    "a\rc 12 |1.250",
]
DIVIDED_LINES = ["1.2.3.4 [GET /] 1;1.5!end", "9.8.7.6 [] -;!", "1.2.3.4 [\xe9] 77;-2!"]
DIVIDED_LINES += ["::1 [x] y] 5;1!e]!", '1.2.3.4 [q\\"] 1;x!', "", "1.2.3.4 [a] 0x1;1e3!", "none"]
DIVIDED_LINES += ["1.2.3.4 [\x01]  5;2!e\r", "1.2.3.04 [a] 1;1" + "0" * 30 + "!end"]


def by_lines(rng, folder):
    """Return a command on a ``div`` or ``fix`` input."""
    form, shape, pool = rng.choice([("div", DIVIDED, DIVIDED_LINES), ("fix", FIXED, FIXED_LINES)])
    plain = rng.choice([0.5, 0.95, 1])
    lines = [
        rng.choice(pool[:3] if rng.random() < plain else pool) for _ in range(rng.randrange(60))
    ]
    text = "".join(one + rng.choice(["\n", "\n", "\r\n"]) for one in lines)
    text = text if rng.random() < 0.7 else text.rstrip("\n")
    (folder / "in").write_bytes(text.encode("latin-1"))
    attributes = [form, rng.choice(INPUTS), *rng.sample(["qui=2", "+1", "bz=30", "esc"], 1)]
    return command(rng, shape, [word for word in attributes if word], folder / "in")


@pytest.mark.slow
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**9),
    size=st.sampled_from([20, 90, 400, 3000, 1 << 20]),
    stretch=st.sampled_from([30, 200, 1 << 17]),
    make=st.sampled_from([delimited, delimited, by_lines]),
)
def test_dirty_text_by_columns_is_rows(seed, size, stretch, make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aq")
    words = make(random.Random(seed), folder)
    compare(words, folder, size, stretch)


@pytest.mark.slow
@pytest.mark.parametrize("size", [60, 400, 1 << 20])
@pytest.mark.parametrize(
    ("policy", "files"),
    [
        ("eok,qui=1", ["plain", "dirty", "plain", "dirty"]),
        ("eok=2", ["plain", "few", "plain", "dirty", "plain"]),
        ("nox", ["plain", "dirty", "plain"]),
        ("eok", ["plain", "none there", "plain"]),
        ("eok", ["plain", "open quote", "plain"]),
    ],
)
def test_files_that_follow_one_another(policy, files, size, tmp_path):
    """Blocks of the next file are begun early; one that ends the run leaves nothing of them."""
    plain = "".join(f"a{at},{at}\n" for at in range(60))
    texts = {
        "plain": plain,
        "few": plain + "x\n" + plain,
        "dirty": plain + "x\ny,1,2\nz,TBD\n,\n" + plain,
        "open quote": plain + '"never,closed\n' + plain,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in files]
    words = [f"-f,{policy}", *paths, "-d", "s:s", "i:i", "-filt", "i < 50", "-o", "OUT1"]
    compare(words, tmp_path, size, 100)
