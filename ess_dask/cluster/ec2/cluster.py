"""``EC2Cluster`` made detachable: it launches and forgets; machines are found again by tag.

What the base class does not do is overridden here, against its private methods: tests hold each of
them against the pinned version. Nothing of the user's Dask configuration or environment reaches a
machine.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dask_cloudprovider.aws.ec2 import EC2Cluster, EC2Scheduler, EC2Worker
from distributed.core import Status  # noqa: TID253 - base classes; `launch` imports this module
from distributed.deploy.cluster import Cluster  # noqa: TID253

from ess_dask.cluster.ec2.aws import use_credentials
from ess_dask.cluster.ec2.errors import THROTTLED, ended
from ess_dask.cluster.ec2.find import PORT, Machine
from ess_dask.cluster.ec2.plan import Plan
from ess_dask.cluster.ec2.user_data import Boot, user_data
from ess_dask.cluster.tls import security
from ess_dask.errors import TransientError

_CONNECT_SECONDS = 3.0
_POLL_SECONDS = 0.25
_BUSY_SECONDS = (1.0, 5.0)


class _Instance:
    """What scheduler and workers of ours have in common."""

    role = ""
    instance: dict[str, Any] | None
    cluster: Any
    use_private_ip: bool

    async def create_vm(self) -> tuple[str, str | None]:
        """Launch the machine; return as ``configure_vm``.

        An account may launch a few machines at once and then two a second: whoever is told to wait
        waits, and only that.
        """
        from botocore.exceptions import ClientError

        while True:
            try:
                found: tuple[str, str | None] = await super().create_vm()  # type: ignore[misc]
            except ClientError as error:
                busy = error.response["Error"]["Code"] in THROTTLED
                if self.instance or not busy or self.cluster.time_is_over():
                    raise
                await asyncio.sleep(random.uniform(*_BUSY_SECONDS))  # noqa: S311 - no secret
            else:
                return found

    async def configure_vm(self, client: Any) -> tuple[str, str | None]:
        """Wait for the addresses; return (for the workers, for the client if it is another).

        The tags came with the launch, so none is added here. The public address is the client's
        way to the scheduler and changes at each start; that of a worker is waited for by nobody.
        """
        assert self.instance is not None
        private_only = self.use_private_ip or self.role == "worker"
        wanted = "PrivateIpAddress" if private_only else "PublicIpAddress"
        number = self.instance["InstanceId"]
        while not self.instance.get(wanted):
            await asyncio.sleep(_POLL_SECONDS)
            self.cluster.check_time(f"machine {number} has no address")
            self.instance = await _describe(client, number) or self.instance
        private = str(self.instance["PrivateIpAddress"])
        return private, None if private_only else str(self.instance["PublicIpAddress"])

    async def destroy_vm(self) -> None:
        """Do nothing: who launches removes by tag, and that finds more than this object knows."""


class Scheduler(_Instance, EC2Scheduler):  # type: ignore[misc]
    """The machine of the scheduler: to be launched, or one that runs (``machine``)."""

    role = "scheduler"
    spec_name = ""

    def __init__(self, *args: Any, machine: Machine | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.instance_tags = self.volume_tags = self.cluster.launching.tags("scheduler")
        if machine:
            self.instance = {"InstanceId": machine.id}
            self.address = f"tls://{machine.private_ip}:{PORT}"
            self.external_address = f"tls://{machine.public_ip or machine.private_ip}:{PORT}"
            self.status = Status.running

    async def wait_for_scheduler(self) -> None:
        """Return when the port answers; ``TransientError`` when the machine or the time ended."""
        address = getattr(self, "external_address", None) or self.address
        host = address.removeprefix("tls://").rpartition(":")[0]
        while not await _answers(host, self.port):
            await self.cluster.check_alive(self.instance)
            self.cluster.check_time(f"the scheduler does not answer at {host}:{self.port}")
            await asyncio.sleep(_POLL_SECONDS)


class Worker(_Instance, EC2Worker):  # type: ignore[misc]
    """The machine of one worker; ``name`` is that of the specification, of Dask and of the tag."""

    role = "worker"

    def __init__(self, scheduler: str, *args: Any, name: str = "", **options: Any) -> None:
        super().__init__(scheduler, *args, **options)
        self.name = self.spec_name = name
        self.instance_tags = self.volume_tags = self.cluster.launching.tags("worker", name)


class _Session:
    """The session of the base class, whose clients give up sooner.

    AWS answers "no capacity" as an error of the server: ten attempts take minutes.
    """

    def __init__(self, session: Any, launching: Callable[..., None]) -> None:
        session.register("provide-client-params.ec2.RunInstances", launching)
        self._session = session

    def create_client(self, service: str, region_name: str, config: Any = None) -> Any:
        """Return a client, to be used as ``async with``."""
        from botocore.config import Config

        usual = Config(retries={"total_max_attempts": 4, "mode": "standard"})
        return self._session.create_client(service, region_name=region_name, config=usual)


class EssCluster(EC2Cluster):  # type: ignore[misc]
    """Launches the machines of a plan. To be used as ``async with``, which then lets go of them.

    ``scheduler`` is the machine of the scheduler that runs already, None launches one. ``tls`` is
    the folder of certificates, ``limit`` the seconds until it gives up with ``TransientError``.
    """

    boto_session: Any

    def __init__(self, plan: Plan, tls: Path, limit: float, scheduler: Machine | None) -> None:
        import dask

        # Dask calls something else the plan of a cluster.
        self.launching = plan
        self.tls = tls
        self._attached = scheduler
        self._ends = time.monotonic() + limit
        # The user's own settings of the base class do not count.
        nothing = {"instance_tags": {}, "volume_tags": {}, "docker_image": plan.software.image}
        with dask.config.set({"cloudprovider.ec2": nothing}):
            super().__init__(**_options(plan), security=security(tls), asynchronous=True)
        self.quiet = True
        use_credentials(self.boto_session, plan.place.credentials)
        self.boto_session = _Session(self.boto_session, self._hardened)

    async def _start(self) -> None:
        self.uuid = self.launching.place.name
        self.scheduler_class, self.worker_class = Scheduler, Worker
        if self._attached:
            self.scheduler = Scheduler(**self.scheduler_options, machine=self._attached)
        await super()._start()

    async def _close(self) -> None:
        # Let go: the machines stay. The base class would end them.
        await Cluster._close(self)

    def _new_worker_name(self, worker_number: int) -> str:
        return self.launching.workers[worker_number]

    def render_process_cloud_init(self, process: Any) -> bytes:
        """Return the user data of a machine; see ``user_data``."""
        plan = self.launching
        boot = Boot(
            role=process.role,
            image=plan.software.image,
            requirements=plan.software.requirements,
            tls=self.tls,
            name=process.spec_name,
            scheduler=self.scheduler.address if process.role == "worker" else "",
            idle_timeout=plan.idle_timeout,
            processes=plan.processes.number,
            threads=plan.processes.threads,
            memory_limit=plan.processes.memory_limit,
            spot=plan.spot and process.role == "worker",
        )
        return user_data(boot)

    def time_is_over(self) -> bool:
        """Say whether the time for a launch has passed."""
        return time.monotonic() > self._ends

    def check_time(self, what: str) -> None:
        """Raise ``TransientError`` that says ``what`` when the time is over."""
        if self.time_is_over():
            raise TransientError(
                f"{self.launching.place}: {what}, and the time for it is over",
                hint="what the machine printed: EC2 console, Get system log; "
                "has its subnet a way to the internet, and is this your address (ESS_MY_ADDRESS)?",
            )

    async def check_alive(self, instance: dict[str, Any]) -> None:
        """Raise ``TransientError`` when the machine has ended."""
        async with self.boto_session.create_client("ec2", region_name=self.region) as client:
            found = await _describe(client, instance["InstanceId"])
        if found and found["State"]["Name"] not in ("pending", "running"):
            raise ended(instance["InstanceId"], found["State"]["Name"])

    def _hardened(self, params: dict[str, Any], **_: Any) -> None:
        """Change what is sent as RunInstances: metadata by token only, encrypted disk."""
        params["MetadataOptions"] = {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        for device in params["BlockDeviceMappings"]:
            device.pop("VirtualName", None)
            device["DeviceName"] = self.launching.software.root
            device["Ebs"]["Encrypted"] = True


def _options(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.place.name,
        "n_workers": len(plan.workers),
        "region": plan.place.region,
        "bootstrap": False,
        "ami": plan.software.ami,
        "instance_type": plan.kind.name,
        "vpc": plan.network.vpc,
        "subnet_id": plan.network.subnet,
        "security_groups": [plan.group],
        "filesystem_size": plan.software.disk,
        "iam_instance_profile": dict(plan.profile),
        "docker_image": plan.software.image,
        "instance_tags": {},
        "volume_tags": {},
        "use_private_ip": plan.network.private,
        "enable_detailed_monitoring": False,
        "spot": plan.spot,
        "shutdown_on_close": False,
    }


async def _describe(client: Any, instance_id: str) -> dict[str, Any] | None:
    """Return what EC2 says of an instance; None while it does not know it yet."""
    filters = [{"Name": "instance-id", "Values": [instance_id]}]
    answer = await client.describe_instances(Filters=filters)
    found = [each for group in answer["Reservations"] for each in group["Instances"]]
    return found[0] if found else None


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _CONNECT_SECONDS)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
