"""An EC2 whose instances really boot, on this machine, without AWS.

moto answers the API; every running instance is a process tree in namespaces of its own, with moto's
addresses, a metadata service, a disk and a first process that obeys **unmodified** user data. All
of it lives in a private network that leads nowhere, and refuses to start in any other.

What it does not simulate is told in ``docs/how-to/ec2-standin.md``.
"""

from ess_dask.testing.ec2.namespace import unavailable
from ess_dask.testing.ec2.standin import AwsError, Ec2StandIn, Instance, standin

__all__ = ["AwsError", "Ec2StandIn", "Instance", "standin", "unavailable"]
