"""A command that is started warm is the same command."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ess_dask.testing.clusters import session_processes, wait_until
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


def kernel_says(process):
    """Return words, environment and parent of a process."""
    place = Path(f"/proc/{process}")
    words, env = ((place / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
    return words, env, int((place / "stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("memory", ["0", "4GiB"], ids=["warm", "cold"])
def test_a_cluster_is_started_as_by_any_command(user, memory):
    user.ess("udbd", "start", env={"ESS_WORKERS": "2", "ESS_MEMORY_LIMIT": memory})
    daemon = json.loads((user.home / ".ess" / "daemon" / "state.json").read_text())["pid"]
    said = {process: kernel_says(process) for process in session_processes(daemon)}
    words, _, _ = said[daemon]
    assert b"ess_dask.cluster.daemon" in words
    assert str(user.home / ".ess" / "daemon").encode() in words
    assert all(f"HOME={user.home}".encode() in env for _, env, _ in said.values())
    workers = [parent for words, _, parent in said.values() if b"spawn_main" in b" ".join(words)]
    assert workers == [daemon, daemon]
    user.ess("udbd", "stop")
    assert wait_until(lambda: not session_processes(daemon))


def test_programs_on_a_path_are_the_same(user, warm):
    folder = user.home / "programs"
    folder.mkdir()
    warm.programs(folder)
    (user.folder / "a.csv").write_text("1,x\n2,y\n")
    command = "aq_pp -f - -d i:n s:t -filt 'n > 1' -c t < a.csv; aq_pp -f none -d i:n; echo $?"
    found = [
        subprocess.run(
            ["bash", "-c", command], cwd=user.folder, capture_output=True, check=True,
            env=user.env | {"PATH": f"{first}:{user.env['PATH']}"},
        )
        for first in (folder, os.devnull)
    ]  # fmt: skip
    assert found[0].stdout.startswith(b'"t"\n"y"\n')
    assert (found[0].stdout, found[0].stderr) == (found[1].stdout, found[1].stderr)
