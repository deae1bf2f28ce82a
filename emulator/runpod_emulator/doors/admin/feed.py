"""Transitions for one reader of `GET /__emulator/events`, who may read slowly, or never."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import orjson
from sse_starlette.event import ServerSentEvent

from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.mocks.stubs import fits
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.world.world import World

MOST = 10_000
"""Transitions that wait to be read; of more, the oldest are left out."""


class News(NamedTuple):
    """What is sent of a transition: the job itself, whose input may be large, is not kept."""

    at: int
    event: type[Any]
    endpoint: str
    id: str
    status: str
    worker: str | None
    retries: int


class Feed:
    """What one reader has not read yet; of the endpoints that a pattern fits, or of all."""

    def __init__(self, world: World, endpoint: str | None) -> None:
        self._world = world
        self._endpoint = endpoint
        self._news: deque[News] = deque(maxlen=MOST)
        self._left_out = 0
        self._ready = asyncio.Event()

    def heard(self, transition: Transition) -> None:
        """One transition more."""
        job = transition.job
        if self._endpoint is not None and not fits(self._endpoint, job.endpoint):
            return
        self._left_out += len(self._news) == MOST
        self._news.append(news_of(transition))
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
                data = data_of(self._news.popleft(), self._world.masks, self._world.timeline.drift())
                yield ServerSentEvent(event="transition", data=data, sep="\n")


def news_of(transition: Transition) -> News:
    """What is kept of a transition."""
    job = transition.job
    status = "GONE" if transition.after is None else job.status.value
    return News(transition.at, type(transition.event), job.endpoint, job.id, status, job.worker, job.retries)


def data_of(news: News, masks: Masks, drift: int = 0) -> str:
    """The data of an event; `drift` is what to add to its time for the time of day, in ms."""
    worker = news.worker and masks.text(news.worker)
    data = {**news._asdict(), "at": news.at + drift, "event": news.event.__name__, "worker": worker}
    return orjson.dumps(data | {"endpoint": masks.text(news.endpoint)}).decode()
