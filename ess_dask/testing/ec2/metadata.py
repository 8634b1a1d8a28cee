"""The metadata service of an instance, version 2: a token first, then what it may know."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ess_dask.dataclass import dataclass
from ess_dask.testing.ec2 import moto_state

_TOKEN_SECONDS = "X-aws-ec2-metadata-token-ttl-seconds"  # noqa: S105 - the name of a header
_TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 - the name of a header
_LONGEST = 21_600


@dataclass(slots=True)
class Metadata:
    """What is told to one instance. ``notice`` is its spot notice, '' while there is none."""

    instance_id: str
    user_data: bytes
    notice: str = ""
    tokens: dict[str, float] = field(default_factory=dict)

    def answer(self, path: str) -> str | bytes | None:
        """Return what a path below ``/latest`` holds, or None for "404"."""
        if path == "/latest/user-data":
            return self.user_data or None
        name = path.removeprefix("/latest/meta-data/").rstrip("/")
        if name.startswith("iam/"):
            return self._credentials(name.removeprefix("iam/security-credentials").strip("/"))
        if name in {"spot/instance-action", "spot/termination-time"}:
            return self._notice(name)
        instance = moto_state.find(self.instance_id)
        found = _VALUES.get(name)
        return (found(instance) or None) if found and instance else None

    def _notice(self, name: str) -> str | None:
        if not self.notice or name == "spot/instance-action":
            return self.notice or None
        return str(json.loads(self.notice)["time"])

    def _credentials(self, name: str) -> str | None:
        instance = moto_state.find(self.instance_id)
        role = moto_state.role_of(instance) if instance else ""
        if not role or name not in {"", role}:
            return None
        if not name:
            return role
        keys = moto_state.assume(instance, role)
        return json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "LastUpdated": _stamp(datetime.now(UTC)),
                "AccessKeyId": keys.access_key_id,
                "SecretAccessKey": keys.secret_access_key,
                "Token": keys.session_token,
                "Expiration": _stamp(keys.expiration),
            }
        )


def serve(listening: socket.socket, metadata: Metadata) -> Callable[[], None]:
    """Answer on a listening socket, in threads; return the function that ends it."""
    server = _Server(listening, metadata)
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def spot_notice(action: str, seconds: float) -> str:
    """Return the text of a notice that something happens in so many seconds."""
    moment = datetime.fromtimestamp(time.time() + seconds, UTC)
    return json.dumps({"action": action, "time": _stamp(moment)})


_VALUES: dict[str, Callable[[object], str | None]] = {
    "instance-id": lambda of: of.id,  # type: ignore[attr-defined]
    "ami-id": lambda of: of.image_id,  # type: ignore[attr-defined]
    "local-ipv4": lambda of: of.private_ip,  # type: ignore[attr-defined]
    "public-ipv4": lambda of: of.public_ip,  # type: ignore[attr-defined]
    "hostname": lambda of: of.private_dns_name,  # type: ignore[attr-defined]
    "local-hostname": lambda of: of.private_dns_name,  # type: ignore[attr-defined]
    "public-hostname": lambda of: of.public_dns_name,  # type: ignore[attr-defined]
    "instance-type": lambda of: of.instance_type,  # type: ignore[attr-defined]
    "instance-life-cycle": lambda of: of.lifecycle or "on-demand",  # type: ignore[attr-defined]
    "placement/region": lambda of: of.region_name,  # type: ignore[attr-defined]
    "placement/availability-zone": lambda of: of.placement.zone,  # type: ignore[attr-defined]
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, metadata: Metadata) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = "metadata", 80
        self.metadata = metadata


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_PUT(self) -> None:
        """Give a token out."""
        seconds = self.headers.get(_TOKEN_SECONDS, "")
        if self.path != "/latest/api/token":
            self._reply(404)
        elif not seconds.isdecimal() or not 1 <= int(seconds) <= _LONGEST:
            self._reply(400)
        else:
            token = secrets.token_urlsafe(40)
            self.server.metadata.tokens[token] = time.monotonic() + int(seconds)
            self._reply(200, token)

    def do_GET(self) -> None:
        """Answer whoever has a token."""
        expires = self.server.metadata.tokens.get(self.headers.get(_TOKEN, ""), 0.0)
        if expires < time.monotonic():
            self._reply(401)
            return
        found = self.server.metadata.answer(self.path)
        self._reply(404 if found is None else 200, found or "")

    def _reply(self, status: int, body: str | bytes = "") -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing: the requests of a poll would drown the console."""
