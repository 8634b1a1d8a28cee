"""What a test may ask of a running stand-in: one line of JSON each way, over a pair of sockets.

The end of the connection is the end of the stand-in: who started it cannot leave it behind.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ess_dask.testing.ec2 import moto_state, network
from ess_dask.testing.ec2.server import ENV, REGION, Running

NAMESPACES = ("user", "pid", "net", "ipc", "mnt")


def serve(connection: socket.socket, running: Running) -> None:
    """Say hello, with the namespaces to enter; then answer until the other side is gone."""
    descriptors = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in NAMESPACES]
    socket.send_fds(connection, [b"hello\n"], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    answers = _Answers(running)
    with connection.makefile("rb") as lines, connection.makefile("wb") as out:
        for line in lines:
            out.write(json.dumps(answers.answer(json.loads(line)), default=_plain).encode() + b"\n")
            out.flush()


class _Answers:
    """The verbs, each a method that starts with ``do_``."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._clients: dict[tuple[str, str], Any] = {}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what a verb returns, or its error by name, text and (of AWS) code."""
        verb: Callable[..., Any] = getattr(self, f"do_{asked['verb']}")
        try:
            return {"result": verb(**asked["given"])}
        except Exception as error:
            answered = getattr(error, "response", {}).get("Error", {})
            words = answered.get("Message") or str(error)
            return {"error": type(error).__name__, "code": answered.get("Code", ""), "text": words}

    def do_reset(self) -> None:
        self._running.reset()

    def do_instances(self) -> list[dict[str, Any]]:
        return [_told(instance) for instance in moto_state.instances()]

    def do_console(self, instance_id: str) -> str:
        path = self._running.folder / "consoles" / f"{instance_id}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def do_guest(self, instance_id: str) -> int:
        machine = self._running.cloud.machine(instance_id)
        if not machine.on:
            raise KeyError(f"{instance_id} is off")
        return machine.guest

    def do_seen(self, action: str) -> list[dict[str, Any]]:
        seen = list(self._running.gateway.seen)
        return [dataclasses.asdict(one) for one in seen if action in {"", one.action}]

    def do_fail(self, **given: Any) -> None:
        self._running.gateway.faults.fail(**given)

    def do_delay(self, action: str, seconds: float) -> None:
        self._running.gateway.faults.delay(action, seconds)

    def do_pending(self, seconds: float) -> None:
        self._running.gateway.faults.pending_seconds = seconds

    def do_minute(self, seconds: float) -> None:
        self._running.gateway.faults.minute_seconds = seconds

    def do_powered(self, on: bool) -> None:
        self._running.gateway.faults.powered = on

    def do_clear_faults(self) -> None:
        self._running.gateway.faults.clear()

    def do_spot_notice(self, instance_id: str, seconds: float, action: str) -> None:
        self._running.cloud.warn(instance_id, seconds, action)

    def do_kill(self, instance_id: str) -> None:
        self._running.cloud.kill(instance_id)

    def do_cable(self, instance_id: str, plugged: bool) -> None:
        network.switch(self._running.cloud.machine(instance_id).cable, on=plugged)

    def do_aws(self, service: str, operation: str, region: str, given: dict[str, Any]) -> Any:
        client = self._clients.get((service, region)) or self._client(service, region)
        answer = getattr(client, operation)(**given)
        answer.pop("ResponseMetadata", None)
        return answer

    def _client(self, service: str, region: str) -> Any:
        import boto3

        client = boto3.client(
            service,
            region_name=region or REGION,
            endpoint_url=ENV["AWS_ENDPOINT_URL"],
            aws_access_key_id=ENV["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENV["AWS_SECRET_ACCESS_KEY"],
        )
        self._clients[service, region] = client
        return client


def _told(instance: Any) -> dict[str, Any]:
    import base64

    return {
        "id": instance.id,
        "state": instance.state,
        "private": instance.private_ip or "",
        "public": (instance.public_ip or "") if instance.state in {"pending", "running"} else "",
        "type": instance.instance_type,
        "image": instance.image_id,
        "region": instance.region_name,
        "lifecycle": instance.lifecycle or "on-demand",
        "shutdown_behaviour": instance.instance_initiated_shutdown_behavior,
        "reason": instance.state_reason.code,
        "tags": {tag["key"]: tag["value"] for tag in instance.get_tags()},
        "user_data": str(instance.user_data or base64.b64encode(b"").decode()),
    }


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)
