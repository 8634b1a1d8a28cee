"""The stand-in as a whole: object storage, PostgreSQL, and the door in front of it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.testing.redshift.faults import Faults
from ess_dask.testing.redshift.handshake import Door, connect, open_client
from ess_dask.testing.redshift.journal import Journal
from ess_dask.testing.redshift.postgres import Postgres, postgres
from ess_dask.testing.redshift.session import Session, Surroundings
from ess_dask.testing.s3 import S3Server, moto_s3, rclone_s3

_DATABASE = "dev"
_USER = "awsuser"
_PASSWORD = "Stand-in-1"  # noqa: S105 - of a server on loopback that holds nothing
_ROLE = "arn:aws:iam::123456789012:role/ess-load"
_BUCKET = "ess-redshift"
_STOP_SECONDS = 10.0


@dataclass
class RedshiftServer:
    """A running stand-in; everything of it listens on 127.0.0.1 only.

    ``role`` is the one role that may read and write the ``bucket``. ``control_plane`` is the
    address of the AWS interfaces of redshift, sts and secretsmanager, where the store is moto.
    ``ca_file`` is the authority to trust, where the stand-in speaks TLS.
    """

    port: int
    s3: S3Server
    postgres: Postgres = field(repr=False)
    control_plane: str | None = None
    ca_file: Path | None = None
    host: str = "127.0.0.1"
    user: str = _USER
    password: str = field(default=_PASSWORD, repr=False)
    database: str = _DATABASE
    role: str = _ROLE
    bucket: str = _BUCKET
    faults: Faults = field(default_factory=Faults)

    @property
    def stage(self) -> str:
        """Where loads may put their files."""
        return f"s3://{self.bucket}/stage"

    @property
    def url(self) -> str:
        """The address for SQLAlchemy and for the product."""
        login = f"{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}"
        plain = "" if self.ca_file else "?ssl=false"
        return f"redshift+redshift_connector://{login}/{self.database}{plain}"

    @property
    def env(self) -> dict[str, str]:
        """Environment variables with which AWS clients talk to this S3 only."""
        return self.s3.env

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL in PostgreSQL itself, past the stand-in and its faults; committed at once."""
        with self.postgres.connect(self.database, self.user) as connection:
            cursor = connection.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def standin(
    folder: Path, store: str = "moto", *, tls: bool = False, keep: bool = False
) -> Iterator[RedshiftServer]:
    """Run a stand-in for Redshift; its data is below ``folder``, its S3 is moto's or rclone's.

    Moto's state is one for a whole process: there, run one stand-in with it at a time. ``keep``
    refuses a folder in which the data could not stay (see ``postgres``).
    Whatever it starts is ended with the block, and dies with the thread that entered it.
    """
    with ExitStack() as stack:
        s3 = _store(folder, store, stack)
        behind = stack.enter_context(postgres(folder / "postgres", keep=keep))
        _prepare(behind)
        journal = Journal(behind, _DATABASE)
        stack.callback(journal.close)
        context, ca_file = _authority(folder) if tls else (None, None)
        faults = Faults()
        door = Door(behind.port, behind.socket, context, with_iam=store == "moto")
        listener = _Listener(door, Surroundings(faults, journal, s3, _ROLE))
        stack.callback(listener.stop)
        yield RedshiftServer(
            port=listener.port,
            s3=s3,
            postgres=behind,
            control_plane=s3.endpoint if store == "moto" else None,
            ca_file=ca_file,
            faults=faults,
        )


def _store(folder: Path, store: str, stack: ExitStack) -> S3Server:
    if store == "moto":
        s3 = stack.enter_context(moto_s3())
        s3.client().create_bucket(Bucket=_BUCKET)
        return s3
    if store == "rclone":
        (folder / "s3" / _BUCKET).mkdir(parents=True, exist_ok=True)
        return stack.enter_context(rclone_s3(folder / "s3"))
    raise UsageError(f"{store!r} is no store of the stand-in", hint="moto or rclone")


def _prepare(behind: Postgres) -> None:
    """Make database, user and catalog, unless the folder has them from an earlier start."""
    with behind.connect("postgres") as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", (_DATABASE,))
        if found.fetchone():
            return
        connection.execute(f"create role {_USER} superuser login password '{_PASSWORD}'")
        connection.execute(f"create database {_DATABASE} owner {_USER}")
    with behind.connect(_DATABASE) as connection:
        connection.execute((Path(__file__).parent / "catalog.sql").read_text(encoding="utf-8"))


def _authority(folder: Path) -> tuple[ssl.SSLContext, Path]:
    from ess_dask.testing.redshift.authority import throwaway_authority

    return throwaway_authority(folder)


class _Listener:
    """Accepts clients, each in a thread of its own."""

    def __init__(self, door: Door, around: Surroundings) -> None:
        self._door = door
        self._around = around
        self._lock = threading.Lock()
        self._sockets: dict[threading.Thread, socket.socket] = {}
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, name="redshift-door", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(sock,), name="redshift-session", daemon=True
            )
            with self._lock:
                self._sockets[thread] = sock
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with suppress(ConnectionError, TimeoutError, ssl.SSLError):
                self._session(sock)
        finally:
            sock.close()
            with self._lock:
                self._sockets.pop(threading.current_thread(), None)

    def _session(self, sock: socket.socket) -> None:
        opened = open_client(sock, self._door)
        if opened is None:
            return
        client, parameters = opened
        try:
            backend = connect(client, parameters, self._door)
            if backend is not None:
                Session(self._around, client, *backend).run()
        finally:
            client.close()

    def stop(self) -> None:
        """Cut all clients off, and wait for the ends of their sessions."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(_STOP_SECONDS)
        self._listening.close()
        with self._lock:
            open_now = dict(self._sockets)
        for sock in open_now.values():
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in open_now:
            thread.join(_STOP_SECONDS)
