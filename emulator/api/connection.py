"""The connection under a request, for answers that must break it."""

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
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: what is closed so is reset, and what was not sent yet is lost."""


class BreakableProtocol(HttpToolsProtocol):
    """HTTP whose requests can reach their connection: the scope's extension holds `reset`, `close` and `left`.

    `left` takes what is to be called when the client leaves before its answer; while a
    body is not read whole, its leaving may stay unnoticed.
    """

    _is_last = False
    _on_left: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(transport)
        self._extensions: dict[str, dict[object, object]] = {
            EXTENSION: {"reset": self._reset, "close": transport.close, "left": self._call_when_left}
        }

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        super().connection_lost(exc)
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
        self._on_left = on_left

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
