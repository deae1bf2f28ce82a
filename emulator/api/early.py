"""What a client sends behind the handshake of a WebSocket before that is answered.

It has to wait (RFC 6455, 4.1). What it sends all the same is kept for the WebSocket, or dropped with a refusal: the
web server would fail the connection over what is no frame, and the client would not see why it was refused.
"""

from __future__ import annotations

import asyncio
from typing import Any

_MOST = 64 * 1024
"""Bytes that are kept; with more the connection is broken when the WebSocket begins."""


class Early(asyncio.Protocol):
    """Stands before the protocol of a WebSocket until that has begun, or for ever."""

    def __init__(self, transport: Any, behind: Any) -> None:
        self._transport = transport
        self._behind = behind
        self._held: bytes | None = b""
        transport.switched = self._go_on
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Keep what comes, while there is room."""
        if self._held is not None:
            self._held = self._held + data if len(self._held) + len(data) <= _MOST else None

    def _go_on(self) -> None:
        if self._transport.is_closing():
            return
        if self._held is None:
            self._transport.abort()
            return
        self._transport.set_protocol(self._behind)
        if self._held:
            self._behind.data_received(self._held)

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        ends: bool | None = self._behind.eof_received()
        return ends

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._behind.connection_lost(exc)

    def pause_writing(self) -> None:
        """Too much lies unsent."""
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._behind.resume_writing()
