"""Sockets without a client behind them, and what an attack does to the server and to others meanwhile."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.compat.servers import Command

MIB = 1 << 20
PATIENCE = 20.0
"""Seconds that an answer is waited for."""


def connect(server: Command, url: str = "") -> socket.socket:
    """A connection to the server, or to where the URL says."""
    parts = urlsplit(url or server.root_url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), PATIENCE)


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """One request as it is on the wire."""
    head = [f"{method} {path} HTTP/1.1", "host: localhost", "authorization: any-key", f"content-length: {len(body)}"]
    return "\r\n".join([*head, *headers, "", ""]).encode() + body


def read_all(connection: socket.socket) -> bytes:
    """All that comes until the other side sends no more, or breaks off."""
    parts: list[bytes] = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(MIB):
            parts.append(part)
    return b"".join(parts)


def send_until_refused(connection: socket.socket, parts: Iterator[bytes]) -> int:
    """Send until the other side takes no more; returns how many bytes went out."""
    sent = 0
    with contextlib.suppress(ConnectionError, socket.timeout):
        for part in parts:
            connection.sendall(part)
            sent += len(part)
    return sent


def memory(server: Command) -> int:
    """Bytes of memory that the server's process holds."""
    fields = Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return int(fields[1]) * 4096


class Bystander:
    """Another client, who asks for something small all the time: `longest` is the seconds that one answer took."""

    def __init__(self, server: Command, path: str = "/v2/far/health") -> None:
        self._connection = connect(server)
        self._request = request("GET", path)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.answers = 0
        self.longest = 0.0

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE)
        self._connection.close()
        assert self.answers

    def _ask(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            self._connection.sendall(self._request)
            assert self._connection.recv(MIB).startswith(b"HTTP/1.1 200 ")
            self.longest = max(self.longest, time.monotonic() - began)
            self.answers += 1
            self._over.wait(0.001)
