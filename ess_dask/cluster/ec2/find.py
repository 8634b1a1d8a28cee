"""Which machines there are: EC2 is asked by tag each time, nothing is remembered.

Tags of a machine: ``ess:cluster``, ``ess:owner``, ``ess:role`` (scheduler or worker),
``ess:worker`` (its name in Dask), ``ess:batch`` (the command that launched it) and what is needed
to launch more like it: ``ess:idle-timeout``, ``ess:image``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.ec2.access import credentials_of
from ess_dask.cluster.ec2.aws import client, pages, usual_region
from ess_dask.cluster.ec2.errors import asking
from ess_dask.cluster.ec2.owner import login_name, owner_name
from ess_dask.cluster.ec2.state import (
    keep_credentials,
    remembered_owner,
    remembered_region,
    tls_folder,
)
from ess_dask.cluster.endpoint import Endpoint
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError

if TYPE_CHECKING:
    from ess_dask.settings import Settings

LIVE = ("pending", "running", "stopping", "stopped")
"""States of a machine that still costs something; the others are gone or going."""

PORT = 8786

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Place:
    """Which cluster is meant: its name, its owner and its region.

    ``formerly`` are owners under whose tag the caller's clusters may stand as well, ``credentials``
    is the reference with which AWS is asked ('': its own chain).
    """

    name: str
    owner: str
    region: str
    formerly: tuple[str, ...] = ()
    credentials: str = ""

    @property
    def owners(self) -> list[str]:
        """Return all owners that are the caller, the one that counts first."""
        return list(dict.fromkeys((self.owner, *self.formerly)))

    def __str__(self) -> str:
        return f"cluster {self.name} in {self.region}"


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance as EC2 describes it; '' is not known."""

    id: str
    state: str
    type: str
    public_ip: str
    private_ip: str
    reservation: str
    launched: datetime
    spot: bool
    architecture: str
    ami: str
    subnet: str
    vpc: str
    groups: tuple[str, ...]
    profile: str
    tags: Mapping[str, str]

    @property
    def role(self) -> str:
        """Return ``scheduler`` or ``worker``."""
        return self.tags.get("ess:role", "")

    @property
    def worker(self) -> str:
        """Return the worker's name in Dask; '' for a scheduler."""
        return self.tags.get("ess:worker", "")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The living machines of a cluster, the scheduler's first; none when it does not exist."""

    place: Place
    machines: tuple[Machine, ...]

    @property
    def scheduler(self) -> Machine | None:
        """Return the machine of the scheduler."""
        return next((each for each in self.machines if each.role == "scheduler"), None)

    @property
    def workers(self) -> tuple[Machine, ...]:
        """Return the machines of the workers."""
        return tuple(each for each in self.machines if each.role == "worker")

    def endpoint(self) -> Endpoint | None:
        """Return where the scheduler is reached; None when its machine does not run.

        Raises ``ConfigError`` when the certificates are not here.
        """
        found = self.scheduler
        if found is None or found.state != "running":
            return None
        tls = tls_folder(self.place.name)
        if not (tls / "client.pem").is_file():
            raise ConfigError(
                f"{self.place} runs, but its certificates are not in {tls}: nobody can connect",
                hint="copy that folder from where the cluster was made, or: ess cluster terminate; "
                "if somebody of your login name made it, choose another name: ESS_CLUSTER_NAME",
            )
        address = f"tls://{found.public_ip or found.private_ip}:{PORT}"
        advice = "ess cluster status shows its machines; is your address still the one it was made"
        advice += " for? ess cluster terminate, then create, makes it new"
        scope = f"{self.place.owner}.{self.place.region}"
        return Endpoint("ec2", self.place.name, address, tls, True, advice, scope)


def here() -> Place:
    """Return the cluster that the settings mean.

    Raises as ``name_in`` and ``credentials_of``, and ``ConfigError`` when no region is known.
    """
    from ess_dask.settings import load_settings

    settings = load_settings()
    login, name = login_name(), name_in(settings)
    credentials = credentials_of(name)
    region = settings.region or remembered_region(name) or usual_region(credentials)
    formerly = tuple(filter(None, (remembered_owner(name), login)))
    return Place(name, owner_name(region, credentials) or login, region, formerly, credentials)


