"""Connections to Redshift: TLS by default, secrets as arguments only, errors as ours."""

from __future__ import annotations

import functools
import logging
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ess_dask._version import __version__
from ess_dask.errors import ConfigError, EssError, TransientError
from ess_dask.warehouse import retry
from ess_dask.warehouse.redshift.credentials import Ask, Credentials, endpoint_of, resolve
from ess_dask.warehouse.redshift.translate import (
    ConflictRetryError,
    LostConnectionError,
    paused,
    translate,
    translating,
)
from ess_dask.warehouse.redshift.url import Address

if TYPE_CHECKING:
    from redshift_connector.core import Connection

__all__ = [
    "ConflictRetryError",
    "LostConnectionError",
    "connect",
    "open_connection",
    "translate",
    "translating",
]

START_SECONDS = 30.0
"""Longest time that ``connect`` goes on trying while the start of a connection fails."""

# A peer that vanished (no reset, no answer) is noticed after about three minutes: statements
# themselves may take hours, so the socket has no time limit once it is connected.
_KEEP_ALIVE = {"tcp_keepalive_idle": 60, "tcp_keepalive_interval": 30, "tcp_keepalive_count": 4}
_STATUS_SECONDS = 5.0


def connect(address: Address, ask: Ask | None = None, wait: float = START_SECONDS) -> Connection:
    """Find credentials and open a connection; a start that fails is tried again for ``wait``
    seconds.

    Raises what ``credentials.resolve`` and ``open_connection`` raise. A cluster that AWS calls
    paused is not waited for: the ``TransientError`` says how to resume it.
    """
    login = resolve(address, ask)
    status_now = functools.cache(lambda: _status(login.address))

    def attempt() -> Connection | TransientError:
        try:
            return open_connection(login.address, login.credentials)
        except LostConnectionError as error:
            if status_now() in ("", "available"):
                raise
            return _unavailable(error, login.address, status_now())

    began = time.monotonic()
    try:
        opened = retry.retrying(LostConnectionError, wait, attempt)
    except LostConnectionError as error:
        message = f"{error.message} (tried for {time.monotonic() - began:.1f} s)"
        raise LostConnectionError(message, hint=error.hint) from None
    if isinstance(opened, TransientError):
        raise opened
    return opened


def open_connection(address: Address, credentials: Credentials) -> Connection:
    """Open one connection, without autocommit; ``address`` has its host, port and database.

    ``address.timeout`` bounds the start in seconds. Raises ``ConfigError`` when the driver is not
    installed or cannot reach such an address, ``AccessError`` (credentials, certificate),
    ``LostConnectionError`` (refused, no answer, broken).
    """
    driver = _driver()
    if ":" in address.host:
        raise ConfigError(
            f"{address.host}: the Redshift driver connects over IPv4 only",
            hint="give the name or the IPv4 address of the host",
        )
    with translating(f"cannot connect to {address}"):
        try:
            connection: Connection = driver.connect(
                host=address.host,
                port=address.port,
                database=address.database,
                user=credentials.user,
                password=credentials.password.reveal(),
                ssl=address.ssl,
                sslmode=address.sslmode,
                timeout=address.timeout,
                application_name=f"ess-dask/{__version__}",
                tcp_keepalive=True,
                **_KEEP_ALIVE,
            )
        except Exception as error:
            _close_forgotten(error)
            raise
    connection.autocommit = False
    # The driver holds the limit of the start for one of every answer: no COPY would be that quick.
    connection._usock.settimeout(None)
    return connection


def _driver() -> Any:
    try:
        import redshift_connector
    except ImportError as error:
        raise ConfigError(
            f"Redshift needs a package that is not installed: {error.name}",
            hint='pip install "ess-dask[redshift]"',
        ) from None
    log = logging.getLogger("redshift_connector")
    if log.level == logging.NOTSET:
        # At DEBUG it writes down every message, statements and rows; only who asks for it gets it.
        log.setLevel(logging.INFO)
    return redshift_connector


def _close_forgotten(error: Exception) -> None:
    """Close the socket of a start that failed: the driver leaves it to the garbage collector."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get("self")
        for name in ("_sock", "_usock"):
            with suppress(OSError, ValueError):
                if found := getattr(owner, name, None):
                    found.close()


def _status(address: Address) -> str:
    """Return AWS's word for the cluster's state; '' when it cannot be asked for."""
    with suppress(EssError):
        endpoint = endpoint_of(address, _STATUS_SECONDS)
        return endpoint.status if endpoint else ""
    return ""


def _unavailable(error: EssError, address: Address, status: str) -> TransientError:
    message = f"{error.message}; the cluster {address.named} is {status}"
    if status == "paused":
        return paused(message, address.named)
    return TransientError(message, hint="try again when it is available")
