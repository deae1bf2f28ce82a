"""Workers that come over HTTP, as the rules see them: the test plays them, and moves the time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, JobStatus, Progressed
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.time.waiting import Caller

from tests.core.steps import started, turns
from tests.worlds import TestWorld, make_world

LEASE = 40_000
HOLD = 10_000
INPUT = b'{"a":1}'


def remote(settings: EndpointSettings) -> EndpointSettings:
    """An endpoint that only workers started elsewhere serve."""
    return dataclasses.replace(settings, workers_min=0, starts_workers=False)


class Polls:
    """One endpoint, and workers that the test plays over the verbs of the worker protocol."""

    def __init__(self, world: TestWorld) -> None:
        self.world = world
        world.launcher.over_http = True
        self.endpoint = world.endpoint
        self.polling = world.endpoint.polling

    def now(self) -> int:
        return self.world.emulator.timeline.now()

    async def take(self, worker: str, most: int = 1, idle: bool = False) -> list[Job]:
        """What the worker is given at this moment."""
        return await self._now(self.polling.take(worker, most, idle, self.now(), Caller()))

    async def open_take(
        self, worker: str, most: int = 1, idle: bool = False, hold: int = HOLD, caller: Caller | None = None
    ) -> asyncio.Task[list[Job]]:
        """A held poll for jobs."""
        task = await started(self.polling.take(worker, most, idle, self.now() + hold, caller or Caller()))
        assert not task.done()
        return task

    async def stops(self, worker: str) -> list[str]:
        """What the worker is told to stop at this moment."""
        return await self._now(self.polling.stops(worker, self.now(), Caller()))

    async def open_stops(self, worker: str, hold: int = HOLD, caller: Caller | None = None) -> asyncio.Task[list[str]]:
        """A held poll for stops."""
        task = await started(self.polling.stops(worker, self.now() + hold, caller or Caller()))
        assert not task.done()
        return task

    async def submit(self, input: bytes = INPUT, **more: Any) -> str:
        return (await self.endpoint.submit(Submission(input, **more))).id

    async def holding(self, worker: str = "w1", **more: Any) -> Job:
        """A job that the worker holds."""
        await self.submit(**more)
        (job,) = await self.take(worker)
        return job

    async def completes(self, worker: str, job: str, output: bytes = b'"done"') -> bool:
        return await self.polling.report(worker, job, lambda lease: Completed(lease, output))

    async def fails(self, worker: str, job: str) -> bool:
        return await self.polling.report(worker, job, lambda lease: Failed("no luck", None, lease))

    async def progresses(self, worker: str, job: str, output: bytes = b"50") -> bool:
        return await self.polling.report(worker, job, lambda lease: Progressed(lease, output))

    async def emits(self, worker: str, job: str, *chunks: bytes) -> bool:
        return await self.polling.report(worker, job, lambda lease: Emitted(lease, chunks))

    async def status(self, job: str) -> JobStatus | None:
        """The job's state, None for one that is gone."""
        try:
            return (await self.endpoint.status(job)).status
        except JobNotFound:
            return None

    async def advance(self, milliseconds: int) -> None:
        await self.world.advance(milliseconds)
        await turns()

    async def workers(self) -> dict[str, int]:
        """The counters of /health that are not zero."""
        counts = (await self.endpoint.health()).workers._asdict()
        return {name: count for name, count in counts.items() if count and name != "ready"}

    async def _now(self, coroutine: Any) -> Any:
        task = await started(coroutine)
        if not task.done():
            await self.world.advance(0)
        return await task


def polls(**options: Any) -> Polls:
    """Polls of an endpoint that starts no worker itself."""
    return Polls(make_world(settings=remote, **options))


def own_polls(**options: Any) -> Polls:
    """Polls of an endpoint that starts its workers."""
    return Polls(make_world(**options))


async def cancel(here: Polls, job: str) -> None:
    await here.endpoint.cancel(job)


async def run_too_long(here: Polls, job: str) -> None:
    await here.advance(5_000)


async def live_too_long(here: Polls, job: str) -> None:
    await here.advance(10_000)


ENDINGS: dict[str, tuple[dict[str, int], Callable[[Polls, str], Any], JobStatus | None]] = {
    "cancel": ({}, cancel, JobStatus.CANCELLED),
    "execution timeout": ({"execution_timeout": 5_000}, run_too_long, JobStatus.FAILED),
    "ttl": ({"ttl": 10_000}, live_too_long, None),
}
every_ending = pytest.mark.parametrize("ending", ENDINGS)
