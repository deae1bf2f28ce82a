"""What one client sends, read ahead just so far that its leaving is noticed."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.requests import Request
from starlette.types import Message, Receive

from runpod_emulator.http.bodies import BODY, Beginning, Rest, has_body
from runpod_emulator.http.call import HttpCaller

_AHEAD = 256 * 1024
"""Bytes that are kept before anybody wants them; until more are wanted a leaving stays unnoticed."""


class ReadAhead:
    """The messages of one request or WebSocket. `left` is done once the client has hung up.

    `has_body` is False for what has none that the journal could keep.
    """

    def __init__(self, receive: Receive, has_body: bool = True) -> None:
        self._source = receive
        self._kept: deque[Message] = deque()
        self._held = 0
        self.beginning = Beginning() if has_body else None
        """Of the body, for the journal; None where it keeps none."""
        self._changed = asyncio.Event()
        self._last: Message | None = None
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pump = asyncio.ensure_future(self._read())

    async def receive(self) -> Message:
        """The next message; the one that says that the client has left comes again and again."""
        while not self._kept and self._last is None:
            self._changed.clear()
            await self._changed.wait()
        if not self._kept:
            assert self._last is not None
            return self._last
        message = self._kept.popleft()
        self._held -= _size(message)
        self._changed.set()
        return message

    def caller(self, request: Request) -> HttpCaller:
        """The client of the request whose messages these are: they tell of its leaving."""
        caller = HttpCaller(request, is_watched=True)
        self.left.add_done_callback(lambda left: None if left.cancelled() else caller.hang_up())
        return caller

    async def keep_body(self, request: Request, beginning: Beginning) -> None:
        """Leave the body of a request that was refused for the journal, as far as it comes at once."""
        if BODY in request.scope or not has_body(request.scope):
            return
        rest: Rest = request.app.state.rest
        await rest.wait_for(self._until_kept(beginning))
        beginning.put(request.scope)

    async def _until_kept(self, beginning: Beginning) -> None:
        while not beginning.is_over:
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """Read no more."""
        self._pump.cancel()

    async def _read(self) -> None:
        while self._last is None:
            message = await self._source()
            if message["type"].endswith(".disconnect"):
                self._last = message
                self.left.set_result(None)
                if self.beginning is not None:
                    self.beginning.is_lost = True
            else:
                self._kept.append(message)
                if self.beginning is not None:
                    self.beginning.take(message)
                self._held += _size(message)
            self._changed.set()
            while self._held > _AHEAD:
                self._changed.clear()
                await self._changed.wait()


def _size(message: Message) -> int:
    """Bytes of a part of a body, or of a message of a WebSocket, and what keeping it takes."""
    return 1024 + sum(len(message.get(name) or "") for name in ("body", "bytes", "text"))
