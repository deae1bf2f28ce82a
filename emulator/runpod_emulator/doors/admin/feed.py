"""What happens, for one reader of `GET /__emulator/events`, who may read slowly, or never.

While nobody reads, nobody is told. While somebody does, a piece of news costs hardly more than its place in a queue:
it is put into words as it is sent, in pieces, for which only a small part of the time is spent. What comes faster
waits, up to a bound. That there was more is told where it is missing. Then pieces are sent less often, and news that
comes with every job is not even listened to until all that waits has been read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import orjson

from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.time.clock import work_time
from runpod_emulator.doors.admin.backlog import Backlog
from runpod_emulator.doors.admin.happenings import EVERY_JOB, EVERY_REQUEST, KINDS, Kind, Source
from runpod_emulator.world.world import World

PAUSE = 0.05
"""Seconds between two pieces of what a reader is sent."""
WORK = 0.00025
"""Seconds of work for one piece: with PAUSE, half a hundredth of the time."""
CROWDED_PAUSE, CROWDED_WORK = 0.5, 0.001
"""The same while more comes than can be told: a fifth of a hundredth, for most of it is left out anyway."""


class Feed:
    """What one reader has not read yet: news of the `kinds`, of endpoints that a pattern fits or of all."""

    def __init__(self, world: World, kinds: Iterable[Kind], endpoint: str | None) -> None:
        self._world = world
        self._backlog = Backlog(self._wake)
        self._ready = asyncio.Event()
        self._alarm: asyncio.Handle | None = None
        self._sent_at = float("-inf")
        """When the last piece went out, by the loop's time."""
        source = Source(world, endpoint, self._backlog)
        self._effects: dict[str, Effect] = {kind: KINDS[kind](source) for kind in kinds}
        self._aside: dict[str, Effect] = {}
        """Those of them that are not told now, for more comes than can be read."""

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Be told what happens until this is left."""
        with self._world.feeds.reading(self._ready.set), self._world.news.telling(list(self._effects.values())):
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
            if self._backlog.news and not room.closed:
                self._step_aside()
                yield self._piece()
                self._sent_at = asyncio.get_running_loop().time()
            self._backlog.is_awake = False
            if self._backlog.news:
                self._wake()

    def _wake(self) -> None:
        """Send what waits: in the next turn of the loop, or a pause after the last piece."""
        self._backlog.is_awake = True
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(max(loop.time(), self._sent_at + self._pause), self._ready.set)

    @property
    def _pause(self) -> float:
        return CROWDED_PAUSE if self._backlog.is_full else PAUSE

    def _step_aside(self) -> None:
        """Listen no more to kinds that are left out anyway, and count each as one, at least: to count all is dear."""
        backlog = self._backlog
        flooding: tuple[str, ...] = ()
        if backlog.is_crowded:
            flooding = (*EVERY_REQUEST, *EVERY_JOB) if backlog.is_full else EVERY_REQUEST
        leaving = {kind: self._effects[kind] for kind in flooding if kind in self._effects and kind not in self._aside}
        if leaving:
            self._world.news.leave(leaving.values())
            self._aside.update(leaving)
            for kind in leaving:
                backlog.left_out[kind] += not backlog.left_out[kind]

    def _step_back(self) -> None:
        if self._aside:
            self._world.news.tell(list(self._aside.values()))
            self._aside = {}

    def _piece(self) -> bytes:
        told: list[bytes] = []
        backlog = self._backlog
        until = work_time() + (CROWDED_WORK if backlog.is_full else WORK)
        while backlog.news and (not told or work_time() < until):
            kind, written, kept, _ = backlog.take()
            told.append(self._event(kind, written(kept)))
        if backlog.left_out and not backlog.news:
            kinds = dict(backlog.left_out)
            told.append(self._event("left-out", {"count": sum(kinds.values()), "kinds": kinds}))
            backlog.left_out.clear()
            self._step_back()
        return b"".join(told)

    def _event(self, kind: str, data: dict[str, Any]) -> bytes:
        number = next(self._world.feeds.numbers)
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), orjson.dumps(data))
