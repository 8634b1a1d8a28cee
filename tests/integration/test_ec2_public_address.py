"""Whom a new cluster lets in when nobody says it: the address that a service on the internet tells.

The service is played on loopback with a certificate of its own; nothing else is asked.
"""

import http.server
import socket
import ssl
import threading
import time
import urllib.request

import pytest
import trustme

from ess_dask.cluster.ec2 import security_group
from ess_dask.errors import TransientError
from ess_dask.settings import Settings

HINT = "set ESS_MY_ADDRESS to the address from which you connect"


class Service(http.server.ThreadingHTTPServer):
    """Answers every question with ``answer`` (a whole answer of HTTP), or does not."""

    answer = b""
    daemon_threads = True

    def __init__(self, certificate):
        super().__init__(("127.0.0.1", 0), Asked)
        self.closing = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server_port}"

    def says(self, text, status="200 OK"):
        body = text if isinstance(text, bytes) else text.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.answer = head.encode() + body


class Asked(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if not self.server.answer:
            self.server.closing.wait(30)
        self.wfile.write(self.server.answer)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def service(authority, tmp_path, monkeypatch):
    """Give the service, trusted, and no proxy on the way to it."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    # What it once found in the environment it would keep for the whole process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with Service(authority.issue_cert("127.0.0.1")) as server:
        monkeypatch.setattr(security_group, "ASK", server.url)
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def refusal():
    """Ask which network to let in, in vain; return why, after checking that it says what to do."""
    with pytest.raises(TransientError) as caught:
        security_group.caller_network(Settings())
    assert caught.value.exit_code == 1
    assert caught.value.hint == HINT
    assert caught.value.message.startswith(f"{security_group.ASK} does not say which address")
    return caught.value.message


def test_the_address_that_is_told_is_let_in_and_no_other(service):
    service.says("203.0.113.7\n")
    assert security_group.caller_network(Settings()) == "203.0.113.7/32"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<html>Please sign in</html>", "<html>Please sign in</html>"),
        ("", "''"),
        ("2001:db8::7", "2001:db8::7"),
        ("203.0.113.7, 198.51.100.2", "203.0.113.7, 198.51.100.2"),
        # A network is what a person may say, not a stranger.
        ("203.0.0.0/8", "203.0.0.0/8"),
        (b"\xff\xfe\x00", "\\x00"),
    ],
)
def test_an_answer_that_is_no_address_lets_nobody_in(service, text, shown):
    service.says(text)
    assert shown in refusal()


def test_an_endless_answer_is_not_read_to_its_end(service):
    service.says("7" * 1_000_000)
    assert len(refusal()) < 200


def test_a_service_that_is_out_of_order_is_told(service):
    service.says("busy", status="503 Service Unavailable")
    assert "HTTP 503 Service Unavailable" in refusal()
    service.answer = b"SSH-2.0-OpenSSH_9.6\r\n"
    assert "SSH-2.0" in refusal()


def test_nobody_waits_for_a_service_that_does_not_answer(service, monkeypatch):
    assert security_group._ASK_SECONDS <= 10
    monkeypatch.setattr(security_group, "_ASK_SECONDS", 0.3)
    began = time.monotonic()
    assert "timed out" in refusal()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(security_group, "ASK", f"https://127.0.0.1:{silent.getsockname()[1]}")
        assert "timed out" in refusal()
    assert time.monotonic() - began < 5


def test_a_service_with_another_certificate_is_not_believed(service, tmp_path, monkeypatch):
    service.says("198.51.100.66")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    assert "certificate verify failed" in refusal()


def test_without_a_network_and_with_a_wrong_proxy(service, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(security_group, "ASK", f"https://127.0.0.1:{port}")
    assert "refused" in refusal()
    for proxy in ("http:/anna:sesame", "http://anna:sesame"):
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.setattr(urllib.request, "_opener", None)
        told = refusal()
        assert "the proxy in HTTPS_PROXY is not a URL" in told and "sesame" not in told
