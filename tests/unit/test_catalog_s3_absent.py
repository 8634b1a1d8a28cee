"""An S3 server at which nobody listens costs a job its patience once, not once for each file."""

from contextlib import suppress

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from ess_dask.catalog import s3
from ess_dask.catalog.model import Datastore
from ess_dask.errors import TransientError

STORE = Datastore("s3", "s3://lake", endpoint="http://127.0.0.1:1")


def at_once(on, call, _level, attempts, **_):
    """Try as often, but do not wait in between."""
    for _ in range(attempts - 1):
        with suppress(on):
            return call()
    return call()


@pytest.fixture
def tries(monkeypatch):
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    monkeypatch.setattr(s3, "_absent", s3._Absent())
    monkeypatch.setattr(s3.retry, "retrying", at_once)
    made = []

    def ask(error=None):
        made.clear()

        def request():
            made.append(1)
            if error:
                raise error
            return "answer"

        try:
            assert s3.retrying(STORE, "s3:GetObject", "s3://lake/a", request) == "answer"
        except TransientError:
            assert error
        return len(made)

    return ask


GONE = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def test_after_all_tries_of_one_request_the_next_are_tried_once(tries, monkeypatch):
    assert [tries(GONE), tries(GONE), tries(GONE)] == [2, 1, 1]
    assert tries() == 1
    # It answers again.
    assert tries(GONE) == 2
    monkeypatch.setattr(s3, "_ABSENT_SECONDS", 0.0)
    assert tries(GONE) == 2


def test_a_server_that_breaks_off_is_there(tries):
    closed = ConnectionClosedError(endpoint_url="http://127.0.0.1:1")
    assert [tries(closed), tries(closed)] == [2, 2]
