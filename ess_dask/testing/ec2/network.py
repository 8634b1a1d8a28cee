"""The wires: a bridge with the stand-in's own address, and a cable to every running instance.

Every address that moto hands out is reached over the bridge, and nothing else is: there is no
default route, so that a packet to anywhere else ends in "network is unreachable" at once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.testing.ec2 import kernel

BRIDGE = "br0"
ADDRESS = "172.31.0.1"
METADATA = "169.254.169.254"
PUBLIC = "54.214.0.0/16"
"""From where moto takes public addresses."""

_DEFAULT = "172.31.0.0/16"


@dataclass(frozen=True, slots=True)
class Addresses:
    """What EC2 says an instance is called on the network; ``public`` may be ''.

    ``block`` are the addresses of its VPC.
    """

    private: str
    public: str
    block: str = _DEFAULT


def make_bridge() -> None:
    """Bring up loopback and the bridge of this (private) network."""
    with _link() as link:
        _up(link, "lo")
        link.link("add", ifname=BRIDGE, kind="bridge")
        index = _up(link, BRIDGE)
        link.addr("add", index=index, address=ADDRESS, prefixlen=32)
        _routes(link, index, _DEFAULT)


def plug_in(cable: str, addresses: Addresses, outer: int) -> socket.socket:
    """Give **this thread** a network of its own, plugged into the bridge of network ``outer``.

    What the thread starts from now on lives there. Returns a listening socket at the address of
    the metadata service in that network; it may be served from any thread.
    """
    kernel.unshare(kernel.NEW_NETWORK)
    inner = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.join(outer, kernel.NEW_NETWORK)
        with _link() as link:
            end = {"ifname": "eth0", "net_ns_fd": inner}
            link.link("add", ifname=cable, kind="veth", peer=end)
            (bridge,) = link.link_lookup(ifname=BRIDGE)
            (index,) = link.link_lookup(ifname=cable)
            link.link("set", index=index, master=bridge, state="up")
            _routes(link, bridge, addresses.block)
        kernel.join(inner, kernel.NEW_NETWORK)
    finally:
        os.close(inner)
    with _link() as link:
        link.addr("add", index=_up(link, "lo"), address=METADATA, prefixlen=32)
        index = _up(link, "eth0")
        for address in filter(None, (addresses.private, addresses.public)):
            link.addr("add", index=index, address=address, prefixlen=32)
        _routes(link, index, addresses.block, source=addresses.private)
    return socket.create_server((METADATA, 80))


def _up(link: Any, name: str) -> int:
    """Switch an interface on; return its number."""
    (index,) = link.link_lookup(ifname=name)
    link.link("set", index=index, state="up")
    return int(index)


def _routes(link: Any, index: int, block: str, source: str = "") -> None:
    own = {"prefsrc": source} if source else {}
    for destination in {block, _DEFAULT, PUBLIC}:
        link.route("replace", dst=destination, oif=index, scope="link", **own)


@contextmanager
def _link() -> Iterator[Any]:
    """Yield a netlink socket of this thread's network."""
    from pyroute2 import IPRoute

    with IPRoute() as link:
        yield link


def switch(cable: str, *, on: bool) -> None:
    """Plug a cable in again, or out, at the side of the bridge: nothing passes, nothing is told."""
    with _link() as link:
        (index,) = link.link_lookup(ifname=cable)
        link.link("set", index=index, state="up" if on else "down")
