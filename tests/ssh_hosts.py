"""Hosts to log in to: real ssh servers on loopback addresses, each with a home of its own."""

import asyncio
import os
import signal
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

USER = "worker"


@dataclass
class SshHost:
    """One server: where it listens, and the home in which its commands run."""

    address: str
    port: int
    home: Path


@dataclass
class SshHosts:
    """Some hosts that accept one key."""

    folder: Path
    key: Path
    hosts: list[SshHost] = field(default_factory=list)
    port: int = 0

    @property
    def addresses(self):
        return [host.address for host in self.hosts]

    def processes(self):
        """Return {process id: command line} of all that runs below the hosts' homes."""
        return processes_below(self.folder)

    def end(self):
        end_below(self.folder)


@contextmanager
def ssh_hosts(folder, count=2, key="", first=2):
    """Serve ``count`` hosts at 127.0.0.2, 127.0.0.3, ... on one port; all ends with it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = asyncssh.generate_private_key("ssh-ed25519")
    path = folder / f"{key or 'key'}.pem"
    made.write_private_key(path)
    path.chmod(0o600)
    hosts = SshHosts(folder, path)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers = []
    try:
        for number in range(first, first + count):
            home = folder / f"host{number}"
            home.mkdir()
            starting = asyncio.run_coroutine_threadsafe(
                _serve(f"127.0.0.{number}", hosts.port, home, made), loop
            )
            servers.append(starting.result(20))
            hosts.port = servers[-1].get_port()
            hosts.hosts.append(SshHost(f"127.0.0.{number}", hosts.port, home))
        yield hosts
    finally:
        for server in servers:
            asyncio.run_coroutine_threadsafe(_close(server), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
        hosts.end()


async def _serve(address, port, home, key):
    async def handle(process):
        await _run(process, home)

    return await asyncssh.listen(
        address,
        port,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=asyncssh.import_authorized_keys(key.export_public_key().decode()),
        process_factory=handle,
        encoding=None,
        reuse_address=True,
    )


async def _run(process, home):
    """Run the command as sshd does: by the login shell, in the user's home."""
    child = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        process.command or "true",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "USER": USER},
    )
    out, err = await child.communicate(await process.stdin.read())
    process.stdout.write(b"Welcome to this host.\n" + out)
    process.stderr.write(err)
    process.exit(child.returncode)


async def _close(server):
    server.close()
    await server.wait_closed()


def free_port(address="127.0.0.1"):
    """Return a port that nobody listens at."""
    with socket.socket() as asking:
        asking.bind((address, 0))
        return asking.getsockname()[1]


def processes_below(folder):
    """Return {process id: command line} of the processes that work in a folder."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = os.readlink(path.with_name("cwd"))
        except OSError:
            continue
        if place.startswith(str(folder)) and int(path.parent.name) != os.getpid():
            found[int(path.parent.name)] = words
    return found


def end_below(folder):
    """Kill what still works in a folder."""
    for pid in processes_below(folder):
        os.kill(pid, signal.SIGKILL)
