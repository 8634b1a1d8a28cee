"""A command that is started warm is the same command."""

import subprocess

import pytest

from tests.warm import run_cold

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "words", [["--version"], ["nosuch"], ["select", "local"], ["config"], ["plan", "x.yaml"]]
)
def test_it_says_and_returns_the_same(user, warm, words):
    env = user.env | {"ESS_WORKERS": "3"}
    found = warm.run(words, user.folder, env, 60)
    assert found == run_cold(words, user.folder, env, 60)
    assert words != ["config"] or b"workers: 3" in found[1]


def test_variables_of_the_interpreter_are_its_own(user):
    user.env["PYTHONPROFILEIMPORTTIME"] = "1"
    assert "import time:" in user.ess("--version").stderr


def test_it_ends_when_its_time_is_over(user, warm):
    (user.folder / "a.csv").write_text("x\n")
    user.ess("select", "local")
    user.ess("category", "add", "a", f"{user.folder}/a.csv")
    words = ["stream", "a", "*", "*", "echo $$ > pid; exec sleep 300"]
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(words, user.folder, user.env, 10)
    assert (user.folder / "pid").exists()
