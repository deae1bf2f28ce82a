"""What happens, for one reader of `GET /__emulator/events`, who may read slowly, or never.

While nobody reads, nobody is told. While somebody does, a piece of news costs hardly more than its place in a queue:
it is put into words as it is sent, in pieces, for which only a small part of the time is spent. What comes faster
waits, up to a bound, and what goes beyond that is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import orjson

from runpod_emulator.core.time.clock import work_time
from runpod_emulator.doors.admin.happenings import KINDS, Kind, Source
from runpod_emulator.world.world import World

MOST = 10_000
"""Pieces of news that wait to be read; of more, the oldest are left out."""
FEW = 1_000
"""The same of kinds that come with every request, of which the newest are left out: while they flood in, one that
nobody will read costs no more than a look at what waits."""
MOST_BYTES = 4 << 20
"""Of the texts among them that may be long."""
PAUSE = 0.05
"""Seconds between two pieces of what a reader is sent."""
WORK = 0.0004
"""Seconds of work for one piece: with PAUSE, less than a hundredth of the time."""


_Waiting = tuple[str, Callable[[Any], dict[str, Any]], Any, int]
"""A piece of news that waits to be read: its kind, what puts it into words, what was kept of it, and its bytes."""


class Feed:
    """What one reader has not read yet: news of the `kinds`, of endpoints that a pattern fits or of all."""

    def __init__(self, world: World, kinds: Iterable[Kind], endpoint: str | None) -> None:
        self._world = world
        self._news: deque[_Waiting] = deque()
        self._bytes = 0
        self._left_out = 0
        self._ready = asyncio.Event()
        self._alarm: asyncio.Handle | None = None
        self._sent_at = float("-inf")
        """When the last piece went out, by the loop's time."""
        source = Source(world, endpoint, self._put, self._is_crowded)
        self._effects = [KINDS[kind](source) for kind in dict.fromkeys(kinds)]

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Be told what happens until this is left."""
        with self._world.feeds.reading(self._ready.set), self._world.news.telling(self._effects):
            try:
                yield
            finally:
                if self._alarm is not None:
                    self._alarm.cancel()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Server-sent events, as they go out together, until the server stops; `left-out` says how many were missed."""
        room = self._world.room
        while not room.closed:
            await self._ready.wait()
            self._ready.clear()
            if self._news and not room.closed:
                yield self._piece()
                self._sent_at = asyncio.get_running_loop().time()
            self._alarm = None
            if self._news:
                self._wake()

    def _put(self, kind: str, written: Callable[[Any], dict[str, Any]], kept: Any, size: int = 0) -> None:
        news = self._news
        news.append((kind, written, kept, size))
        self._bytes += size
        if len(news) > MOST or self._bytes > MOST_BYTES:
            self._bytes -= news.popleft()[3]
            self._left_out += 1
        if self._alarm is None:
            self._wake()

    def _is_crowded(self) -> bool:
        crowded = len(self._news) >= FEW
        self._left_out += crowded
        return crowded

    def _wake(self) -> None:
        """Send what waits: in the next turn of the loop, or PAUSE after the last piece."""
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(max(loop.time(), self._sent_at + PAUSE), self._ready.set)

    def _piece(self) -> bytes:
        told: list[bytes] = []
        if self._left_out:
            told.append(self._event("left-out", {"count": self._left_out}))
            self._left_out = 0
        until = work_time() + WORK
        while self._news and (len(told) < 2 or work_time() < until):
            kind, written, kept, size = self._news.popleft()
            self._bytes -= size
            told.append(self._event(kind, written(kept)))
        return b"".join(told)

    def _event(self, kind: str, data: dict[str, Any]) -> bytes:
        number = next(self._world.feeds.numbers)
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), orjson.dumps(data))
