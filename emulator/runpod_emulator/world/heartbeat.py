"""The heartbeat of one world over a store that other servers use too, and the end of those that beat no more.

It says that this server lives, and what its workers are. At each beat it looks for owners whose time is over (see
`core/jobs/owners.py`). One that was given up while it only slept beats again, and is an owner like any other: the jobs
that it has lost it hears of like everybody, so that its workers stop them, and what it reports on them comes too late.

A store that was away, or has just been started, knows of no beats of late: so a server gives up nobody before its own
beats have gone through for as long as lies between two. By then all who live have beaten again.

Over a store of this process alone there is no heartbeat: nobody could look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runpod_emulator.core.endpoint.crew import Crew
from runpod_emulator.core.fleet.worker import WorkerChange
from runpod_emulator.core.jobs.crews import Word
from runpod_emulator.core.jobs.owners import BEAT, LEASE, Owners
from runpod_emulator.core.jobs.store import StoreNews
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.timers import Timer
from runpod_emulator.world.endpoints import Endpoints

log = logging.getLogger("runpod_emulator")

AGAIN = 1_000
"""Milliseconds until the next beat after one that did not go through."""
SOON = 100
"""Milliseconds until others are told of a worker's new state: less than somebody notices who looks at /health, and many
states of busy workers are one write."""


class Heartbeat(Effect):
    """Beats for `owner`, the first time as soon as time is asked for; `wake` is called once another is given up."""

    def __init__(
        self,
        owner: str,
        owners: Owners,
        news: StoreNews,
        timeline: Timeline,
        endpoints: Callable[[], Endpoints],
        wake: Callable[[], None],
        platform: Platform,
    ) -> None:
        """A `worker_lease` of the platform that is shorter than ours counts for servers too."""
        self._owner = owner
        self._owners = owners
        self._timeline = timeline
        self._endpoints = endpoints
        self._wake = wake
        self._lease = min(platform.worker_lease, LEASE)
        self._between = self._lease * BEAT // LEASE
        """Milliseconds between two beats."""
        self._beats_since: int | None = None
        """Since when every beat has gone through; None before the first, and while the store is away."""
        self._was_told = False
        """Whether the store has ever heard of this server: else the start says why not."""
        self._next: tuple[int, Timer] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._closed = False
        news.words.append(self.told)
        news.losses.append(lambda endpoint: self.told(Word(endpoint)))  # look at what the store says
        self._beat_at(timeline.now())

    def worker_changed(self, change: WorkerChange) -> None:
        """A worker is in another state: others are told soon."""
        self._beat_at(self._timeline.now() + SOON)

    def told(self, word: Word) -> None:
        """A server has told of a worker of one endpoint."""
        queue = self._endpoints().queues.get(word.endpoint)
        if queue is not None and queue.work.crew is not None:
            queue.work.crew.heard(word)

    def beat_now(self) -> None:
        """The store is back: tell it at once that this server lives."""
        self._beat_at(self._timeline.clock.now())

    async def close(self) -> None:
        """Leave: what this server's workers still hold is lost now, for they have ended."""
        self._closed = True
        if self._next is not None:
            self._next[1].cancel()
        if self._beating is not None:
            await asyncio.wait([self._beating])
        now = self._timeline.now()
        try:
            for crew in self._crews():
                await crew.resign()
            await self._owners.beat(self._owner, now, {})
            await self._give_up(self._owner, now)
        except Exception as error:
            if not self._was_told:
                return
            if not isinstance(error, Unavailable):
                log.exception("the store was not told that this server ends")
            else:  # the others see that nobody beats
                seconds = self._lease / 1000
                log.warning("the store was not told that this server ends: its jobs come back after %g s", seconds)

    def _beat_at(self, due: int) -> None:
        if self._closed or (self._next is not None and self._next[0] <= due):
            return
        if self._next is not None:
            self._next[1].cancel()
        self._next = due, self._timeline.at(due, self._ring)

    def _ring(self) -> None:
        self._next = None
        if self._beating is not None:  # the store is slow
            self._beat_at(self._timeline.now() + SOON)
            return
        self._timeline.begin()
        self._beating = asyncio.ensure_future(self._beat())
        self._beating.add_done_callback(self._beaten)

    async def _beat(self) -> None:
        now = self._timeline.clock.now()  # the time line's own may be that of a deadline which is met late
        again = self._between
        try:
            endpoints = self._endpoints().values()
            workers = {endpoint.id: endpoint.worker_counts for endpoint in endpoints}
            await self._owners.beat(self._owner, now + self._lease, workers)
            self._was_told = True
            if self._beats_since is None:
                self._beats_since = now
            if now >= self._beats_since + self._between:
                for owner in await self._owners.over(now):
                    await self._give_up(owner, now)
            for crew in self._crews():
                await crew.attend()
        except Unavailable:
            self._beats_since, again = None, AGAIN
        finally:
            self._beat_at(now + min(again, self._between))

    def _beaten(self, beat: asyncio.Task[None]) -> None:
        self._beating = None
        self._timeline.end()
        if not beat.cancelled() and beat.exception() is not None:
            level = logging.ERROR if self._was_told else logging.DEBUG
            log.log(level, "a heartbeat failed", exc_info=beat.exception())

    def _crews(self) -> list[Crew]:
        return [queue.work.crew for queue in self._endpoints().queues.values() if queue.work.crew is not None]

    async def _give_up(self, owner: str, now: int) -> None:
        """Lose the owner's jobs; forget it once it has none, for others may serve what this server does not."""
        lost = 0
        for job in await self._owners.held(owner):
            endpoint = self._endpoints().queues.get(job.endpoint)
            if endpoint is not None:
                lost += await endpoint.work.owner_gone(job)
        for crew in self._crews():
            await crew.owner_gone(owner)
        if lost and owner == self._owner:
            log.info("%d jobs that ran here are tried again or have failed, as this server ends", lost)
        elif lost:
            log.warning("server %s is gone; %d of its jobs are tried again or have failed", owner, lost)
        if not await self._owners.held(owner):
            await self._owners.forget(owner, now)
        self._wake()
