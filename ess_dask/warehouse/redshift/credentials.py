"""User and password for an address, found at each use and kept nowhere.

Searched in this order: the password in the URL; the secret of ``secret=``; IAM, by ``iam=true`` or
``workgroup=``; the environment variable ``ESS_REDSHIFT_PASSWORD``; a person who is asked. A
registered cluster gives host, database and user, never a password.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from ess_dask.dataclass import dataclass
from ess_dask.errors import AccessError, ConfigError, TransientError
from ess_dask.secret import Secret
from ess_dask.warehouse.redshift import control_plane
from ess_dask.warehouse.redshift.control_plane import Asker, Endpoint, StoredSecret
from ess_dask.warehouse.redshift.url import PORT, Address

VARIABLE = "ESS_REDSHIFT_PASSWORD"
"""Environment variable with the password of the URL's user."""

Ask = Callable[[str], str]
"""Shows a prompt and returns the password that was typed."""


_ASK: ContextVar[Ask | None] = ContextVar("ask", default=None)


@contextmanager
def asking(ask: Ask) -> Iterator[None]:
    """Let ``resolve`` ask a person inside the block; each question is asked once."""
    token = _ASK.set(functools.cache(ask))
    try:
        yield
    finally:
        _ASK.reset(token)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection is opened with. ``source`` says where it was found."""

    user: str
    password: Secret
    source: str


@dataclass(frozen=True, slots=True)
class Login:
    """An address with its host, port and database, and the credentials for it."""

    address: Address
    credentials: Credentials


def resolve(address: Address, ask: Ask | None = None) -> Login:
    """Find host and credentials for an address; AWS is asked only for what the URL does not give.

    Raises ``AccessError`` listing every place that was searched, ``ConfigError`` for an address
    that cannot be completed, ``TransientError`` when AWS cannot be reached or the cluster has no
    address yet, and what ``control_plane`` raises.
    """
    ask = ask or _ASK.get()
    stored = None
    if address.secret and not address.password:
        stored = control_plane.read_secret(address.secret, asker_of(address))
        address = _completed(address, stored)
    address = _located(address)
    return Login(address, _found(address, stored, ask))


def asker_of(address: Address, patience: float = 10.0) -> Asker:
    """Return whom and where AWS is asked for an address; ``patience`` in seconds."""
    return Asker(address.region, address.profile, patience)


def endpoint_of(address: Address, patience: float = 10.0) -> Endpoint | None:
    """Ask AWS where the cluster or workgroup of an address is; None when it names neither."""
    asker = asker_of(address, patience)
    if address.workgroup:
        return control_plane.find_workgroup(address.workgroup, asker)
    if address.cluster:
        return control_plane.find_cluster(address.cluster, asker)
    return None


def _completed(address: Address, stored: StoredSecret) -> Address:
    """Fill in what the URL leaves open and the secret says."""
    return replace(
        address,
        host=address.host or stored.host,
        port=address.port or stored.port,
        database=address.database or stored.database,
        cluster=address.cluster or stored.cluster,
    )


def _located(address: Address) -> Address:
    if not address.host:
        endpoint = endpoint_of(address)
        if endpoint is None:
            raise ConfigError(
                f"no host is known for {address.named}",
                hint='name the host in the URL, or as "host" in the secret, or add cluster=NAME',
            )
        if not endpoint.host:
            raise TransientError(
                f"{address.named} has no address yet: it is {endpoint.status}",
                hint="try again when it is available",
            )
        address = replace(
            address,
            host=endpoint.host,
            port=address.port or endpoint.port,
            database=address.database or endpoint.database,
        )
    if not address.database:
        raise ConfigError(
            f"no database is known for {address.named}", hint="put it behind the host: /database"
        )
    return replace(address, port=address.port or PORT)


def _found(address: Address, stored: StoredSecret | None, ask: Ask | None) -> Credentials:
    if stored:
        return Credentials(stored.user, stored.password, f"secret {address.secret}")
    if address.password:
        return Credentials(_user(address), address.password, "the URL")
    if address.iam:
        return _by_iam(address)
    if text := os.environ.get(VARIABLE):
        return Credentials(_user(address), Secret(text), VARIABLE)
    if ask:
        text = ask(f"Password of {_user(address)} at {address.named}")
        if text:
            return Credentials(_user(address), Secret(text), "the prompt")
    raise _nothing_found(address, asked=ask is not None)


def _by_iam(address: Address) -> Credentials:
    asker = asker_of(address)
    if address.workgroup:
        user, password = control_plane.workgroup_credentials(
            address.workgroup, address.database, asker
        )
        return Credentials(user, password, f"IAM, workgroup {address.workgroup}")
    user, password = control_plane.cluster_credentials(
        address.cluster, _user(address), address.database, asker
    )
    return Credentials(user, password, f"IAM, cluster {address.cluster}")


def _user(address: Address) -> str:
    if not address.user:
        raise ConfigError(
            f"no user is known for {address.named}", hint="put it before the host: user@host"
        )
    return address.user


def _nothing_found(address: Address, *, asked: bool) -> AccessError:
    searched = [
        "a password in the URL: none",
        "Secrets Manager: no secret= in the URL",
        "IAM: no iam=true or workgroup= in the URL",
        f"the environment variable {VARIABLE}: not set",
        "a prompt: nothing was typed" if asked else "a prompt: no terminal to ask on",
    ]
    lines = "".join(f"\n    {line}" for line in searched)
    return AccessError(
        f"no password for {address}; searched, in order:{lines}",
        hint=f"set {VARIABLE}, or add secret=NAME or iam=true to the URL",
    )
