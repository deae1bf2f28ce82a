"""An answer instead of what was asked for; to a handshake of a WebSocket it is written past the web server.

What that makes of one to a handshake depends on its version: one adds a second
Content-Length, all keep the body until it is whole, none knows reasons or a status above 599.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from http.client import responses

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from runpod_emulator.http.connection import break_off, ways_of

RawHeaders = list[tuple[bytes, bytes]]


def header_lines(headers: RawHeaders) -> bytes:
    """Headers as they are sent."""
    return b"".join(b"%b: %b\r\n" % pair for pair in headers)


async def refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    """Send the response; where a handshake is not answered yet, end the connection with it."""
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    ways = ways_of(scope)
    if ways is None:
        await response(scope, receive, send)
        for _ in range(2):  # some web servers take an earlier return for a mistake
            if (await receive())["type"] == "websocket.disconnect":
                return
        return
    as_request = {**scope, "type": "http", "method": "GET"}
    await response(as_request, receive, _Writing(ways["write"]))
    ways["head"](lambda head: b"")
    await break_off(scope, receive, "close")
    with contextlib.suppress(OSError):  # it is closed; some versions wait for this all the same
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})


class _Writing:
    """Writes the messages of an answer as HTTP/1.1; without a length in chunks, so that its end is seen."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._is_chunked = False

    async def __call__(self, message: Message) -> None:
        """Write a head, or a part of the body."""
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
        elif not self._is_chunked:
            self._write(message.get("body", b""))
        else:
            body, is_last = message.get("body", b""), not message.get("more_body", False)
            self._write((b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if is_last else b""))

    def _begin(self, status: int, headers: RawHeaders) -> None:
        has_length = any(name == b"content-length" for name, _ in headers)
        self._is_chunked = not has_length and status not in (101, 204, 304)
        coding = b"transfer-encoding: chunked\r\n" if self._is_chunked else b""
        line = b"HTTP/1.1 %d %b\r\n" % (status, responses.get(status, "").encode())
        self._write(line + header_lines(headers) + coding + b"connection: close\r\n\r\n")
