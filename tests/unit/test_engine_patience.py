"""When a run stops trying: failures in a row that may pass, of files and of batches."""

import pytest

from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.engine import work as work_module
from ess_dask.engine.interrupt import Interrupt
from ess_dask.engine.model import Batch, BatchResult, FileCount, Job
from ess_dask.engine.patience import LIMIT, Patience
from ess_dask.engine.sinks import Tee
from ess_dask.engine.work import work_through
from ess_dask.errors import DataError, TransientError
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.types import parse_type

BATCHES = [Batch(n, (FileRef(f"f{n}", None, 1, "e"),)) for n in range(8)]


def result(number, error="", transient=True):
    count = FileCount(f"f{number}", "e", error=error, transient=transient and bool(error))
    return BatchResult(number, (count,))


def patience():
    return Patience(Interrupt(lambda text: None))


def watched(*errors, transient=True):
    found, seen = patience(), []
    for number, error in enumerate(errors):
        seen.append(result(number, error, transient))
        found.watch(seen[-1])
    return found, seen


def test_only_failures_in_a_row_count():
    assert not watched("down", "down")[0].draining
    found, _ = watched("down", "down", "", "down", "down")
    assert not found.draining
    found.watch(result(5, "down"))
    assert found.draining


def test_failures_that_will_not_pass_are_the_files_own():
    found, seen = watched(*["corrupt"] * 6, transient=False)
    assert not found.draining
    assert list(found.skip(BATCHES, seen)) == []


def test_what_is_not_tried_is_named_with_the_reason():
    found, seen = watched(*["server down"] * LIMIT)
    skipped = list(found.skip(BATCHES, seen))
    assert [each.number for each in skipped] == list(range(LIMIT, 8))
    for each in skipped:
        (count,) = each.counts
        assert count.uri == f"f{each.number}"
        assert count.transient
        assert "not tried" in count.error
        assert "server down" in count.error


def test_an_interrupted_run_has_not_given_up():
    found, seen = watched(*["down"] * LIMIT)
    found.interrupt.drain()
    assert found.draining
    assert list(found.skip(BATCHES, seen)) == []


@pytest.fixture
def failing(monkeypatch):
    """Have the reading of files fail as told; give the list of the files that were tried."""
    tried, errors = [], {}

    def parts(file, job, tally):
        tried.append(file.uri)
        if file.uri in errors:
            raise errors[file.uri]
        return iter(())

    monkeypatch.setattr(work_module, "_parts", parts)
    return tried, errors


def run_batch(count):
    files = tuple(FileRef(f"f{n}", None, 1, "e") for n in range(count))
    job = Job(Datastore("l", "/l"), ReadSpec(columns=(Column("n", parse_type("int32")),)))
    done, _ = work_through(Batch(0, files), job, Tee(()))
    return [count.error for count in done.counts]


def test_the_rest_of_a_batch_is_not_tried(failing):
    tried, errors = failing
    errors.update({f"f{n}": TransientError(f"down {n}") for n in range(1, 10)})
    found = run_batch(10)
    assert found[:4] == ["", "down 1", "down 2", "down 3"]
    assert all("not tried" in error and "down 3" in error for error in found[4:])
    assert set(tried) == {"f0", "f1", "f2", "f3"}


def test_a_file_that_can_be_read_shows_that_the_server_is_there(failing):
    tried, errors = failing
    errors.update({f"f{n}": TransientError("down") for n in (0, 1, 3, 4)})
    errors["f6"] = DataError("corrupt")
    assert run_batch(8) == ["down", "down", "", "down", "down", "", "corrupt", ""]
    assert set(tried) == {f"f{n}" for n in range(8)}
