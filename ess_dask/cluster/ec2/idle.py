"""Since when a scheduler has had nothing to do: one question in Dask's protocol, without Dask.

Importing Dask takes longer than all that ``ess cluster status`` asks. A message is its length, the
number and lengths of its frames, and for what is asked here one frame of msgpack. Whatever goes
wrong, the answer is that it is not known.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ess_dask.cluster.ec2.find import PORT, Cluster
from ess_dask.cluster.ec2.state import tls_folder

_SECONDS = 2.0
_LIMIT = 1 << 20
"""Bytes of an answer: more is no answer to this question."""


def idle_seconds(found: Cluster) -> int | None:
    """Return for how many seconds the scheduler has been idle; None when that is not known."""
    scheduler, tls = found.scheduler, tls_folder(found.place.name)
    if scheduler is None or not (tls / "client.pem").is_file():
        return None
    with suppress(OSError, ValueError, struct.error):
        since = _ask(scheduler.public_ip or scheduler.private_ip, PORT, tls)
        return round(max(0.0, time.time() - since)) if isinstance(since, float) else 0
    return None


def _ask(host: str, port: int, tls: Path) -> Any:
    context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_cert_chain(str(tls / "client.pem"))
    with (
        socket.create_connection((host, port), timeout=_SECONDS) as plain,
        context.wrap_socket(plain) as stream,
    ):
        ours = {"compression": None, "python": list(sys.version_info[:3]), "pickle-protocol": 5}
        _write(stream, ours)
        _read(stream)
        _write(stream, {"op": "check_idle", "reply": True, "close": True})
        return _read(stream)


def _write(stream: ssl.SSLSocket, message: Any) -> None:
    import msgpack

    frame = msgpack.packb(message)
    prelude = struct.pack("QQ", 1, len(frame))
    stream.sendall(struct.pack("Q", len(prelude) + len(frame)) + prelude + frame)


def _read(stream: ssl.SSLSocket) -> Any:
    import msgpack

    (size,) = struct.unpack("Q", _exactly(stream, 8))
    content = _exactly(stream, size)
    (frames,) = struct.unpack_from("Q", content)
    (first,) = struct.unpack_from("Q", content, 8)
    begin = 8 + 8 * frames
    return msgpack.unpackb(content[begin : begin + first])


def _exactly(stream: ssl.SSLSocket, size: int) -> bytes:
    if size > _LIMIT:
        raise ValueError("not an answer")
    content = b""
    while len(content) < size:
        part = stream.recv(size - len(content))
        if not part:
            raise ValueError("the answer is cut")
        content += part
    return content
