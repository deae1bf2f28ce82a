"""The load balancer changes no byte of a header's value, of a path or of a query, in either direction."""

from __future__ import annotations

import re
import sys

import pytest

from tests.compat.servers import Starter, until
from tests.security.sockets import connect, read_all

pytestmark = pytest.mark.compat

WORKER = r"""
import os, socket

listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    connection, _ = listener.accept()
    head = b""
    while b"\r\n\r\n" not in head and (part := connection.recv(65536)):
        head += part
    if head.startswith(b"GET /ping"):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    elif head:
        with open("seen", "ab") as seen:
            seen.write(head)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + open("headers", "rb").read() + b"content-length: 2\r\n\r\nok")
    connection.close()
"""
HEADERS = (
    b"x-latin: \xe9\r\nx-utf: \xc3\xa9\r\nx-bytes: \x80\xff\xc3\xa9\xed\xa0\x80\r\nx-private: "
    b"\xf4\x8f\xbe\x80 \xf4\x8f\xbf\xbf\r\nx-twice: 1\r\nx-other: 2\r\nx-twice: \xff\r\nx-tab: a\tb\r\n"
    b"x-long: " + b"\xe9" * 5_000 + b"\r\nx-empty: \r\n"
)
PATH = b'/a%2Fb/%C3%a9/../x//y%e9?q=%e9&%c3%A9&"<>'
UPGRADE = (
    b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)  # fmt: skip


@pytest.mark.parametrize("more", [b"", UPGRADE], ids=["request", "WebSocket"])
def test_header_values_pass_as_they_came(start: Starter, more: bytes):
    server = start("serve", "--load-balancer", f"web={sys.executable} w.py", "--port", 0)
    for name, text in (("w.py", WORKER.encode()), ("headers", HEADERS), ("seen", b"")):
        (server.folder / name).write_bytes(text)
    server.ready()
    with connect(server) as connection:
        connection.sendall(
            b"GET /lb/web" + PATH + b" HTTP/1.1\r\nhost: x\r\nauthorization: k\r\n" + more + HEADERS
            + (b"" if more else b"connection: close\r\n") + b"\r\n"
        )  # fmt: skip
        if more:
            until(lambda: b"\r\n\r\n" in (server.folder / "seen").read_bytes())
        answer = b"" if more else read_all(connection)
    seen = (server.folder / "seen").read_bytes()
    assert seen.startswith(b"GET " + PATH + b" HTTP/1.1\r\n")
    lines = re.findall(rb"(?m)^x-(?!forwarded|runpod).*\r\n", seen)
    assert b"".join(lines) == HEADERS
    if not more:
        assert HEADERS in answer and answer.endswith(b"ok")
