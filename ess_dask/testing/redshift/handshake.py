"""The start of a connection: TLS, start-up parameters, the password."""

from __future__ import annotations

import socket
import ssl
import struct

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift import wire
from ess_dask.testing.redshift.wire import Peer

_PROTOCOL = 3 << 16
_REDSHIFT_ONLY = {
    "client_protocol_version", "driver_version", "os_version", "driver_discovery_version",
    "plugin_name", "idp_type", "provider_name", "identity_namespace", "token_type",
}  # fmt: skip
_IAM = ("IAM:", "IAMA:")
_WAIT_SECONDS = 30.0
_SHOWN_VERSION = b"server_version\x008.0.2\0"


@dataclass(frozen=True, slots=True)
class Door:
    """Where PostgreSQL is, and whether clients may use TLS and names that IAM gave them."""

    port: int
    socket_path: str
    tls: ssl.SSLContext | None
    with_iam: bool


def open_client(sock: socket.socket, door: Door) -> tuple[Peer, dict[str, str]] | None:
    """Take a client's first messages; return it and its parameters, or nothing for a cancellation.

    The client side has a time-out until ``connect`` is through.
    """
    sock.settimeout(_WAIT_SECONDS)
    peer = Peer(sock)
    while True:
        body = peer.take_startup()
        code = struct.unpack_from("!i", body)[0]
        if code == wire.SSL_REQUEST and door.tls is not None:
            peer.send_bytes(b"S")
            peer.flush()
            peer = Peer(door.tls.wrap_socket(sock, server_side=True))
        elif code in (wire.SSL_REQUEST, wire.GSS_REQUEST):
            peer.send_bytes(b"N")
        elif code == wire.CANCEL_REQUEST:
            with socket.create_connection(("127.0.0.1", door.port), _WAIT_SECONDS) as backend:
                backend.sendall(struct.pack("!i", len(body) + 4) + body)
            peer.close()
            return None
        else:
            parts = [part.decode("utf-8", "replace") for part in body[4:].split(b"\0")]
            return peer, dict(zip(parts[::2], parts[1::2], strict=False))


def connect(client: Peer, parameters: dict[str, str], door: Door) -> tuple[Peer, int] | None:
    """Log the client in; return the back end and its number, or nothing if refused."""
    asked = {k: v for k, v in parameters.items() if k and k not in _REDSHIFT_ONLY}
    user = asked.get("user", "")
    if door.with_iam and user.startswith(_IAM):
        if not _shows_a_password(client):
            return None
        asked["user"] = user.partition(":")[2]
        backend = Peer(_unix(door.socket_path))
    else:
        backend = Peer(socket.create_connection(("127.0.0.1", door.port), _WAIT_SECONDS))
    backend.send_bytes(wire.startup(_PROTOCOL, asked))
    number = _log_in(client, backend)
    if number is None:
        backend.close()
        return None
    for peer in (client, backend):
        peer.sock.settimeout(None)
    return backend, number


def _unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(_WAIT_SECONDS)
    sock.connect(path)
    return sock


def _shows_a_password(client: Peer) -> bool:
    """Ask for a password of IAM's: the control plane does not say which it gave out."""
    client.send(b"R", struct.pack("!i", 3))
    kind, body = client.take()
    if kind == b"p" and body.rstrip(b"\0"):
        return True
    client.send(b"E", wire.fields_body({"S": "FATAL", "C": "28P01", "M": "no password was given"}))
    client.flush()
    return False


def _log_in(client: Peer, backend: Peer) -> int | None:
    """Carry messages until the server is ready; return the back end's number."""
    number = 0
    while True:
        kind, body = backend.take()
        if kind == b"S" and body.startswith(b"server_version\0"):
            body = _SHOWN_VERSION
        elif kind == b"K":
            number = struct.unpack_from("!i", body)[0]
        client.send(kind, body)
        if kind in b"EZ":
            client.flush()
            return number if kind == b"Z" else None
        if kind == b"R" and struct.unpack_from("!i", body)[0] not in (0, 12):
            answer, said = client.take()
            backend.send(answer, said)
