"""A partition whose workers died is tried once more alone: what it gives is then what counts."""

import os
import signal
import time

import pytest
from distributed import Client
from tornado.ioloop import PeriodicCallback

from ess_dask.engine.bag import partitions
from ess_dask.engine.executor import ClusterExecutor
from tests.chaos.conftest import workers

DEATHS = 4
"""As many as make the scheduler give a task up."""


@pytest.fixture
def client():
    with workers(1) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def busy(client):
    """The client's loop comes late to everything, as it does on a machine with much to do."""

    async def begin():
        callback = PeriodicCallback(lambda: time.sleep(0.1), 1)
        callback.start()
        return callback

    callback = client.sync(begin)
    yield
    client.loop.add_callback(callback.stop)


def dies_at_first(folder):
    """Kill the worker until the scheduler gives up; then return how often that was."""
    deaths = len(list(folder.iterdir()))
    if deaths < DEATHS:
        (folder / str(deaths)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return deaths


def test_the_second_try_is_made_however_busy_the_client_is(client, busy, tmp_path):
    executor = ClusterExecutor(client)
    (partition,) = partitions([tmp_path], dies_at_first)
    handle = executor.submit(partition)
    assert executor.result(handle) == DEATHS
