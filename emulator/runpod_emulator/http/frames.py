"""What a client sends on a WebSocket: kept until its handshake is answered, and handed on in small pieces then.

Before the answer it has to wait (RFC 6455, 4.1). What it sends all the same is kept for the WebSocket, or dropped
with a refusal: the web server would fail the connection over what is no frame, and the client would not see why.

Afterwards the web server's parser takes all frames of one read in one go, and control frames, empty ones and parts of
messages meet no bound there: 300,000 of them, 2 MB, kept everybody waiting for a second. So others have a turn after
each 16 KiB, and meanwhile no more is read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from runpod_emulator.effects.before import Before

_MOST_EARLY = 64 * 1024
"""Bytes that are kept before the answer; with more the connection is broken when the WebSocket begins."""
_PIECE = 16 * 1024
"""Bytes that are parsed in one go: no more than 8,000 empty frames, some 15 ms of work."""


class Frames(Before):
    """Stands before the protocol of a WebSocket."""

    def __init__(self, transport: Any, behind: Any) -> None:
        super().__init__(transport, behind)
        self._loop = asyncio.get_running_loop()
        self._held = memoryview(b"")
        self._has_begun = self._is_too_much = self._is_due = False
        transport.switched = self._begin
        transport.resumed = self._go_on

    def data_received(self, data: bytes) -> None:
        """Keep what comes, or hand it on."""
        if not self._has_begun and len(self._held) + len(data) > _MOST_EARLY:
            self._is_too_much, data = True, b""
        if not self._has_begun or self._held or len(data) > _PIECE or self._transport.is_held:
            self._held = memoryview(bytes(self._held) + data if self._held else data)
            self._go_on()
        else:
            self._behind.data_received(data)

    def _begin(self) -> None:
        self._has_begun = True
        if self._is_too_much and not self._transport.is_closing():
            self._transport.abort()
        self._go_on()

    def _go_on(self) -> None:
        """Hand on the next piece in the loop's next step, or read on where there is none."""
        if not self._has_begun or self._is_due or self._transport.is_held:
            return
        if self._held:
            self._transport.hold_reading()
            self._is_due = True
            self._loop.call_soon(self._next_piece)
        else:
            self._transport.read_on()

    def _next_piece(self) -> None:
        self._is_due = False
        if self._transport.is_held or self._transport.is_closing():
            return
        piece, self._held = bytes(self._held[:_PIECE]), self._held[_PIECE:] or memoryview(b"")
        self._behind.data_received(piece)
        self._go_on()
