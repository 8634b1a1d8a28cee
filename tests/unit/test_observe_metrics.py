"""The metrics file: what a strict reader of Prometheus' text format finds in it."""

import re
import threading

import pytest

from ess_dask.observe.metrics import FAMILIES, STATES, write_metrics
from ess_dask.observe.model import Beginning, Ending

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


def parse(text):
    """Return {(metric, labels): value} of a page of the text format; refuse what breaks its rules:
    samples of one metric stand together, behind one HELP and one TYPE, and none comes twice."""
    assert text.endswith("\n")
    found, helped, typed, current = {}, set(), set(), ""
    for line in text.splitlines():
        if line.startswith("# "):
            word, name, rest = line[2:].split(" ", 2)
            assert NAME.fullmatch(name)
            assert name not in (helped if word == "HELP" else typed), line
            (helped if word == "HELP" else typed).add(name)
            assert word == "HELP" or rest == "gauge"
            current = name
            continue
        name, brace, rest = line.partition("{")
        assert brace and name == current and name in helped & typed, line
        labels, value = rest[: rest.rindex("}")], rest[rest.rindex("}") + 1 :]
        parts = LABEL.findall(labels)
        assert ",".join(f'{k}="{v}"' for k, v in parts) == labels, line
        plain = tuple((k, re.sub(r"\\(.)", unescaped, v)) for k, v in parts)
        assert (name, plain) not in found, line
        found[name, plain] = float(value)
    return found


def unescaped(match):
    return "\n" if match[1] == "n" else match[1]


def begin(pipeline, started=1000.0):
    return Beginning("20261127T003904-3216707d", pipeline, started)


def end(at=1010.5, code=0, state="done", **report):
    return Ending(at, code, state, report)


def value(path, metric, pipeline="shop", **labels):
    return parse(path.read_text())[metric, (("pipeline", pipeline), *labels.items())]


def test_every_metric_of_a_run_is_there(tmp_path):
    path = tmp_path / "ess.prom"
    ending = end(
        files=3, files_done=4, failed=[{"uri": "a", "error": "b"}], rows_read=10, rows_loaded=7,
        rows_rejected=2, rows_dropped=1, reasons={"refID: not an int32": 2},
        state="failed files", code=3,
    )  # fmt: skip
    write_metrics(path, begin("shop"), end(at=900.0))
    write_metrics(path, begin("shop"), ending)
    assert {name for name, _ in parse(path.read_text())} == set(FAMILIES)
    assert value(path, "ess_run_state", state="failed files") == 1
    states = [value(path, "ess_run_state", state=state) for state in STATES]
    assert sum(states) == 1
    assert value(path, "ess_run_exit_code") == 3
    assert value(path, "ess_run_start_time_seconds") == 1000
    assert value(path, "ess_run_end_time_seconds") == 1010.5
    assert value(path, "ess_run_duration_seconds") == 10.5
    kinds = {"loaded": 3, "done_before": 4, "failed": 1}
    assert {kind: value(path, "ess_run_files", kind=kind) for kind in kinds} == kinds
    kinds = {"read": 10, "loaded": 7, "rejected": 2, "dropped": 1}
    assert {kind: value(path, "ess_run_rows", kind=kind) for kind in kinds} == kinds
    assert value(path, "ess_run_rejected_rows", reason="refID: not an int32") == 2
    # It failed: the last success stays that of the run before.
    assert value(path, "ess_last_success_time_seconds") == 900
    write_metrics(path, begin("shop"), end(at=2000.0, state="nothing new"))
    assert value(path, "ess_last_success_time_seconds") == 2000
    assert [path.name for path in tmp_path.iterdir()] == ["ess.prom"]


def test_a_state_that_is_no_other_is_failed(tmp_path):
    path = tmp_path / "ess.prom"
    write_metrics(path, begin("shop"), end(code=1, state="exploded"))
    assert value(path, "ess_run_state", state="failed") == 1
    assert "ess_last_success_time_seconds" not in path.read_text()


@pytest.mark.parametrize(
    "reason",
    ['a "quoted" \\ one', "two\nlines", "} 1", 'x"} 7\ness_run_exit_code{pipeline="shop"} 0',
     "\udcff\x00 é", "# HELP ess_run_rows"],
)  # fmt: skip
def test_hostile_reasons_stay_within_their_label(tmp_path, reason):
    path = tmp_path / "ess.prom"
    write_metrics(path, begin("other"), end(reasons={reason: 5}))
    write_metrics(path, begin("shop"), end(code=4))
    found = parse(path.read_text())
    assert value(path, "ess_run_exit_code") == 4
    assert [v for (name, _), v in found.items() if name == "ess_run_rejected_rows"] == [5]


def test_pipelines_share_a_file_also_at_the_same_time(tmp_path):
    path = tmp_path / "ess.prom"
    names = [f"p{number}" for number in range(20)]
    threads = [
        threading.Thread(target=write_metrics, args=(path, begin(name), end(rows_read=number)))
        for number, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    got = [value(path, "ess_run_rows", pipeline=name, kind="read") for name in names]
    assert got == list(range(20))


def test_what_is_not_ours_in_the_file_goes(tmp_path):
    path = tmp_path / "ess.prom"
    path.write_text('half a line{pipeline="x"\nother_metric{pipeline="x"} 1\n')
    write_metrics(path, begin("shop"), end())
    assert {name for name, _ in parse(path.read_text())} <= set(FAMILIES)


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        write_metrics(tmp_path / "nowhere" / "ess.prom", begin("shop"), end())
