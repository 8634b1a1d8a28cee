"""An EC2 whose instances really boot, on this machine, without AWS.

moto answers the API; every running instance is a process tree in namespaces of its own, with moto's
addresses, a metadata service, a disk and a first process that obeys **unmodified** user data. All
of it lives in a private network that leads nowhere, and refuses to start in any other.

What it does not simulate is told in ``docs/how-to/ec2-standin.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ess_dask.testing.ec2.client import AwsError, Ec2StandIn, Instance, standin
    from ess_dask.testing.ec2.namespace import unavailable

__all__ = ["AwsError", "Ec2StandIn", "Instance", "standin", "unavailable"]


def __getattr__(name: str) -> Any:
    # Every command on an instance imports this package: it has to cost nothing.
    if name not in __all__:
        raise AttributeError(name)
    from ess_dask.testing.ec2 import client, namespace

    return namespace.unavailable if name == "unavailable" else getattr(client, name)
