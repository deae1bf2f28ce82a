"""The connection under a request: how it is written to, broken by an answer, and noticed to be gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_GOODBYE = 0.1
"""Seconds that a TLS client has to say goodbye when the server ends."""
EXTENSION = "emulator.connection"
LAST_ANSWERS = 2
"""Seconds that open requests have to be answered, and their answers to be read, once every wait was ended."""
_LARGE = 64 * 1024
"""Bytes that are not copied to be sent in one call."""
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: what is closed so is reset, and what was not sent yet is lost."""


class JoiningTransport:
    """A transport that sends the head of an answer with what is written next, if that comes in the same step.

    uvicorn writes head and body one by one: two system calls, of which each takes as long as
    a tenth of everything else that a small job needs.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send the data, now or in this step's end."""
        head, self._head = self._head, b""
        if not head and data.startswith(b"HTTP/"):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        if head and len(data) < _LARGE:
            data = head + data
        elif head:
            self._transport.write(head)
        self._transport.write(data)

    def close(self) -> None:
        """Close once all is sent."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self._head = b""
        self._transport.abort()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)


class BreakableProtocol(HttpToolsProtocol):
    """HTTP whose requests can reach their connection: the scope's extension holds `reset`, `close` and `left`.

    `left` takes what is to be called when the client leaves before its answer; while a
    body is not read whole, its leaving may stay unnoticed.
    """

    _is_last = _is_lost = False
    _on_left: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        joining: Any = JoiningTransport(transport, self.loop)
        super().connection_made(joining)
        self._extensions: dict[str, dict[object, object]] = {
            EXTENSION: {"reset": self._reset, "close": joining.close, "left": self._call_when_left}
        }

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        super().connection_lost(exc)
        self._is_lost = True
        on_left, self._on_left = self._on_left, None
        if on_left is not None:
            on_left()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions

    def shutdown(self) -> None:
        """End with the server: at once when idle, else with the answer."""
        super().shutdown()
        self._is_last = True
        self._hang_up()
        if not self.transport.is_closing():
            self.loop.call_later(LAST_ANSWERS, self.transport.abort)

    def on_response_complete(self) -> None:
        """Go on with the next request, or end."""
        self._on_left = None
        super().on_response_complete()
        if self._is_last:
            self._hang_up()

    def _hang_up(self) -> None:
        """Do not wait for long until a TLS client says goodbye too: one that keeps its connection unread never does."""
        if self.scheme == "https" and self.transport.is_closing():
            self.loop.call_later(_GOODBYE, self.transport.abort)

    def _call_when_left(self, on_left: Callable[[], None]) -> None:
        if self._is_lost:
            on_left()
            return
        self._on_left = on_left
        if not self.pipeline:
            self.flow.resume_reading()  # uvicorn may have paused within the body: who is not read never leaves

    def _reset(self) -> None:
        transport = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(transport.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()


async def break_off(scope: Scope, receive: Receive, how: str) -> None:
    """End the connection: `reset` it, or `close` it once all is sent.

    Raises ConnectionResetError where the connection is out of reach.
    """
    ways: dict[str, Any] | None = (scope.get("extensions") or {}).get(EXTENSION)
    if ways is None:
        raise ConnectionResetError("a fault ends the connection here")
    ways[how]()
    while (await receive())["type"] != "http.disconnect":
        pass
