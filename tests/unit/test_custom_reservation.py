"""``reservation.json`` of hosts: what it may say, and that no field of it becomes a command."""

import json

import pytest

from ess_dask.cluster.custom.hosts import _configuration
from ess_dask.cluster.custom.record import HostsState, hosts_folder, read_record, write_record
from ess_dask.cluster.custom.reservation import (
    HostsReservation,
    Reservation,
    check_key,
    read_reservation,
)
from ess_dask.cluster.custom.ssh import _command, remote_host
from ess_dask.cluster.custom.verbs import _is_on, reset
from ess_dask.cluster.options import LocalOptions
from ess_dask.errors import AccessError, ConfigError, UsageError


@pytest.fixture
def conf(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path))
    return tmp_path


def read(conf, **changes):
    found = {"id": "shed", "pem": "own", "ip_list": ["10.0.0.5", "box-2.lan"], **changes}
    (conf / "reservation.json").write_text(json.dumps(found))
    return read_reservation()


def test_what_it_need_not_say(conf):
    found = read(conf)
    assert found.hosts == ("10.0.0.5", "box-2.lan")
    assert (found.user, found.port, found.python) == ("ec2-user", 22, ("python3",))
    assert (found.install, found.here, found.scheduler_port) == (False, False, 8786)
    assert found.key == conf / "own.pem"
    assert read(conf, pem="own.pem").key == conf / "own.pem"
    assert read(conf, scheduler="here").here


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ip_list": []}, '"ip_list" must be a list'),
        ({"ip_list": "10.0.0.5"}, '"ip_list" must be a list'),
        ({"ip_list": ["-oProxyCommand=touch /tmp/x"]}, '"ip_list" cannot be'),
        ({"ip_list": ["a b"]}, '"ip_list" cannot be'),
        ({"ip_list": [5]}, '"ip_list" cannot be 5'),
        ({"ip_list": ["a", "a"]}, "names a host twice"),
        ({"id": "../up"}, '"id" cannot be'),
        ({"id": None}, '"id" cannot be None'),
        ({"pem": "../../key"}, '"pem" cannot be'),
        ({"user": "-l"}, '"user" cannot be'),
        ({"user": "a;b"}, '"user" cannot be'),
        ({"port": "22"}, '"port" must be a port number'),
        ({"port": 0}, '"port" must be a port number'),
        ({"scheduler_port": True}, '"scheduler_port" must be a port number'),
        ({"python": ""}, '"python" must be a command'),
        ({"python": "'open"}, '"python" must be a command'),
        ({"install": 1}, '"install" must be one of true, false'),
        ({"scheduler": "second"}, '"scheduler" must be one of "first", "here"'),
        ({"pasword": "x"}, "'pasword' is not known"),
    ],
)
def test_what_is_wrong_is_named(conf, changes, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read(conf, **changes)
    assert str(conf / "reservation.json") in caught.value.message


def test_of_a_scheduler_that_runs_address_and_certificates_are_checked(conf):
    def read_theirs(**changes):
        found = {"id": "theirs", "address": "tls://10.0.0.9:8786", "tls": "certs", **changes}
        known = {name: value for name, value in found.items() if value is not None}
        (conf / "reservation.json").write_text(json.dumps(known))
        return read_reservation()

    (conf / "certs").mkdir()
    (conf / "certs" / "ca.pem").touch()
    with pytest.raises(ConfigError, match=r"there is no .*certs/client\.pem"):
        read_theirs()
    (conf / "certs" / "client.pem").touch()
    assert read_theirs() == Reservation("theirs", "tls://10.0.0.9:8786", conf / "certs")
    for changes, words in (
        ({"address": None}, 'neither "ip_list" nor "address"'),
        ({"address": "10.0.0.9:8786"}, '"address" must look like'),
        ({"id": 5}, '"id" must be a text'),
        ({"tls": ""}, '"tls" must be a text'),
        ({"tls": "other"}, r"there is no .*other/ca\.pem"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_theirs(**changes)


def test_words_for_the_hosts_shell_are_quoted(conf):
    found = read(conf, python="'~/my env/bin/python' -X 'a;b'")
    words = _command(remote_host(found, "10.0.0.5", conf / "100%" / "known hosts"))
    assert words[-2] == "10.0.0.5"
    assert words[-3] == "--"
    assert words[-1].startswith("\"$HOME\"/'my env/bin/python' -X 'a;b' -c '")
    assert f'UserKnownHostsFile="{conf}/100%%/known hosts"' in words


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_what_runs_on_a_host_takes_the_newest_tls_and_shares_no_folder(role):
    found = _configuration(role, LocalOptions())
    assert found["distributed"]["comm"]["tls"]["min-version"] == 1.3
    assert found["temporary-directory"] == "scratch"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_is_open_to_others_is_refused(tmp_path, mode):
    key = tmp_path / "own.pem"
    key.touch(mode=0o600)
    assert check_key(key) == key
    key.chmod(mode)
    with pytest.raises(AccessError, match=f"mode {mode:04o}"):
        check_key(key)


def test_a_key_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"nokey\.pem cannot be read: No such file"):
        check_key(tmp_path / "nokey.pem")


@pytest.mark.parametrize(
    ("host", "names", "is_on"),
    [
        ("10.0.0.5", ["10.0.0.5"], True),
        ("10.0.0.5", ["10.0.0.5-0", "10.0.0.5-1"], True),
        ("10.0.0.5", ["10.0.0.50", "10.0.0.51-0"], False),
        ("box", ["box-2"], False),
        ("box", ["box-1"], True),
        ("box-2", ["box-2"], True),
    ],
)
def test_workers_are_told_from_those_of_hosts_with_like_names(host, names, is_on):
    assert _is_on(host, names, ("10.0.0.5", "10.0.0.50", "box", "box-2")) is is_on


def test_reset_in_a_folder_without_a_reservation_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "ess"))
    monkeypatch.setenv("ESS_WORK_DIR", str(tmp_path / "conf"))
    folder = hosts_folder("mill")
    place = HostsReservation("mill", ("127.0.0.2",), tmp_path / "key.pem")
    write_record(folder, HostsState("tls://127.0.0.2:8786", 0.0, True, place))
    with pytest.raises(UsageError, match="not known which cluster") as caught:
        reset(print)
    assert "'mill'" in caught.value.hint
    assert read_record(folder) is not None
