"""Two connections joined: what comes on one is sent on the other, until one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import NamedTuple

_PIECE = 64 * 1024
"""Bytes that are read at once; about twice as many are kept for a client that does not read."""
_LAST_READ, _FAREWELL = 60.0, 1.0
"""Seconds that a client may take to read the end of its answer, and to close then: closed at once it might lose it."""
_MOST_DROPPED = 1 << 20
"""Bytes that a client may go on sending meanwhile."""
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: what is closed so is reset."""
_HANDSHAKE = 48
"""Bytes below which what a client says after the first words of a server is an alert, and no end of a handshake: that
has at least 58 (TLS 1.3), or a key of 32 and what is around it (TLS 1.2)."""
_LOST = (OSError, RuntimeError)
"""What reading and writing raise where the other end is gone; uvloop's transports raise the second."""


class Side(NamedTuple):
    """One of the two connections."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def abort(self) -> None:
        """End it at once."""
        self.writer.transport.abort()

    def end(self) -> None:
        """End it, with what is on its way already; what still waits for a client that does not read is lost."""
        if self.writer.transport.get_write_buffer_size():
            self.abort()
        else:
            self.writer.close()

    def reset(self) -> None:
        """Break it, so that the other end sees a reset."""
        with contextlib.suppress(OSError):
            found = self.writer.get_extra_info("socket")
            with socket.socket(fileno=os.dup(found.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.abort()

    async def take_leave(self) -> None:
        """End it once all is sent and seen, or not for long."""
        with contextlib.suppress(*_LOST, asyncio.TimeoutError):
            self.writer.transport.set_write_buffer_limits(0)
            await asyncio.wait_for(self.writer.drain(), _LAST_READ)
            if self.writer.can_write_eof():
                self.writer.write_eof()
            await asyncio.wait_for(self._until_end(), _FAREWELL)

    async def _until_end(self) -> None:
        dropped = 0
        while dropped < _MOST_DROPPED and (data := await self.reader.read(_PIECE)):
            dropped += len(data)


class Relay:
    """A client and a server that are joined; whoever does not read is not read for either.

    `said` is what the client has said already. One that sends no more has left: proxies take it so, since a half-closed
    connection of HTTP is rare.
    """

    def __init__(self, client: Side, server: Side, said: bytes = b"") -> None:
        self._client, self._server = client, server
        server.writer.write(said)
        self._said = len(said)
        self._said_first = 0
        self.is_answered = self._is_broken = False
        self.ended = asyncio.Event()
        """Set when the server has said its last, and all of it is on its way to the client."""

    @property
    def is_silent(self) -> bool:
        """Whether neither side has said anything yet."""
        return not (self._said or self.is_answered)

    @property
    def is_untrusted(self) -> bool:
        """Whether the client has left in the middle of a TLS handshake, once it had seen the certificate."""
        return self.is_answered and self._said - self._said_first < _HANDSHAKE

    async def run(self) -> None:
        """Carry both ways until one side has ended."""
        up, down = asyncio.ensure_future(self._carry_up()), asyncio.ensure_future(self._carry_down())
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if up.done() and not up.result():  # the server reads no more: it may have answered all the same
                await down
        finally:
            self.ended.set()
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        if self._is_broken:
            self._client.reset()
        elif down.done() and not down.cancelled():
            await self._client.take_leave()

    async def _carry_up(self) -> bool:
        """Carry what the client says; True when it has left, False where the server takes no more."""
        while True:
            try:
                data = await self._client.reader.read(_PIECE)
            except _LOST:
                return True
            if not data:
                return True
            self._said += len(data)
            try:
                self._server.writer.write(data)
                await self._server.writer.drain()
            except _LOST:
                return False

    async def _carry_down(self) -> None:
        """Carry what the server says, until it or the client has ended."""
        while True:
            try:
                data = await self._server.reader.read(_PIECE)
            except _LOST:
                self._is_broken = True
                return
            if not data:
                return
            if not self.is_answered:
                self.is_answered, self._said_first = True, self._said
            try:
                self._client.writer.write(data)
                await self._client.writer.drain()
            except _LOST:
                return
