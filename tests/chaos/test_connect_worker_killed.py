"""A worker that dies while a client connects costs the client nothing."""

import os
import signal
import threading

from distributed import Client

from ess_dask.cluster.passing import pass_environment
from tests.chaos.conftest import wait_for

NAME = "ess-store-environment"


def region():
    return os.environ.get("AWS_REGION")


def test_the_environment_reaches_all_workers_though_one_dies_meanwhile(cluster, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-test-1")
    with Client(cluster, set_as_default=False) as client:
        victim = next(iter(client.run(os.getpid).values()))
        # Stopped, it takes the message and does not answer: then it dies in the middle for sure.
        os.kill(victim, signal.SIGSTOP)
        failed = []

        def connect():
            try:
                pass_environment(client)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        wait_for(lambda: NAME in cluster.scheduler.worker_plugins)
        os.kill(victim, signal.SIGKILL)
        thread.join(60)
        assert not thread.is_alive()
        assert failed == []
        wait_for(lambda: len(cluster.scheduler.workers) == 2)
        assert set(client.run(region).values()) == {"eu-test-1"}
