"""Requests byte by byte, as no client would write them."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.compat.servers import LIMIT


class Raw(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


def send(
    port: int,
    request: str,
    headers: Sequence[str] = (),
    body: bytes = b"",
    address: str = "127.0.0.1",
    secure: ssl.SSLContext | None = None,
) -> Raw:
    """Send `METHOD target` with exactly these headers beside a length; the connection ends with the answer."""
    head = [f"{request} HTTP/1.1", *headers, "Connection: close", f"Content-Length: {len(body)}", "", ""]
    plain = socket.create_connection((address, port), LIMIT)
    with plain, secure.wrap_socket(plain) if secure else plain as connection:
        connection.sendall("\r\n".join(head).encode("latin-1") + body)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    lines, _, content = answer.partition(b"\r\n\r\n")
    status, *named = lines.decode("latin-1").split("\r\n")
    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in named)}
    return Raw(int(status.split()[1]), found, content)


@dataclass
class Receiver:
    """A web server on every address of this machine; `calls` are the heads of what it was sent."""

    port: int
    calls: list[str] = field(default_factory=list)


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver of webhooks that acknowledges all of them."""
    receiver = Receiver(0)

    class Acknowledging(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.calls.append(self.requestline)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("0.0.0.0", 0), Acknowledging) as server:
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
