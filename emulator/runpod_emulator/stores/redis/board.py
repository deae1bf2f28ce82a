"""The board of one world: a stream with the last pieces. What is put within a tenth of a second goes out at once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.stores.redis.connection import Connection
from runpod_emulator.stores.redis.transitions import KEPT

log = logging.getLogger("runpod_emulator")

LATER = 0.1
"""Seconds until a piece goes out."""
AT_ONCE = 1_000
"""Pieces that go out together; of more in that time the last ones do."""
BATCHES = 500
"""Batches that the stream holds."""
PAST = 50
"""Batches of before that who begins is told."""
_pieces = msgspec.msgpack.Decoder(list[bytes])
_written = msgspec.msgpack.Encoder()


class RedisBoard:
    """The board of the world whose keys begin with `world`, for the server `owner`."""

    def __init__(self, connection: Connection, world: str, owner: str) -> None:
        self.key = f"{world}:board"
        self._connection = connection
        self._owner = owner.encode()
        self._listeners: list[Callable[[bytes], None]] = []
        self._waiting: deque[bytes] = deque(maxlen=AT_ONCE)
        self._alarm: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def put(self, piece: bytes) -> None:
        """Tell the others, soon."""
        self._waiting.append(piece)
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(LATER, self._ring)

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Call `listener` with each piece of another server."""
        self._listeners.append(listener)

    async def begin(self) -> str:
        """Tell the last pieces of before; returns the number behind which those to come are."""
        entries = await self._connection.do("XREVRANGE", self.key, "+", "-", "COUNT", PAST)
        for _, fields in reversed(entries):
            self.heard(fields)
        return entries[0][0].decode() if entries else "0-0"

    def heard(self, fields: Mapping[bytes, bytes]) -> None:
        """A batch has come; what this server has put itself, it knows."""
        if fields[b"by"] == self._owner:
            return
        for piece in _pieces.decode(fields[b"pieces"]):
            for listener in self._listeners:
                listener(piece)

    async def close(self) -> None:
        """Send what waits."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._sending is not None:
            await asyncio.wait([self._sending])
        await self._send()

    def _ring(self) -> None:
        self._alarm = None
        self._sending = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        if not self._waiting:
            return
        pieces = _written.encode(list(self._waiting))
        self._waiting.clear()
        added = ("XADD", self.key, "MAXLEN", "~", BATCHES, "*", "by", self._owner, "pieces", pieces)
        try:
            await self._connection.all([added, ("PEXPIRE", self.key, KEPT)])
        except Unavailable:  # these are lost: a record of them is kept here
            log.debug("the others were not told of %d bytes", len(pieces))