def name_in(settings: Settings) -> str:
    """Return the name of the cluster that settings mean; ``ConfigError`` when it cannot be one."""
    name = settings.cluster_name or f"ess-{login_name()}"
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a cluster",
            hint="letters, digits, '.', '_' and '-', at most 63: set ESS_CLUSTER_NAME",
        )
    return name


def find_cluster(place: Place, states: Iterable[str] = LIVE) -> Cluster:
    """Return the machines of a cluster that are in one of ``states``, at its owner's place.

    Needs ``ec2:DescribeInstances``. Credentials that find some are kept with the cluster. Raises
    ``AccessError``, ``ConfigError`` or ``TransientError`` for what AWS answers.
    """
    filters = {"tag:ess:cluster": [place.name], "tag:ess:owner": place.owners}
    found = _describe(place, filters, states)
    owner = next((each for each in place.owners if each in map(_owner, found)), place.owner)
    machines = (each for each in found if _owner(each) == owner)
    if found and not elsewhere(place):
        keep_credentials(place.name, place.credentials)
    return Cluster(replace(place, owner=owner), _sorted(machines))


def find_all(place: Place) -> tuple[Cluster, ...]:
    """Return all clusters of the owner in the region that have living machines, by name.

    A tag that cannot be a cluster's name is not ours: names become files here.
    """
    found = _describe(place, {"tag:ess:owner": place.owners, "tag-key": ["ess:cluster"]}, LIVE)
    clusters: dict[tuple[str, str], list[Machine]] = defaultdict(list)
    for machine in found:
        if _NAME.fullmatch(name := machine.tags["ess:cluster"]):
            clusters[name, _owner(machine)].append(machine)
    return tuple(
        Cluster(replace(place, name=name, owner=owner, formerly=()), _sorted(machines))
        for (name, owner), machines in sorted(clusters.items())
    )


def elsewhere(place: Place) -> str:
    """Return a hint when the cluster was made in another region than the one that is asked."""
    known = remembered_region(place.name)
    return f"it was made in {known}: --region {known}" if known not in ("", place.region) else ""


def _describe(
    place: Place, filters: Mapping[str, list[str]], states: Iterable[str]
) -> list[Machine]:
    wanted = [{"Name": name, "Values": values} for name, values in filters.items()]
    wanted.append({"Name": "instance-state-name", "Values": list(states)})
    with asking("ec2:DescribeInstances", str(place)):
        ask = client("ec2", place.region, place.credentials).describe_instances
        return [
            machine_of(instance, reservation["ReservationId"])
            for page in pages(ask, Filters=wanted)
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        ]


def machine_of(instance: Mapping[str, Any], reservation: str = "") -> Machine:
    """Return what EC2 says of one instance (an item of ``Instances``)."""
    return Machine(
        id=instance["InstanceId"],
        state=instance["State"]["Name"],
        type=instance["InstanceType"],
        public_ip=instance.get("PublicIpAddress", ""),
        private_ip=instance.get("PrivateIpAddress", ""),
        reservation=reservation,
        launched=instance["LaunchTime"],
        spot=instance.get("InstanceLifecycle") == "spot",
        architecture=instance.get("Architecture", ""),
        ami=instance.get("ImageId", ""),
        subnet=instance.get("SubnetId", ""),
        vpc=instance.get("VpcId", ""),
        profile=instance.get("IamInstanceProfile", {}).get("Arn", ""),
        groups=tuple(group["GroupId"] for each in _attached(instance) for group in each["Groups"]),
        tags={tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())},
    )


def _owner(machine: Machine) -> str:
    return machine.tags.get("ess:owner", "")


def _attached(instance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the network interfaces: their groups are also told where the instance's are not."""
    return list(instance.get("NetworkInterfaces", ()))


def _sorted(machines: Iterable[Machine]) -> tuple[Machine, ...]:
    return tuple(sorted(machines, key=lambda each: (each.role != "scheduler", each.worker)))
