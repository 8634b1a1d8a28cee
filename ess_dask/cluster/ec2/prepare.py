"""From what was asked for to a plan: EC2 is asked whether it can be, and nothing is made yet."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterable
from typing import Any

from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.errors import asking
from ess_dask.cluster.ec2.find import Cluster, Machine, Place
from ess_dask.cluster.ec2.plan import Kind, Network, Plan, Processes, Software
from ess_dask.cluster.ec2.security_group import group_of
from ess_dask.cluster.ec2.software import pinned_requirements, python_image
from ess_dask.cluster.verbs import CreateRequest
from ess_dask.errors import ConfigError, UsageError
from ess_dask.settings import Settings, load_settings

GIB = 1 << 30

_NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
_IMAGE = re.compile(r"[A-Za-z0-9][\w./:@-]{0,250}")


def settings_of(request: CreateRequest) -> Settings:
    """Return the settings in force with what was typed; ``ConfigError`` for a bad value."""
    typed = {
        "instance_type": request.type,
        "image": request.image,
        "ami": request.ami,
        "idle_timeout": request.idle_timeout,
    }
    return load_settings({name: value or None for name, value in typed.items()})


def plan_cluster(place: Place, request: CreateRequest) -> Plan:
    """Return the plan of a new cluster; raises what EC2 or the settings do not allow."""
    settings = settings_of(request)
    number = 1 if request.number is None else request.number
    ec2 = client("ec2", place.region, place.credentials)
    kind = find_kind(ec2, place, settings.instance_type)
    return Plan(
        place=place,
        kind=kind,
        network=_network(ec2, place, settings, kind),
        software=_software(ec2, place, settings, kind),
        workers=worker_names((), number),
        spot=request.spot,
        idle_timeout=settings.idle_timeout,
        batch=secrets.token_hex(8),
        profile={"Name": settings.instance_profile} if settings.instance_profile else {},
        processes=_processes(settings, kind),
    )


def plan_more(cluster: Cluster, scheduler: Machine, request: CreateRequest) -> Plan:
    """Return the plan of further workers: like the scheduler, where nothing else is asked for."""
    settings = settings_of(request)
    place = cluster.place
    ec2 = client("ec2", place.region, place.credentials)
    kind = find_kind(ec2, place, request.type or scheduler.type)
    alike = kind.architecture == scheduler.architecture
    like = _replaced(
        settings,
        image=settings.image or scheduler.tags.get("ess:image", ""),
        ami=settings.ami or (scheduler.ami if alike else ""),
    )
    number = 1 if request.number is None else request.number
    return Plan(
        place=place,
        kind=kind,
        network=Network(scheduler.vpc, scheduler.subnet, private=not scheduler.public_ip),
        software=_software(ec2, place, like, kind),
        workers=worker_names((each.worker for each in cluster.workers), number),
        spot=request.spot,
        idle_timeout=settings.idle_timeout,
        batch=secrets.token_hex(8),
        group=group_of(ec2, place),
        profile={"Arn": scheduler.profile} if scheduler.profile else {},
        processes=_processes(settings, kind),
    )


def worker_names(taken: Iterable[str], number: int) -> tuple[str, ...]:
    """Return names for new workers: they sort in the order in which machines were added.

    The letters at the end keep two commands on two machines from giving the same name.
    """
    numbers = [int(found[1]) for each in taken if (found := re.match(r"w(\d+)-", each))]
    first = max(numbers, default=0) + 1
    return tuple(f"w{first + each:04d}-{secrets.token_hex(2)}" for each in range(number))


def find_kind(ec2: Any, place: Place, name: str) -> Kind:
    """Return what EC2 knows of an instance type (``ec2:DescribeInstanceTypes``)."""
    return find_kinds(ec2, place, [name])[name]


def find_kinds(ec2: Any, place: Place, names: Iterable[str]) -> dict[str, Kind]:
    """Return what EC2 knows of instance types; ``ConfigError`` for one it does not offer."""
    wanted = sorted(set(names))
    with asking("ec2:DescribeInstanceTypes", f"{place}, instance type {', '.join(wanted)}"):
        answer = ec2.describe_instance_types(InstanceTypes=wanted)
    found = {each["InstanceType"]: _kind(each) for each in answer["InstanceTypes"]}
    for name in wanted:
        if name not in found:
            raise ConfigError(
                f"{place}: instance type {name!r} is not known there",
                hint="check --type, such as m7i.xlarge",
            )
    return found


def _kind(found: dict[str, Any]) -> Kind:
    architectures = found["ProcessorInfo"]["SupportedArchitectures"]
    usual = next((each for each in architectures if each in ("x86_64", "arm64")), "x86_64")
    memory = int(found["MemoryInfo"]["SizeInMiB"]) << 20
    return Kind(found["InstanceType"], int(found["VCpuInfo"]["DefaultVCpus"]), memory, usual)


def _network(ec2: Any, place: Place, settings: Settings, kind: Kind) -> Network:
    """Choose a subnet: the one that is set, else a default one in whose zone the type exists."""
    by = (
        {"Name": "subnet-id", "Values": [settings.subnet]}
        if settings.subnet
        else {"Name": "default-for-az", "Values": ["true"]}
    )
    with asking("ec2:DescribeSubnets", str(place)):
        subnets = ec2.describe_subnets(Filters=[by])["Subnets"]
    if not subnets:
        raise ConfigError(
            f"{place}: subnet {settings.subnet} does not exist there"
            if settings.subnet
            else f"{place}: there is no default VPC",
            hint="set ESS_SUBNET to a subnet of this region (subnet-...)",
        )
    zones = _zones(ec2, place, kind)
    fitting = [each for each in subnets if each["AvailabilityZone"] in zones]
    if not fitting:
        raise ConfigError(
            f"{place}: {kind.name} is not offered in {_zone_names(subnets)}",
            hint=f"another --type, or a subnet in {', '.join(sorted(zones)) or 'another region'}",
        )
    chosen = max(fitting, key=lambda each: (each["AvailableIpAddressCount"], each["SubnetId"]))
    return Network(chosen["VpcId"], chosen["SubnetId"], settings.private)


def _zones(ec2: Any, place: Place, kind: Kind) -> set[str]:
    with asking("ec2:DescribeInstanceTypeOfferings", str(place)):
        answer = ec2.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [kind.name]}],
        )
    return {each["Location"] for each in answer["InstanceTypeOfferings"]}


def _zone_names(subnets: Iterable[dict[str, Any]]) -> str:
    return ", ".join(sorted({each["AvailabilityZone"] for each in subnets}))


def _software(ec2: Any, place: Place, settings: Settings, kind: Kind) -> Software:
    ami = settings.ami or _newest_ami(place, kind)
    with asking("ec2:DescribeImages", f"{place}, machine image {ami}"):
        images = ec2.describe_images(ImageIds=[ami])["Images"]
    if not images:
        raise ConfigError(
            f"{place}: machine image {ami} does not exist there",
            hint="an AMI belongs to one region: check --ami and --region",
        )
    if images[0]["Architecture"] != kind.architecture:
        raise ConfigError(
            f"{place}: machine image {ami} is for {images[0]['Architecture']}, "
            f"{kind.name} is {kind.architecture}",
            hint="leave --ami out, or give one for this --type",
        )
    if settings.image and not _IMAGE.fullmatch(settings.image):
        raise UsageError(f"{settings.image!r} is not the name of a docker image")
    return Software(
        ami=ami,
        root=images[0].get("RootDeviceName") or "/dev/xvda",
        disk=math.ceil(settings.disk / GIB),
        image=settings.image or python_image(),
        requirements="" if settings.image else pinned_requirements(kind.architecture),
    )


def _newest_ami(place: Place, kind: Kind) -> str:
    name = _NEWEST.format(kind.architecture)
    with asking("ssm:GetParameter", f"{place}, the newest Amazon Linux"):
        answer = client("ssm", place.region, place.credentials).get_parameter(Name=name)
    return str(answer["Parameter"]["Value"])


def _processes(settings: Settings, kind: Kind) -> Processes:
    shared = max(1, kind.cpus // settings.workers) if settings.workers > 1 else 0
    return Processes(settings.workers, settings.threads or shared, settings.memory_limit)


def _replaced(settings: Settings, **values: str) -> Settings:
    from dataclasses import replace

    return replace(settings, **values)  # type: ignore[arg-type]
