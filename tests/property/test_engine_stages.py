"""What is understood of a command is what bash makes of it."""

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ess_dask.engine.stages import Stages, leading_stages
from ess_dask.engine.substitute import substitute


def takes(words):
    return words[0] in {"program", "aq_pp", "aq_cnt"}


VALUES = {"file": "a 'b' $x*", "cols": "S:a,eq=' ' I:b", "path": ""}

pieces = st.sampled_from(
    [
        *"ab =!:,.%^+-/#~$*?[]{}()<>;&`|\\'\"\t\n@",
        "%file",
        "%cols",
        "%path",
        "%%",
        "$x",
        "$(",
        "'",
        '"',
    ]
)
texts = st.lists(pieces, max_size=12).map("".join)


@pytest.mark.slow
@settings(max_examples=400)
@given(texts)
@example("'a|b' \"c|d\" e\\|f")
@example("$%file")
@example("x%cols %cols '%cols' \"%cols\"")
@example('"$" "a$" a$ "\\$x\\a\\"" \\~ a~ ""')
def test_plain_words_are_those_of_bash(text):
    stages = leading_stages(f"program {text}", VALUES, takes)
    if stages.words and not stages.rest:
        shell = substitute(f"printf '%s\\0' program {text}", VALUES)
        done = subprocess.run(
            ["bash", "-c", shell.text],
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", **shell.env},
        )
        assert done.returncode == 0, done.stderr
        expected = [word.decode() for word in done.stdout.split(b"\0")[:-1]]
        assert stages.words == (tuple(expected),) or len(stages.words) > 1


@pytest.mark.parametrize(
    ("command", "words", "rest"),
    [
        ("aq_pp -f - | sort -u", (("aq_pp", "-f", "-"),), " sort -u"),
        ("aq_pp a|aq_cnt b|head -1|tail", (("aq_pp", "a"), ("aq_cnt", "b")), "head -1|tail"),
        ("aq_pp a | aq_pp '$b' | aq_pp $c", (("aq_pp", "a"), ("aq_pp", "$b")), " aq_pp $c"),
        ("aq_pp a | sort > out 2>&1", (), "aq_pp a | sort > out 2>&1"),
        ("aq_pp a | sort > out", (("aq_pp", "a"),), " sort > out"),
        (
            "aq_pp a | awk '{print $1; exit}' \"$x\"",
            (("aq_pp", "a"),),
            " awk '{print $1; exit}' \"$x\"",
        ),
    ],
)
def test_the_rest_is_shell_text(command, words, rest):
    assert leading_stages(command, {}, takes) == Stages(words, rest)


@pytest.mark.parametrize(
    "command",
    [
        "grep x | aq_pp a",
        "aq_pp a; echo",
        "aq_pp a && echo",
        "aq_pp a || true",
        "aq_pp a &",
        "aq_pp a |& cat",
        "aq_pp a | (cat)",
        "aq_pp a | while read x\ndo echo\ndone",
        "aq_pp a | sort $(cat x)",
        'aq_pp a | sort "`x`"',
        "aq_pp $x",
        'aq_pp "$x"',
        "aq_pp *.csv",
        "aq_pp ~/x",
        "aq_pp a > b",
        "aq_pp {a,b}",
        "aq_pp 'a",
        "aq_pp a # b",
        "aq_pp a |",
        "X=1 aq_pp a",
        "./aq_pp a",
        "",
    ],
)
def test_what_is_not_plain_is_left_to_bash(command):
    assert leading_stages(command, {}, takes) == Stages((), command)
