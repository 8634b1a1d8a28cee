"""Where moto takes a request to EC2 otherwise than EC2 does: what is asked of it instead."""

from __future__ import annotations

from dataclasses import replace

from ess_dask.testing.ec2 import moto_state
from ess_dask.testing.ec2.requests import Request

_BEHAVIOUR = "InstanceInitiatedShutdownBehavior"


def before(request: Request) -> Request:
    """Return the request that has moto do what EC2 would do."""
    asked = request.parameters
    if request.action == "RunInstances":
        return replace(request, parameters=asked | _start(request))
    if request.action == "ModifyInstanceAttribute" and f"{_BEHAVIOUR}.Value" in asked:
        # Moto knows the older way to ask; for the newer it takes the groups away.
        older = {"Attribute": "instanceInitiatedShutdownBehavior"}
        value = {"Value": asked[f"{_BEHAVIOUR}.Value"]}
        return replace(request, parameters=asked | older | value)
    return request


def after(request: Request) -> None:
    """Complete what moto made of a RunInstances."""
    kind = request.parameters.get("InstanceMarketOptions.SpotOptions.SpotInstanceType")
    token = request.parameters.get("ClientToken")
    for instance in moto_state.instances():
        moto_state.adopt_groups(instance)
        # Moto forgets which spot instances may be stopped.
        if kind == "persistent" and instance.client_token == token:
            instance.ess_persistent = True


def _start(request: Request) -> dict[str, str]:
    """Start the most, where moto starts the least; and in the default subnet, not in none."""
    asked = request.parameters
    more = {"MinCount": asked.get("MaxCount", "1")}
    if "SubnetId" not in asked and "NetworkInterface.1.DeviceIndex" not in asked:
        zone = asked.get("Placement.AvailabilityZone", "")
        more["SubnetId"] = moto_state.default_subnet(request.region, zone)
    return {name: value for name, value in more.items() if value}
