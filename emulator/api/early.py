"""What a client sends behind the handshake of a WebSocket before that is answered.

It has to wait (RFC 6455, 4.1). What it sends all the same is kept for the WebSocket, or dropped with a refusal: the
web server would fail the connection over what is no frame, and the client would not see why it was refused.
"""

from __future__ import annotations

from typing import Any

from emulator.effects.before import Before

_MOST = 64 * 1024
"""Bytes that are kept; with more the connection is broken when the WebSocket begins."""


class Early(Before):
    """Stands before the protocol of a WebSocket until that has begun, or for ever."""

    def __init__(self, transport: Any, behind: Any) -> None:
        super().__init__(transport, behind)
        self._held: bytes | None = b""
        transport.switched = self._go_on

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
