"""Log records: the same keys on every line, no secret in any, and a log for each run."""

import json
import logging

import pytest

from ess_dask.engine.heard import Said
from ess_dask.engine.model import BatchResult
from ess_dask.observe import logs
from ess_dask.settings import Settings
from tests.unit.test_engine_heard import bare_root

KEYS = ["time", "level", "event", "run_id", "pipeline", "category", "file", "worker", "logger"]
ABOUT = logs.About("20261127T003904-3216707d", "shop", "purchase")


@pytest.fixture
def stderr(capsys):
    """Give what reads stderr so far."""
    return lambda: capsys.readouterr().err


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def said(text, level=logging.INFO, file="/lake/a.csv"):
    return Said(1795739944.76, level, "mine", text, file)


def test_each_record_has_the_same_keys_and_knows_its_run(tmp_path, stderr):
    with bare_root() as root, logs.run_log(ABOUT, tmp_path, Settings()):
        logs.log(logging.INFO, "batch done", worker="w1", values={"rows_read": 7})
        logging.getLogger("elsewhere").warning("half %s", "full")
        logs.log_said(BatchResult(0, (), worker="w2", said=(said("from a step"),), unsaid=3))
        assert len(root.handlers) == 1
    done, other, step, more = lines(tmp_path / "log.ndjson")
    assert list(done) == [*KEYS, "rows_read"]
    assert [list(each) for each in (other, step, more)] == [KEYS] * 3
    assert {each["run_id"] for each in (done, other, step, more)} == {ABOUT.run_id}
    assert (done["event"], done["worker"], done["rows_read"]) == ("batch done", "w1", 7)
    assert (other["event"], other["level"], other["category"]) == (
        "half full",
        "warning",
        "purchase",
    )
    assert step["time"] == "2026-11-27T00:39:04.760Z"
    assert (step["event"], step["file"], step["worker"]) == ("from a step", "/lake/a.csv", "w2")
    assert more["event"] == "3 more records of batch 0 were left out"
    # Nothing is set up: people see warnings, as they would without us, and nothing else.
    assert stderr().splitlines() == ["half full", f"{more['event']} [worker w2]"]


def test_a_record_that_does_not_fit_its_arguments_is_written_as_it_is(tmp_path, stderr):
    with bare_root(), logs.run_log(ABOUT, tmp_path, Settings()):
        logging.getLogger("elsewhere").warning("%d rows", "many")
    (kept,) = lines(tmp_path / "log.ndjson")
    assert kept["event"] == "%d rows"


def test_a_log_begins_when_its_folder_is_there_and_nothing_is_lost(tmp_path, stderr):
    folder = tmp_path / "run"
    with bare_root(), logs.run_log(ABOUT, folder, Settings()):
        logs.log(logging.INFO, "first")
        assert not folder.exists()
        folder.mkdir()
        logs.log(logging.INFO, "second")
    assert [each["event"] for each in lines(folder / "log.ndjson")] == ["first", "second"]


@pytest.mark.parametrize(
    ("settings", "quiet", "shown"),
    [
        (Settings(log_format="json"), False, ["info", "warning"]),
        (Settings(log_format="json"), True, ["warning"]),
        (Settings(log_format="json", log_level="debug"), True, ["debug", "info", "warning"]),
        (Settings(log_level="error"), False, []),
        (Settings(log_level="info"), False, ["info", "warning"]),
    ],
)
def test_stderr_gets_the_level_that_was_asked_for(tmp_path, stderr, settings, quiet, shown):
    with bare_root() as root:
        logs.configure(settings, quiet=quiet)
        with logs.run_log(ABOUT, tmp_path, settings):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING):
                logs.log(level, "something")
        root.handlers[:] = []
    written = stderr().splitlines()
    if settings.log_format == "json":
        assert [json.loads(line)["level"] for line in written] == shown
    else:
        assert [line.split()[1] for line in written] == shown
    in_file = ["debug"] * (settings.log_level == "debug") + ["info", "warning"]
    assert [each["level"] for each in lines(tmp_path / "log.ndjson")] == in_file
    logs.LOG.setLevel(logging.NOTSET)


SECRETS = [
    "password=cnry9canary",
    "redshift://etl:cnry9canary@h/d",
    "copy t credentials 'aws_access_key_id=cnry9canary;aws_secret_access_key=cnry9canary'",
]


@pytest.mark.parametrize("text", SECRETS)
def test_no_secret_comes_through_by_any_way(tmp_path, stderr, text, monkeypatch):
    monkeypatch.setenv("ESS_REDSHIFT_PASSWORD", "cnry9 of the environment")
    everything = f"{text} cnry9 of the environment"
    with bare_root() as root:
        logs.configure(Settings(log_format="json"))
        with logs.run_log(ABOUT, tmp_path, Settings()):
            logs.log(logging.ERROR, everything, file=everything, values={"deep": [everything]})
            logs.log_said(BatchResult(0, (), worker="w", said=(said(everything),)))
            try:
                raise ValueError(everything)
            except ValueError:
                logging.getLogger("lib").exception("failed")
        root.handlers[:] = []
        logs.LOG.setLevel(logging.NOTSET)
    for written in (stderr(), (tmp_path / "log.ndjson").read_text()):
        assert len(written.splitlines()) == 3
        assert "cnry9" not in written


def test_a_hostile_text_cannot_steer_a_terminal_or_break_a_line(tmp_path, stderr):
    evil = "\x1b[2J\nfake line \udcff"
    with bare_root() as root:
        logs.configure(Settings(log_level="info"))
        with logs.run_log(ABOUT, tmp_path, Settings()):
            logs.log(logging.WARNING, evil, file="/lake/a\x1b[31m.csv")
        root.handlers[:] = []
        logs.LOG.setLevel(logging.NOTSET)
    (shown,) = stderr().splitlines()
    assert shown.isprintable()
    (kept,) = lines(tmp_path / "log.ndjson")
    assert kept["event"] == "\x1b[2J\nfake line \\udcff"


def test_two_runs_of_one_process_have_a_log_each(tmp_path, stderr):
    other = logs.About("20261127T003905-00000000", "shop", "purchase")
    for name in "ab":
        (tmp_path / name).mkdir()
    with bare_root(), logs.run_log(ABOUT, tmp_path / "a", Settings()):
        with logs.run_log(other, tmp_path / "b", Settings()):
            logs.log(logging.WARNING, "of b")
        logs.log(logging.WARNING, "of a")
    assert [each["event"] for each in lines(tmp_path / "a" / "log.ndjson")] == ["of a"]
    assert [each["event"] for each in lines(tmp_path / "b" / "log.ndjson")] == ["of b"]
