"""Messages of PostgreSQL's protocol, version 3: framing, and the few bodies that we look into."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Sequence
from contextlib import suppress

_CHUNK = 1 << 16
_LARGEST = 1 << 30
_COPY_DATA = ord("d")

CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104


class Peer:
    """One side of a proxied connection: a socket from which whole messages are taken.

    What is sent is collected until ``flush``, or until this side is waited for. A side that has
    gone, whenever it is noticed, is a ``ConnectionError``.
    """

    def __init__(self, sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX:
            # Else every message waits for the answer to the one before: 40 ms each.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._bytes = bytearray()
        self._unsent = bytearray()

    def has_message(self) -> bool:
        """Whether a message can be taken without waiting."""
        while not self._is_whole():
            pending = self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0
            if not pending:
                return False
            self.fill()
        return True

    def _is_whole(self) -> bool:
        return len(self._bytes) >= 5 and len(self._bytes) > _length(self._bytes, 1)

    def fill(self) -> None:
        """Read what has come; waits if nothing has."""
        self.flush()
        try:
            data = self.sock.recv(_CHUNK)
        except (OSError, ValueError) as error:
            raise ConnectionError(str(error)) from error
        if not data:
            raise ConnectionError("the other side has gone")
        self._bytes += data

    def take(self) -> tuple[bytes, bytes]:
        """Take one message, (kind, body), waiting for the rest of it."""
        while not self._is_whole():
            self.fill()
        end = 1 + _length(self._bytes, 1)
        kind, body = bytes(self._bytes[:1]), bytes(self._bytes[5:end])
        del self._bytes[:end]
        return kind, body

    def take_rows(self) -> list[bytes]:
        """Take the copied rows that are there already."""
        data, rows, at = bytes(self._bytes), [], 0
        size = len(data)
        while size >= at + 5 and data[at] == _COPY_DATA:
            end = at + 1 + _length(data, at + 1)
            if end > size:
                break
            rows.append(data[at + 5 : end])
            at = end
        del self._bytes[:at]
        return rows

    def take_startup(self) -> bytes:
        """Take the body of a first message, which has a length but no kind."""
        while len(self._bytes) < 4 or len(self._bytes) < _length(self._bytes, 0):
            self.fill()
        end = _length(self._bytes, 0)
        body = bytes(self._bytes[4:end])
        del self._bytes[:end]
        return body

    def send(self, kind: bytes, body: bytes | memoryview = b"") -> None:
        """Send one message; a large body is not copied."""
        if len(body) < _CHUNK:
            self.send_bytes(message(kind, bytes(body)))
            return
        self._unsent += _head(kind, len(body))
        self.flush()
        self._send_now(body)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._unsent += data
        if len(self._unsent) >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        """Let what was collected go out."""
        if not self._unsent:
            return
        data, self._unsent = self._unsent, bytearray()
        self._send_now(data)

    def _send_now(self, data: bytes | bytearray | memoryview) -> None:
        try:
            self.sock.sendall(data)
        except (OSError, ValueError) as error:
            raise ConnectionError(str(error)) from error

    def drain(self, seconds: float) -> bool:
        """Whether the other side ends the connection in time; what still comes is dropped."""
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.sock.settimeout(left)
                if not self.sock.recv(_CHUNK):
                    return True
        except TimeoutError:
            return False
        except (OSError, ValueError):
            return True
        return False

    def close(self) -> None:
        """End the connection at once; what is on its way may be lost."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def _length(data: bytearray | bytes, at: int) -> int:
    length = int(struct.unpack_from("!i", data, at)[0])
    if not 4 <= length <= _LARGEST:
        raise ConnectionError(f"a message of {length} bytes is none of this protocol")
    return length


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a framed message."""
    return _head(kind, len(body)) + body


def _head(kind: bytes, size: int) -> bytes:
    return kind + struct.pack("!i", size + 4)


def startup(code: int, parameters: dict[str, str]) -> bytes:
    """Return a start-up message with its parameters."""
    body = struct.pack("!i", code)
    body += b"".join(text(name) + text(value) for name, value in parameters.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def text(value: str) -> bytes:
    """Return a text as the protocol has it: UTF-8, ended by a zero byte."""
    return value.encode() + b"\0"


def split_text(body: bytes) -> tuple[str, bytes]:
    """Return the text at the start of a body, and the rest of the body."""
    head, _, rest = body.partition(b"\0")
    return head.decode("utf-8", "replace"), rest


def fields(body: bytes) -> dict[str, str]:
    """Return the fields of an error or a notice, by their letters."""
    return {
        part[:1].decode(): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part
    }


def fields_body(values: dict[str, str]) -> bytes:
    """Return the body of an error or a notice."""
    return b"".join(letter.encode() + text(value) for letter, value in values.items()) + b"\0"


def numbers(body: bytes) -> tuple[int, ...]:
    """Return the numbers of a list that begins with its length."""
    count = struct.unpack_from("!h", body)[0]
    return tuple(struct.unpack_from(f"!{count}I", body, 2))


def row(body: bytes) -> list[bytes | None]:
    """Return the values of a data row."""
    values: list[bytes | None] = []
    at = 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        length = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if length < 0 else body[at : at + length])
        at += max(length, 0)
    return values


def row_body(values: Sequence[bytes | None]) -> bytes:
    """Return the body of a data row."""
    parts = [struct.pack("!h", len(values))]
    parts += [
        struct.pack("!i", -1 if value is None else len(value)) + (value or b"") for value in values
    ]
    return b"".join(parts)
