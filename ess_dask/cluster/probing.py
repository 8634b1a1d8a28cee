"""Whether a scheduler listens at an address, without Dask."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

_AGAIN_SECONDS = 0.5


def answers(address: str, timeout: float = 3.0) -> bool:
    """Say whether something listens at ``tls://HOST:PORT``; ``OSError`` when no host is there."""
    try:
        socket.create_connection(parts(address), timeout).close()
    except ConnectionRefusedError:
        return False
    return True


def await_answer(
    address: str, seconds: float, meanwhile: Callable[[], None] = lambda: None
) -> bool:
    """Wait until something listens at ``tls://HOST:PORT``; False when nothing has for so long.

    ``meanwhile`` is called between two tries; what it raises ends the waiting.
    """
    ends = time.monotonic() + seconds
    while True:
        try:
            if answers(address):
                return True
        except OSError:
            pass
        if time.monotonic() > ends:
            return False
        meanwhile()
        time.sleep(_AGAIN_SECONDS)


def parts(address: str) -> tuple[str, int]:
    """Return host and port of ``tls://HOST:PORT``."""
    host, _, port = address.removeprefix("tls://").rpartition(":")
    return host.strip("[]"), int(port)


def address_of(host: str, port: int) -> str:
    """Return ``tls://HOST:PORT``."""
    return f"tls://[{host}]:{port}" if ":" in host else f"tls://{host}:{port}"


def address_towards(host: str) -> str:
    """Return this machine's address as ``host`` sees it; nothing is sent."""
    # Connecting a datagram socket only asks the routes for our own address.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.connect((host, 9))
        return str(asking.getsockname()[0])


def names_on(host: str, workers: int) -> tuple[str, ...]:
    """Return the names that Dask gives to so many workers of a host."""
    return (host,) if workers == 1 else tuple(f"{host}-{number}" for number in range(workers))
