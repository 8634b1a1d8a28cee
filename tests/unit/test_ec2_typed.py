"""A create of what is there already: equal again, or told what is another there."""

from datetime import UTC, datetime

import pytest

from ess_dask.cluster.ec2 import state
from ess_dask.cluster.ec2.find import Cluster, Place, machine_of
from ess_dask.cluster.ec2.typed import check_typed
from ess_dask.cluster.verbs import CreateRequest
from ess_dask.errors import ConfigError, UsageError

PLACE = Place("ess-ada", "ada", "us-east-1")
LIKE_IT = CreateRequest(number=2, type="m7i.xlarge", ami="ami-1", idle_timeout="60m")


def machine(role="worker", kind="m7i.xlarge", spot=False, image="", ami="ami-1"):
    tags = {"ess:role": role, "ess:image": image, "ess:idle-timeout": "3600"}
    found = {
        "InstanceId": "i-1",
        "State": {"Name": "running"},
        "InstanceType": kind,
        "ImageId": ami,
        "LaunchTime": datetime.now(UTC),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return machine_of(found | ({"InstanceLifecycle": "spot"} if spot else {}))


def cluster(*workers, **kind):
    return Cluster(PLACE, (machine("scheduler", **kind), *workers))


USUAL = cluster(machine(), machine())


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("found", "request_"),
    [
        (USUAL, CreateRequest()),
        (USUAL, LIKE_IT),
        (cluster(machine(spot=True)), CreateRequest(spot=True)),
        (cluster(machine(spot=True)), CreateRequest()),
        (cluster(), CreateRequest(spot=True)),
        (cluster(machine(image="r/x:1"), image="r/x:1"), CreateRequest(image="r/x:1")),
        (cluster(machine(kind="m5.large")), CreateRequest()),
    ],
)
def test_the_same_again_and_what_was_not_typed_is_no_error(found, request_, monkeypatch):
    # Settings are for clusters to come.
    monkeypatch.setenv("ESS_INSTANCE_TYPE", "c7i.large")
    monkeypatch.setenv("ESS_IDLE_TIMEOUT", "7m")
    check_typed(found, request_)


@pytest.mark.parametrize(
    ("found", "request_", "told"),
    [
        (USUAL, CreateRequest(type="m5.large"), "--type m7i.xlarge, not m5.large"),
        (cluster(machine(kind="m5.large")), CreateRequest(type="m5.large"),
         "--type m5.large and m7i.xlarge, not m5.large"),
        (USUAL, CreateRequest(image="r/x:1"), "--image (none), not r/x:1"),
        (cluster(machine(image="r/x:1"), image="r/x:1"), CreateRequest(image="r/x:2"),
         "--image r/x:1, not r/x:2"),
        (USUAL, CreateRequest(ami="ami-2"), "--ami ami-1, not ami-2"),
        (cluster(machine(), machine(spot=True)), CreateRequest(spot=True),
         "1 worker without --spot"),
        (USUAL, CreateRequest(idle_timeout="4h"), "--idle-timeout 1h, not 4h"),
        (USUAL, CreateRequest(idle_timeout="0"), "--idle-timeout 1h, not 0"),
        (USUAL, CreateRequest(type="a.b", spot=True, idle_timeout="1s"),
         "--type m7i.xlarge, not a.b; 2 workers without --spot; --idle-timeout 1h, not 1s"),
    ],
)  # fmt: skip
def test_each_option_that_is_another_there_is_named(found, request_, told):
    with pytest.raises(UsageError) as caught:
        check_typed(found, request_)
    said = str(caught.value).splitlines()[0]
    assert said == f"cluster ess-ada in us-east-1 exists already, with {told}"
    assert "ess cluster terminate, then create" in caught.value.hint
    # No worker has an idle time of its own.
    only_idle = request_ == CreateRequest(idle_timeout=request_.idle_timeout)
    assert ("--add" in caught.value.hint) == (not only_idle)


def test_a_cluster_that_was_begun_is_what_the_killed_command_was_told():
    half = cluster()
    check_typed(half, CreateRequest(spot=True), CreateRequest(number=2, spot=True))
    with pytest.raises(UsageError, match=r", with workers without --spot\n"):
        check_typed(half, CreateRequest(spot=True), CreateRequest(number=2))


def test_a_time_that_is_none_is_refused_as_ever():
    with pytest.raises(ConfigError, match="is not a duration"):
        check_typed(USUAL, CreateRequest(idle_timeout="soon"))


def test_what_a_create_was_told_is_kept_until_it_is_done():
    assert state.begun("ess-ada") is None
    state.remember("ess-ada", "us-east-1", "ada", making=LIKE_IT)
    assert state.begun("ess-ada") == LIKE_IT
    state.remember("ess-ada", "us-east-1", "ada")
    assert state.begun("ess-ada") is None
    # An older release kept the number alone.
    (state.folder_of("ess-ada") / "cluster.json").write_text('{"making": 2}')
    assert state.begun("ess-ada") is None
