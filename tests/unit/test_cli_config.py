"""``ess config`` from outside: a process of its own in an empty home; mistyped commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ess_dask import settings as s
from ess_dask.cli.main import ess as command
from ess_dask.cli.main import main, run

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def ess(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    work = tmp_path / "work"
    work.mkdir()

    def run(*args, folder=work, **environment):
        base = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-c", "from ess_dask.cli.main import main; main()", "config", *args],
            capture_output=True,
            text=True,
            cwd=folder,
            env=base | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY)} | environment,
            timeout=60,
            check=False,
        )

    run.work = work
    return run


def test_defaults_in_an_empty_home(ess):
    done = ess()
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == list(s.NAMES)
    assert "batch_bytes: 8MiB\n" in done.stdout
    assert list(ess.work.iterdir()) == []


def test_the_output_is_a_profile(ess):
    first = ess("--show-origin", ESS_WORKERS="3", ESS_IDLE_TIMEOUT="90m")
    (ess.work / "configs").mkdir()
    (ess.work / "configs" / "mine.yaml").write_text(first.stdout)
    second = ess("--profile", "mine")
    assert second.returncode == 0, second.stderr
    assert second.stdout == ess(ESS_WORKERS="3", ESS_IDLE_TIMEOUT="5400").stdout


def test_origins(ess):
    (ess.work / "p.yaml").write_text(PIPELINE)
    done = ess("--show-origin", "--profile", "local", "--pipeline", "p.yaml", ESS_THREADS="2")
    origins = dict(line.split("  # ") for line in done.stdout.splitlines())
    origins = {key.split(":")[0]: value for key, value in origins.items()}
    assert origins["threads"] == "environment ESS_THREADS"
    assert origins["partitions"] == "pipeline p.yaml:5"
    assert origins["window"] == "default"
    assert origins["idle_timeout"].startswith("profile local (")


PIPELINE = """\
name: p
source: {store: ., category: c, pattern: "*.csv", columns: {a: int32}}
settings:
  # how it is spread
  partitions: 4
"""


def test_set_changes_a_pipelines_setting(ess):
    (ess.work / "p.yaml").write_text(PIPELINE)
    done = ess("--pipeline", "p.yaml", "--set", "settings.partitions=9", ESS_PARTITIONS="7")
    assert "partitions: 9\n" in done.stdout


def test_json_has_units_origins_and_descriptions(ess):
    rows = json.loads(ess("--json", ESS_BATCH_BYTES="1MiB").stdout)
    assert list(rows) == list(s.NAMES)
    assert rows["batch_bytes"] == {
        "value": 1 << 20,
        "unit": "bytes",
        "origin": "environment ESS_BATCH_BYTES",
        "environment": "ESS_BATCH_BYTES",
        "description": s.description("batch_bytes"),
    }


def test_a_typing_mistake_in_a_variable_is_warned_of(ess):
    done = ess(ESS_WORKRES="3")
    assert done.returncode == 0
    assert done.stderr == (
        "ess: warning: ESS_WORKRES is not a setting (did you mean 'ESS_WORKERS'?)\n"
    )
    assert "WORKRES" not in done.stdout


@pytest.mark.parametrize(
    ("args", "environment", "words"),
    [
        (["--profile", "nope"], {}, "no profile 'nope'; searched, in order:"),
        ([], {"ESS_PROFILE": "nope"}, "no profile 'nope'"),
        ([], {"ESS_WORKERS": "x"}, "environment ESS_WORKERS: workers: 'x' is not a whole number"),
        (["--pipeline", "nope.yaml"], {}, "no pipeline 'nope.yaml'"),
        (["--set", "a=b"], {}, "name it with --pipeline FILE"),
        (["--nope"], {}, "No such option"),
    ],
)
def test_mistakes_end_with_2_and_no_traceback(ess, args, environment, words):
    done = ess(*args, **environment)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_secret_in_the_environment_is_not_printed(ess):
    done = ess("--json", AWS_SECRET_ACCESS_KEY="canary", ESS_TOKEN="canary")
    assert "canary" not in done.stdout + done.stderr
    refused = ess(ESS_WAREHOUSE="redshift://me:canary@host/db")
    assert refused.returncode == 2
    assert "canary" not in refused.stdout + refused.stderr


@pytest.mark.parametrize("where", ["before", "behind", "environment"])
def test_a_profile_may_be_named_anywhere_and_must_exist(where, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.yaml").write_text("workers: 7\n")
    command = ["repository"]

    def run(name):
        args = {"before": ["--profile", name, *command], "behind": [*command, "--profile", name]}
        return subprocess.run(
            [sys.executable, "-m", "ess_dask.cli", *args.get(where, command)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
            | ({"ESS_PROFILE": name} if where == "environment" else {}),
            check=False,
        )

    assert run("mine").returncode == 0
    command.append("--help")
    assert run("mien").returncode == (2 if where == "before" else 0)
    command.remove("--help")
    wrong = run("mien")
    assert wrong.returncode == 2
    assert "no profile 'mien'; searched, in order:\n    configs/mien.yaml" in wrong.stderr
    assert "did you mean" in wrong.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["qurey", "x"], "'query'"), (["stremm"], "'stream'"), (["category", "ad"], "'add'")],
)
def test_a_command_that_comes_near_is_named(typed, meant, capsys):
    assert run(command, typed) == 2
    assert f"Did you mean {meant}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["summary", "caf\udce9"], r"'caf\udce9' is not valid UTF-8"),
        (["query", "select '\udcff'"], "is not valid UTF-8"),
        (["run", "a" * 300], "a name of 300 characters is too long: aaa"),
    ],
)
def test_arguments_that_no_file_and_no_name_can_have(typed, words, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run(command, ["select", str(tmp_path)]) == 0
    assert run(command, typed) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "\n  hint: " in said


def test_where_nothing_is_known_the_way_to_it_is_told(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run(command, ["ls", "--label", "lake"]) == 2
    assert "hint: choose one: ess select" in capsys.readouterr().err
    assert run(command, ["select", str(tmp_path)]) == 0
    assert run(command, ["summary", "sold"]) == 2
    assert "hint: register it: ess category add" in capsys.readouterr().err


def test_nothing_comes_near(capsys):
    assert run(command, ["--nope"]) == run(command, ["xyzzy"]) == 2
    said = capsys.readouterr().err
    assert "No such command 'xyzzy'." in said
    assert "Did you mean" not in said


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_stream_that_the_caller_closed_is_no_error(name, monkeypatch):
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    with getattr(sys, name) as opened:
        assert os.fstat(opened.fileno()).st_rdev == os.stat(os.devnull).st_rdev
