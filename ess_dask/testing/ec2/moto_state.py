"""What moto holds of EC2, IAM and STS in this process: the only module that looks inside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

CODES = {
    "pending": 0, "running": 16, "shutting-down": 32,
    "terminated": 48, "stopping": 64, "stopped": 80,
}  # fmt: skip


def application() -> Any:
    """Return moto's WSGI application, of all services."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    return DomainDispatcherApplication(create_backend_app)


def warm_up(application: Any, region: str) -> None:
    """Load what the first request to EC2 would wait for: a second or more, most of it data."""
    from werkzeug.test import Client

    scope = f"Credential=none/20260101/{region}/ec2/aws4_request"
    Client(application).post(
        "/",
        data={"Action": "DescribeInstances", "Version": "2016-11-15"},
        headers={"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none"},
    )


def instances() -> Iterator[Any]:
    """Yield moto's instances of all accounts and regions that were used."""
    for account in list(_backends("ec2").values()):
        for backend in list(account.values()):
            for reservation in list(backend.reservations.values()):
                yield from list(reservation.instances)


def find(instance_id: str) -> Any | None:
    """Return moto's instance of this id."""
    return next((found for found in instances() if found.id == instance_id), None)


def set_state(instance: Any, name: str) -> None:
    """Put an instance into a state (the API's name of it)."""
    instance._state.name = name
    instance._state.code = CODES[name]


def adopt_groups(instance: Any) -> None:
    """Tell the security groups of an instance's network card as its own, as EC2 does."""
    if not instance.security_groups:
        instance.security_groups = sorted(instance.nics[0].group_set, key=lambda of: of.id)


def end(instance: Any, how: str, reason: str) -> None:
    """Stop or terminate an instance, for a reason that is not the user's wish."""
    from moto.ec2.models.instances import StateReason

    if how == "terminate":
        instance.terminate()
    else:
        instance.stop()
    code = reason.partition(":")[0]
    instance._reason = ""
    instance.state_reason = StateReason(reason, code)


def knows_key(access_key: str) -> bool:
    """Return whether IAM or STS gave out this access key."""
    for account in list(_backends("iam").values()):
        for backend in list(account.values()):
            if access_key in backend.access_keys:
                return True
            if any(user.has_access_key(access_key) for user in list(backend.users.values())):
                return True
    return any(
        backend.get_assumed_role_from_access_key(access_key)
        for account in list(_backends("sts").values())
        for backend in list(account.values())
    )


def role_of(instance: Any) -> str:
    """Return the name of the role in an instance's profile, or ''."""
    found = instance.ec2_backend.iam_instance_profile_associations.get(instance.id)
    roles = found.iam_instance_profile.roles if found else []
    return str(roles[0].name) if roles else ""


def assume(instance: Any, role: str) -> Any:
    """Return keys of an instance's role, as STS gives them out."""
    account, region = instance.owner_id, instance.region_name
    return _backends("sts")[account]["aws"].assume_role(
        region_name=region,
        role_session_name=instance.id,
        role_arn=f"arn:aws:iam::{account}:role/{role}",
        policy="",
        duration=3600,
        external_id="",
    )


def instance_types(region: str) -> set[str]:
    """Return the names of the instance types that a region offers."""
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

    offers = INSTANCE_TYPE_OFFERINGS["region"].get(region, [])
    return {offer["InstanceType"] for offer in offers}


def block_of(instance: Any) -> str:
    """Return the addresses of an instance's VPC, as ``172.31.0.0/16``."""
    return str(instance.ec2_backend.get_vpc(instance.vpc_id).cidr_block)


def default_subnet(region: str, zone: str) -> str:
    """Return the subnet in which EC2 starts what names none; '' if its VPC was deleted."""
    backend = _backends("ec2")["123456789012"][region]
    found = backend.get_default_subnets()
    subnet = found.get(zone) or next(iter(found.values()), None)
    return str(subnet.id) if subnet else ""


def reset() -> None:
    """Forget everything, of all services."""
    from moto.core.base_backend import BackendDict
    from moto.core.model_instances import reset_model_data

    BackendDict.reset()
    reset_model_data()


def _backends(service: str) -> Any:
    from moto import backends

    get_backend: Any = backends.get_backend
    return get_backend(service)
