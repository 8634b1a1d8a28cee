"""A cluster that somebody else runs: an address and certificates are all that is known of it."""

import pytest

from ess_dask.cluster import machines
from ess_dask.errors import ConfigError
from ess_dask.testing.far_cluster import far_cluster


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    with far_cluster(tmp_path_factory.mktemp("far"), tmp_path_factory.mktemp("mine")) as cluster:
        (cluster.hidden / "secret").write_text("of the client")
        yield cluster


@pytest.fixture
def conf(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path))
    monkeypatch.setenv("ESS_CLUSTER", "custom")
    return tmp_path


def test_it_is_used_by_its_address_and_certificates(far, conf):
    (conf / "reservation.json").write_text(far.reservation())
    with machines.connect(machines.attach()) as client:
        assert client.submit(sum, [1, 2, 3]).result(timeout=30) == 6
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 2


def test_its_workers_do_not_see_the_clients_folder(far, conf):
    (conf / "reservation.json").write_text(far.reservation())
    with machines.connect(machines.attach()) as client:
        import os

        seen = client.submit(os.path.exists, str(far.hidden / "secret"), pure=False)
        assert not seen.result(timeout=30)


def test_without_a_description_nothing_is_started(conf):
    assert machines.attach() is None
    with pytest.raises(ConfigError, match=r"there is no .*reservation\.json"):
        machines.ensure_started(print)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ('{"id": "x", "tls": "t"}', 'neither "ip_list" nor "address"'),
        ('{"id": "x", "address": 5, "tls": "t"}', '"address" must be a text'),
        ('{"id": "x", "address": "tcp://h:1", "tls": "t"}', "must look like tls://HOST:PORT"),
        ('{"id": "x", "address": "tls://h:1", "tls": "t"}', "there is no"),
    ],
)
def test_what_is_wrong_with_a_description_is_named(conf, text, words):
    (conf / "reservation.json").write_text(text)
    with pytest.raises(ConfigError, match=words):
        machines.attach()
