"""Workers are removed only when those that stay have room for what they hold."""

import dask
import pytest
from distributed import Client, LocalCluster

from ess_dask.cluster.graceful import FILL, before_removal, held_and_room
from ess_dask.errors import EssError
from ess_dask.testing.clusters import wait_until

GIB = 1 << 30


class Big:
    """Says that it takes 5 GiB."""

    def __sizeof__(self):
        return 5 * GIB


@pytest.fixture
def client():
    """Give a client of two workers of 8 GiB."""
    never = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")}
    with (
        dask.config.set(never),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, host="127.0.0.1", protocol="tcp://",
            dashboard_address="127.0.0.1:0", memory_limit=8 * GIB,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


def test_workers_go_when_the_others_have_room_and_only_then(client):
    one, other = sorted(client.scheduler_info()["workers"])
    said = []
    before_removal(client, ["tcp://127.0.0.1:1"], said.append)
    assert said == []

    first = client.scatter(Big(), workers=[one], hash=False)
    held, room = client.run_on_scheduler(held_and_room, [one])
    assert 5 * GIB <= held < 5.1 * GIB and room == int(FILL * 8 * GIB)
    assert client.run_on_scheduler(held_and_room, [other])[0] == 0
    with pytest.raises(EssError, match="no other worker is left to take the 5,"):
        before_removal(client, [one, other], said.append)

    second = client.scatter(Big(), workers=[other], hash=False)
    with pytest.raises(
        EssError, match=r"1 worker would hand on 5,.*, and the 1 that stay have room"
    ):
        before_removal(client, [one], said.append)
    assert said == [] and client.submit(sum, [1, 2], workers=[one]).result(timeout=30) == 3

    del second
    assert wait_until(lambda: client.run_on_scheduler(held_and_room, [one])[1] > 5.1 * GIB)
    before_removal(client, [one], said.append)
    assert "bytes of 1 worker to the others" in said[0]
    assert other in client.who_has([first])[first.key]
    assert client.run_on_scheduler(held_and_room, [one])[0] == 0
