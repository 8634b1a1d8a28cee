"""What a machine is told when it boots: small, complete, and nobody else's secret."""

import gzip
import json

import pytest

from ess_dask.cluster.ec2.software import pinned_requirements, python_image
from ess_dask.cluster.ec2.user_data import LIMIT, Boot, user_data, worker_names
from ess_dask.cluster.tls import ensure_certificates
from ess_dask.errors import ConfigError

SCHEDULER = "tls://172.31.0.4:8786"


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster") / "tls"
    ensure_certificates(folder)
    return folder


def boot(tls, role="worker", **more):
    usual = {"image": python_image(), "requirements": pinned_requirements()}
    address = SCHEDULER if role == "worker" else ""
    return Boot(role, tls=tls, name="w0001-ab", scheduler=address, **usual | more)


def opened(data):
    text = gzip.decompress(data).decode()
    first, rest = text.split("\n", 1)
    assert first == "#cloud-config"
    told = json.loads(rest)
    return {each["path"]: each for each in told["write_files"]}, told["runcmd"]


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_it_fits_with_room_and_is_the_same_each_time(tls, role):
    data = user_data(boot(tls, role))
    assert len(data) < LIMIT / 3
    assert data == user_data(boot(tls, role))


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_it_holds_the_key_of_its_role_only_and_nobody_else_may_read_it(tls, role, monkeypatch):
    import dask

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-in-the-environment")
    with dask.config.set({"scheduler": {"token": "canary-in-the-configuration"}}):
        files, commands = opened(user_data(boot(tls, role)))
    assert files["/etc/ess/node.pem"]["content"] == (tls / f"{role}.pem").read_text()
    assert files["/etc/ess/node.pem"]["permissions"] == "0600"
    whole = json.dumps([list(files.values()), commands])
    assert whole.count("PRIVATE KEY") == 2  # its beginning and its end
    assert "canary" not in whole
    for other in {"client", "scheduler", "worker"} - {role}:
        assert (tls / f"{other}.pem").read_text().splitlines()[1] not in whole


def test_a_scheduler_ends_when_it_is_idle_and_serves_no_http(tls):
    files, commands = opened(user_data(boot(tls, "scheduler", idle_timeout=90.0)))
    dask = json.loads(files["/etc/ess/dask/dask.yaml"]["content"])["distributed"]
    assert dask["scheduler"]["idle-timeout"] == "90 s"
    assert dask["scheduler"]["http"]["routes"] == dask["worker"]["http"]["routes"] == []
    assert dask["comm"]["require-encryption"] is True
    assert dask["comm"]["tls"]["min-version"] == 1.3
    unit = files["/etc/systemd/system/ess.service"]["content"]
    assert "--no-dashboard" in unit and "SuccessAction=poweroff" in unit
    assert "ExecStartPost=-/usr/bin/env shutdown -c" in unit
    assert commands[0].startswith("shutdown -P +30")
    never = opened(user_data(boot(tls, "scheduler", idle_timeout=0.0)))[0]
    assert '"idle-timeout": null' in never["/etc/ess/dask/dask.yaml"]["content"]


def test_a_worker_joins_by_the_private_address_under_its_name(tls):
    files, _ = opened(user_data(boot(tls, threads=3, memory_limit=1 << 30)))
    assert SCHEDULER in files["/etc/systemd/system/ess.service"]["content"]
    [(name, spec)] = json.loads(files["/etc/ess/worker.json"]["content"]).items()
    assert name == spec["opts"]["name"] == "w0001-ab"
    assert (spec["opts"]["nthreads"], spec["opts"]["memory_limit"]) == (3, 1 << 30)
    assert 'spot-poll": null' in files["/etc/ess/dask/dask.yaml"]["content"]
    spot, _ = opened(user_data(boot(tls, spot=True)))
    assert 'spot-poll": 5' in spot["/etc/ess/dask/dask.yaml"]["content"]


def test_several_processes_have_names_of_their_own(tls):
    files, _ = opened(user_data(boot(tls, processes=2)))
    assert list(json.loads(files["/etc/ess/worker.json"]["content"])) == [
        "w0001-ab-0",
        "w0001-ab-1",
    ]
    assert worker_names("w0001-ab", 2) == ("w0001-ab-0", "w0001-ab-1")


def test_packages_are_installed_exactly_or_not_at_all(tls):
    files, _ = opened(user_data(boot(tls)))
    assert "--no-deps" in files["/etc/ess/boot.sh"]["content"]
    assert files["/etc/ess/requirements.txt"]["content"] == pinned_requirements()
    files, _ = opened(user_data(boot(tls, image="registry/ess:1", requirements="")))
    assert "/etc/ess/requirements.txt" not in files
    assert "pip" not in files["/etc/ess/boot.sh"]["content"]
    assert " registry/ess:1 python -m " in files["/etc/systemd/system/ess.service"]["content"]


@pytest.mark.parametrize("role", ["scheduler", "worker"])
@pytest.mark.parametrize("requirements", ["", "dask==1\n"])
def test_a_process_may_have_many_connections_whatever_docker_gives(tls, role, requirements):
    """A thousand workers are three thousand of them to a scheduler; the usual limit is 1,024."""
    files, _ = opened(user_data(boot(tls, role, requirements=requirements)))
    unit = files["/etc/systemd/system/ess.service"]["content"]
    [start] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert " --ulimit nofile=65536:65536 " in start.partition(" python -m ")[0]


def test_an_image_is_here_before_the_machine_no_longer_switches_itself_off(tls):
    """The service calls that off when it begins, and would wait for a registry that hangs."""
    for requirements in ("", "dask==1\n"):
        files, _ = opened(user_data(boot(tls, image="registry/ess:1", requirements=requirements)))
        script = files["/etc/ess/boot.sh"]["content"]
        assert script.index("docker pull registry/ess:1") < script.index("enable --now ess")


def test_too_much_is_refused_before_it_is_sent(tls):
    import random

    many = "".join(f"{random.getrandbits(120):x}==1\n" for _ in range(2000))
    with pytest.raises(ConfigError, match=r"EC2 takes 16,384") as told:
        user_data(boot(tls, requirements=many))
    assert "--image" in told.value.hint
