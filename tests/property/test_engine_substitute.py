"""No file name is ever shell text: whatever it is, the command gets it as one plain argument."""

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.engine.command import file_words
from ess_dask.engine.substitute import expand, substitute

names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=30)


def bash(command):
    env = {**os.environ, **command.env}
    done = subprocess.run(
        ["bash", "-c", command.text], capture_output=True, env=env, check=True, timeout=20
    )
    return done.stdout.decode()


@settings(max_examples=60)
@given(names)
def test_any_name_reaches_the_command_unchanged(name):
    command = substitute("printf '%s|' %FILE \"%FILE\" 'x%FILE'", {"FILE": name})
    assert bash(command) == f"{name}|{name}|x{name}|"


@pytest.mark.parametrize(
    "name",
    [
        "$(touch hacked)",
        "`touch hacked`",
        "a; touch hacked",
        "a' ; touch hacked; '",
        '"; touch hacked; "',
    ],
)
@pytest.mark.parametrize(
    "text", ["echo %file", 'echo "%file"', "echo '%file'", "echo x%file.gz > /dev/null"]
)
def test_metacharacters_run_nothing(name, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bash(substitute(text, {"file": name}))
    assert list(tmp_path.iterdir()) == []


def test_columns_are_one_argument_each_outside_quotes():
    words = {"cols": "S:a sep:'|' I,n=3:b"}
    assert bash(substitute("printf '%s\\n' %cols", words)) == "S:a\nsep:'|'\nI,n=3:b\n"
    assert bash(substitute('printf "%s\\n" "%cols"', words)) == "S:a sep:'|' I,n=3:b\n"


def test_other_percent_signs_stay():
    command = substitute("date +%Y%m; echo %fileX %unknown 100% \\%file", {"file": "f"})
    assert command.text == 'date +%Y%m; echo "$ESS_SUB_file"X %unknown 100% \\%file'
    assert substitute("echo %file", {}).text == "echo %file"


@pytest.mark.parametrize(
    ("uri", "path", "file", "full"),
    [
        ("/lake/a/b_20140901.csv.gz", "/lake/a", "b_20140901.csv", "b_20140901.csv.gz"),
        ("s3://bucket/a/b.gz", "a", "b", "b.gz"),
        ("s3://bucket/b", "", "b", "b"),
        ("/lake/.hidden", "/lake", ".hidden", ".hidden"),
    ],
)
def test_words_of_a_file(uri, path, file, full):
    assert file_words(uri) == {"path": path, "file": file, "FILE": full}


def test_paths_of_outputs_are_plain_text():
    assert expand("/conv/%path/%file.gz", {"path": "a b", "file": "$x"}) == "/conv/a b/$x.gz"
