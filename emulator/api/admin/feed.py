"""Transitions for one reader of `GET /__emulator/events`, who may read slowly, or never."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import orjson
from sse_starlette.event import ServerSentEvent

from emulator.core.job import Transition
from emulator.emulator import Emulator

MOST = 10_000
"""Transitions that wait to be read; of more, the oldest are left out."""


class _News(NamedTuple):
    """What is told of a transition: the job itself, whose input may be large, is not kept."""

    at: int
    event: type[Any]
    endpoint: str
    id: str
    status: str
    worker: str | None
    retries: int


class Feed:
    """What one reader has not read yet; of one endpoint, or of all."""

    def __init__(self, world: Emulator, endpoint: str | None) -> None:
        self._world = world
        self._endpoint = endpoint
        self._news: deque[_News] = deque(maxlen=MOST)
        self._left_out = 0
        self._ready = asyncio.Event()

    def heard(self, transition: Transition) -> None:
        """One transition more."""
        job = transition.job
        if self._endpoint not in (None, job.endpoint):
            return
        status = "GONE" if transition.after is None else job.status.value
        self._left_out += len(self._news) == MOST
        self._news.append(
            _News(transition.at, type(transition.event), job.endpoint, job.id, status, job.worker, job.retries)
        )
        self._ready.set()

    def wake(self) -> None:
        """Look whether the server stops."""
        self._ready.set()

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """The events, until the server stops; `left-out` says how many a slow reader has missed."""
        room = self._world.room
        while not room.closed:
            await self._ready.wait()
            self._ready.clear()
            while self._news and not room.closed:
                if self._left_out:
                    left_out, self._left_out = self._left_out, 0
                    yield ServerSentEvent(event="left-out", data=f'{{"count":{left_out}}}', sep="\n")
                yield ServerSentEvent(event="transition", data=self._told(self._news.popleft()), sep="\n")

    def _told(self, one: _News) -> str:
        told = one._asdict()
        told["at"] += self._world.timeline.drift()
        told["event"] = one.event.__name__
        return orjson.dumps(told).decode()
