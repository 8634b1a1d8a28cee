"""A connection that is refused, silent, cut at every byte, or answered by no Redshift at all."""

import gc
import socket
import struct
import threading
import time
import warnings
from contextlib import contextmanager, suppress

import pytest

from ess_dask.errors import AccessError, ConfigError
from ess_dask.secret import Secret
from ess_dask.testing.s3 import free_port
from ess_dask.warehouse.redshift.connection import (
    LostConnectionError,
    connect,
    open_connection,
    translating,
)
from ess_dask.warehouse.redshift.credentials import Credentials
from ess_dask.warehouse.redshift.url import Address, parse_url

ETL = Credentials("etl", Secret("Canary-5f3c"), "a test")


def message(code, body):
    return code + struct.pack("!i", len(body) + 4) + body


READY = message(b"Z", b"I")
START = (
    message(b"R", struct.pack("!i", 0))
    + message(b"S", b"server_version\x008.0.2\x00")
    + message(b"K", struct.pack("!ii", 1, 2))
    + READY
)
REFUSED = message(b"E", b"SFATAL\x00C28000\x00Mpassword authentication failed\x00\x00")
ANSWER = (
    message(b"1", b"")
    + message(b"t", b"\x00\x00")
    + message(b"T", b"\x00\x01a\x00" + struct.pack("!ihihih", 0, 0, 23, 4, -1, 0))
    + READY
    + message(b"2", b"")
    + message(b"D", b"\x00\x01\x00\x00\x00\x011")
    + message(b"C", b"SELECT\x00")
    + READY
)


@contextmanager
def server(*answers, then="close"):
    """Answer each thing that a client says with the next bytes, then close, reset or keep quiet."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                peer.settimeout(20)
                for answer in answers:
                    peer.recv(1 << 16)
                    peer.sendall(answer)
                if then == "silent":
                    over.wait(20)
                elif then == "reset":
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Address(
            host="127.0.0.1", port=listener.getsockname()[1], database="dev", user="etl", ssl=False,
            timeout=5.0,
        )  # fmt: skip
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def no_leak():
    """Fail when a socket is left to the garbage collector."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(each.message) for each in caught if each.category is ResourceWarning] == []


def test_a_start_that_is_cut_at_any_byte_is_a_lost_connection():
    for then in ("close", "reset"):
        for end in range(len(START) - len(READY)):
            with server(START[:end], then=then) as address:
                with pytest.raises(LostConnectionError) as caught:
                    open_connection(address, ETL)
                assert f"etl@127.0.0.1:{address.port}/dev" in caught.value.message
                assert "Canary" not in f"{caught.value}{caught.value.__dict__}"


def test_an_answer_that_is_cut_at_any_byte_is_a_lost_connection():
    for end in range(len(ANSWER) - len(READY)):
        with server(START, ANSWER[:end]) as address:
            connection = open_connection(address, ETL)
            connection.autocommit = True
            with pytest.raises(LostConnectionError), translating("the answer"):
                connection.cursor().execute("select 1")
            with suppress(Exception):
                connection.close()


def test_a_server_that_says_nothing_is_given_up_in_time():
    with server(b"", then="silent") as address:
        began = time.monotonic()
        quick = parse_url(f"redshift://etl@127.0.0.1:{address.port}/dev?ssl=false&timeout=0.3")
        with pytest.raises(LostConnectionError, match="no answer in time"):
            open_connection(quick.address, ETL)
        assert time.monotonic() - began < 3


def test_an_answer_may_take_longer_than_the_start():
    with server(START, then="silent") as address:
        connection = open_connection(address, ETL)
        assert connection._usock.gettimeout() is None
        assert connection.autocommit is False
        connection.close()


def test_a_refused_password_is_no_lost_connection():
    with server(REFUSED) as address, pytest.raises(AccessError, match="password was refused"):
        open_connection(address, ETL)


def test_a_server_without_tls_is_named_as_such():
    with server(b"N") as address:
        secure = parse_url(f"redshift://etl@127.0.0.1:{address.port}/dev").address
        with pytest.raises(ConfigError, match="does not speak TLS") as caught:
            open_connection(secure, ETL)
        assert "ssl=false" in caught.value.hint


def test_nobody_listens():
    address = Address(host="127.0.0.1", port=free_port(), database="dev", user="etl", ssl=False)
    began = time.monotonic()
    with pytest.raises(LostConnectionError, match=r"refused \(tried for \d+\.\d s\)"):
        connect(parse_url(f"redshift://etl:x@127.0.0.1:{address.port}/dev").address, wait=1.0)
    assert 0.2 < time.monotonic() - began < 10


def test_a_server_that_comes_up_late_is_waited_for():
    port = free_port()
    address = Address(
        host="127.0.0.1", port=port, database="dev", user="etl", password=Secret("x"), ssl=False
    )
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))

    def serve():
        time.sleep(0.6)
        listener.listen()
        peer, _ = listener.accept()
        with peer:
            peer.recv(1 << 16)
            peer.sendall(START)
            peer.recv(1 << 16)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        connect(address, wait=20.0).close()
    finally:
        thread.join(20)
        listener.close()


def test_an_unknown_host_is_named():
    address = parse_url("redshift://etl@nowhere.invalid/dev").address
    with pytest.raises(LostConnectionError, match=r"etl@nowhere\.invalid:5439/dev"):
        open_connection(address, ETL)


def test_the_driver_has_no_ipv6():
    with pytest.raises(ConfigError, match="IPv4 only"):
        open_connection(parse_url("redshift://etl@[::1]/dev").address, ETL)


def test_the_extra_may_be_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redshift_connector", None)
    with pytest.raises(ConfigError) as caught:
        open_connection(Address(host="h", port=1, database="d", user="u"), ETL)
    assert caught.value.hint == 'pip install "ess-dask[redshift]"'
