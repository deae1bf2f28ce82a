"""What one worker prints, and what becomes of it, as server-sent events: first what is remembered, then what comes.

The id of an event is its time. Printed lines of one millisecond are told apart by finer digits, so that a client which
comes back with the last id it has seen misses none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import orjson

from runpod_emulator.core.fleet.worker import WorkerChange
from runpod_emulator.core.records.news import Effect, Line
from runpod_emulator.doors.management.showing import stamp
from runpod_emulator.world.world import World

WAITING = 10_000
"""Lines that wait for a slow reader; older ones are dropped."""
FINER = 1_000_000
"""Parts of a millisecond in an id."""

Cursor = tuple[int, int]
"""A time in ms since the epoch as it is shown, and the millionths of a millisecond."""


class Wanted(NamedTuple):
    """What a reader asks for: the last `tail` lines, or all from `since` on, or all that come `after` a cursor."""

    source: str | None
    tail: int
    since: Cursor | None
    after: Cursor | None


class _Told(NamedTuple):
    source: str
    cursor: Cursor
    text: str


class WorkerLogs(Effect):
    """The log of one worker for one reader."""

    def __init__(self, world: World, endpoint_id: str, worker: str, wanted: Wanted) -> None:
        self._world = world
        self._endpoint, self._worker = endpoint_id, worker
        self._wanted = wanted
        self._last: Cursor = (-1, 0)
        self._news: deque[_Told] = deque(maxlen=WAITING)
        self._ready = asyncio.Event()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Be told what happens until this is left."""
        self._news.extend(self._remembered())
        self._ready.set()
        with self._world.feeds.reading(self._ready.set), self._world.news.telling([self]):
            yield

    async def pieces(self) -> AsyncIterator[bytes]:
        """The events, until the worker is gone or the server stops."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._news:
                yield self._event(self._news.popleft())
            if self._world.room.closed or not self.is_there:
                return

    @property
    def is_there(self) -> bool:
        """Whether the worker is one of its endpoint's now."""
        endpoint = self._world.endpoints.get(self._endpoint)
        return endpoint is not None and self._worker in endpoint.fleet.workers

    @property
    def is_known(self) -> bool:
        """Whether it is, or has printed something."""
        return self.is_there or any(map(self._is_its, self._world.lines))

    def printed(self, line: Line) -> None:
        """The worker, or another, has printed a line."""
        if self._is_its(line):
            self._tell("container", line.at, line.text)

    def worker_changed(self, change: WorkerChange) -> None:
        """A worker has come, is in another state or is gone."""
        if (change.endpoint, change.worker) == (self._endpoint, self._worker):
            state = "gone" if change.state is None else change.state.value
            self._tell("system", change.at, f"worker is {state}{change.reason and ': ' + change.reason}")

    def _tell(self, source: str, at: int, text: str) -> None:
        cursor = self._next(at) if source == "container" else (at + self._world.timeline.drift(), 0)
        told = _Told(source, cursor, text)
        if self._wanted.source in (None, source):
            self._news.append(told)
        self._ready.set()

    def _remembered(self) -> list[_Told]:
        """The lines that are remembered, as far as they are wanted."""
        lines = [
            _Told("container", self._next(line.at), line.text) for line in list(self._world.lines) if self._is_its(line)
        ]
        source, tail, since, after = self._wanted
        if source == "system":
            return []
        if after is not None:
            return [one for one in lines if one.cursor > after]
        if since is not None:
            return [one for one in lines if one.cursor >= since]
        return lines[-tail:] if tail else []

    def _next(self, at: int) -> Cursor:
        """The cursor of a printed line of this time: above that of the line before, and of any change of the worker."""
        shown = at + self._world.timeline.drift()
        last, finer = self._last
        self._last = (shown, 1) if shown > last else (last, min(finer + 1, FINER - 1))
        return self._last

    def _is_its(self, line: Line) -> bool:
        return line.worker == self._worker and line.endpoint == self._endpoint

    def _event(self, told: _Told) -> bytes:
        ts = stamp(*told.cursor)
        data = {"source": told.source, "line": self._world.masks.text(told.text), "ts": ts}
        return b"id: %s\ndata: %s\n\n" % (ts.encode(), orjson.dumps(data))
