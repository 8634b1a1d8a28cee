"""Ending and stopping machines whose list comes late, is not ours, or has no scheduler."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from ess_dask.cluster.ec2 import find, power, removal, security_group, state, verbs
from ess_dask.cluster.ec2.create import create_cluster
from ess_dask.cluster.ec2.find import Cluster, Machine, Place, find_all
from ess_dask.cluster.verbs import CreateRequest
from ess_dask.errors import ConfigError, UsageError

PLACE = Place("ess-ada", "ada", "us-east-1")
TAG = "ess:spot-workers"


def instance(number, name="ess-ada", role="worker", spot=False):
    tags = {"ess:cluster": name, "ess:owner": "ada", "ess:role": role}
    found = {
        "InstanceId": number,
        "State": {"Name": "running"},
        "InstanceType": "m7i.xlarge",
        "LaunchTime": datetime.now(UTC),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return found | ({"InstanceLifecycle": "spot"} if spot else {})


class Cloud:
    """EC2 as far as these verbs ask it. ``late``: listed only when somebody has looked so often."""

    def __init__(self, *instances, late=0, group=True):
        self.instances, self.late, self.groups = list(instances), late, ["sg-1"] if group else []
        self.calls = []

    def describe_instances(self, Filters, NextToken="0"):
        """Give one instance on a page."""
        self.late -= NextToken == "0"
        wanted = {each["Name"]: each["Values"] for each in Filters}
        shown = [] if self.late >= 0 else self.instances
        shown = [each for each in shown if each["State"]["Name"] in wanted["instance-state-name"]]
        at = int(NextToken)
        page = {"Reservations": [{"ReservationId": "r-1", "Instances": shown[at : at + 1]}]}
        return {**page, "NextToken": str(at + 1)} if at + 1 < len(shown) else page

    def terminate_instances(self, InstanceIds):
        self.calls.append(("terminate", *InstanceIds))
        self.instances = [each for each in self.instances if each["InstanceId"] not in InstanceIds]

    def describe_security_groups(self, **_):
        return {"SecurityGroups": [{"GroupId": each} for each in self.groups]}

    def delete_security_group(self, GroupId):
        if self.instances:
            raise ClientError({"Error": {"Code": "DependencyViolation"}}, "DeleteSecurityGroup")
        self.groups.remove(GroupId)


@pytest.fixture
def cloud(monkeypatch, tmp_path):
    def use(*instances, **more):
        made = Cloud(*instances, **more)
        for module in (find, removal, power, verbs):
            monkeypatch.setattr(module, "client", lambda *_: made)
        return made

    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(security_group, "_AGAIN_SECONDS", 0.0)
    return use


def test_what_is_not_listed_yet_shows_in_the_group_that_it_uses(cloud):
    made = cloud(instance("i-1"), late=2)
    assert removal.remove_everything(PLACE, lambda _: None) == 2
    assert (made.calls, made.groups) == ([("terminate", "i-1")], [])


@pytest.mark.slow
def test_who_waits_a_moment_finds_what_is_not_listed_yet(cloud):
    cloud(instance("i-1"), late=1)
    everything = (None, PLACE, lambda _: True, lambda _: None)
    assert removal.end_where(*everything) == 0
    made = cloud(instance("i-1"), late=1)
    assert removal.end_where(made, *everything[1:], settle=1.0) == 1


@pytest.mark.parametrize("name", ["../../..", "..", "/etc", "a/b", ""])
def test_a_tag_that_cannot_be_a_name_is_no_cluster_of_ours(cloud, name):
    cloud(instance("i-1", name), instance("i-2"))
    assert [each.place.name for each in find_all(PLACE)] == ["ess-ada"]


def test_terminating_all_touches_no_folder_but_those_of_clusters(cloud, monkeypatch):
    cloud(instance("i-1", "../../keep"), group=False)
    kept = state.folder_of("x").parents[2] / "keep"
    kept.mkdir()
    monkeypatch.setattr(verbs, "here", lambda: PLACE)
    verbs.terminate(True, lambda _: True, lambda _: None)
    assert kept.is_dir()


def test_spot_workers_end_also_when_their_scheduler_is_gone(cloud):
    made = cloud(instance("i-1", spot=True))
    found = find.find_cluster(PLACE)
    power.stop_cluster(found, lambda _: None)
    assert made.calls == [("terminate", "i-1")]


def spot_of(number, kind, stop=""):
    made = instance(number, spot=True) | {"InstanceType": kind}
    made["Tags"] = [*made["Tags"], {"Key": "ess:stop", "Value": stop}]
    return find.machine_of(made)


def test_a_start_brings_back_what_stops_ended_by_type_and_each_once():
    ended = [spot_of("i-1", "a.large"), spot_of("i-2", "a.large"), spot_of("i-3", "b.large")]
    scheduler = find.machine_of(instance("i-0", role="scheduler"))

    def cluster(record, *workers):
        return Cluster(PLACE, (replace(scheduler, tags={**scheduler.tags, TAG: record}), *workers))

    record = power._to_return(cluster("", *ended), ended)
    mark, number = power._recorded(cluster(record).scheduler)
    assert number == {"a.large": 2, "b.large": 1}
    # The stop was killed before they ended, and is done again; or a start comes instead.
    assert power._to_return(cluster(record, *ended), ended) == record
    assert power._missing(cluster(record, *ended), mark, number) == {}
    # A start was killed when one was back.
    back = spot_of("i-4", "a.large", stop=mark)
    assert power._missing(cluster(record, back), mark, number) == {"a.large": 1, "b.large": 1}
    # Then the next stop ends that one, too.
    again = power._to_return(cluster(record, back), [back])
    assert power._recorded(cluster(again).scheduler)[1] == {"a.large": 2, "b.large": 1}
    assert power._recorded(cluster("").scheduler) == ("", {})


def test_a_cluster_with_the_login_name_as_its_owner_is_still_found(cloud):
    """Older releases tagged so, and who may not ask for his identity."""
    now = Place("ess-ada", "ada.0a1b2c3d", "us-east-1", ("ada",))
    made = cloud(instance("i-1", role="scheduler"), instance("i-2"))
    assert now.owners == ["ada.0a1b2c3d", "ada"]
    found = find.find_cluster(now)
    assert (found.place.owner, len(found.machines)) == ("ada", 2)
    assert [each.place.owner for each in find_all(now)] == ["ada"]
    mine = instance("i-3", role="scheduler")
    mine["Tags"] = [*mine["Tags"][:1], {"Key": "ess:owner", "Value": "ada.0a1b2c3d"}]
    made.instances.append(mine)
    found = find.find_cluster(now)
    assert (found.place.owner, [each.id for each in found.machines]) == ("ada.0a1b2c3d", ["i-3"])


def test_no_name_means_no_machine():
    machine = find.machine_of(instance("i-1", role="scheduler"))
    assert isinstance(machine, Machine)
    with pytest.raises(UsageError, match="is no machine"):
        verbs._chosen(Cluster(PLACE, (machine,)), [""])


def test_a_cluster_that_lives_in_another_region_is_not_forgotten(cloud, monkeypatch):
    """Its certificates are nowhere else, and its region is known from here only."""
    there, here = Cloud(instance("i-1")), Cloud()
    cloud()
    for module in (find, verbs):
        clients = {"eu-west-1": there, "us-east-1": here}
        monkeypatch.setattr(
            module, "client", lambda _, region, __, clients=clients: clients[region]
        )
    monkeypatch.setattr(verbs, "here", lambda: PLACE)
    state.remember("ess-ada", "eu-west-1", "ada")
    with pytest.raises(UsageError, match="in eu-west-1 still has 1 machine") as told:
        verbs.reset(lambda _: None)
    assert told.value.hint == "ess cluster terminate --region eu-west-1"
    assert state.remembered_region("ess-ada") == "eu-west-1"
    there.instances.clear()
    verbs.reset(lambda _: None)
    assert state.remembered_region("ess-ada") == ""


def test_a_cluster_that_nobody_here_can_connect_to_does_not_count_as_made(cloud):
    """Two people with one login name would otherwise believe that it is theirs."""
    cloud(instance("i-1", role="scheduler"), instance("i-2"))
    with pytest.raises(ConfigError, match="its certificates are not in") as told:
        create_cluster(PLACE, CreateRequest(number=1), lambda _: None)
    assert "ESS_CLUSTER_NAME" in told.value.hint
