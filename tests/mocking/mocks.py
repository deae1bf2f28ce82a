"""A mock endpoint on a virtual clock, whose stubs are written as users write them."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.mocks.script import Reply, Scene
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.http import wire
from runpod_emulator.mocking.models import Stub
from runpod_emulator.world.world import World

NOW = 1_700_000_000_000


class MockWorld:
    """One emulator with the mock endpoint `ep`, whose workers take `concurrency` jobs at once."""

    def __init__(self, seed: int = 1, concurrency: int = 1, model: Reply | None = None) -> None:
        platform = preset("observed")
        self.emulator = World(platform, wire.webhook_body, clock=VirtualClock(NOW), seed=seed, rate_limits=False)
        self.endpoint = self.emulator.endpoints.add_mock(default_settings("ep", platform), concurrency, model)

    def stub(self, **written: Any) -> None:
        """Add a stub."""
        book = self.emulator.stubs
        book.add(Stub.model_validate(written).to_core(taken={stub.id for stub in book}))

    async def submit(self, given: Any = None, headers: Mapping[str, str] | None = None) -> str:
        """Hand in a job; returns its id."""
        raw = json.dumps({"prompt": "hello"} if given is None else given).encode()
        told = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        return (await self.endpoint.submit(Submission(raw, headers=told))).id

    async def pass_by(self, milliseconds: int = 0) -> None:
        """Let time pass, and everything happen that it brings."""
        timeline = self.emulator.timeline
        await timeline.advance(timeline.now() + milliseconds)

    async def polled(self, job_id: str, times: int = 1) -> Job:
        """The job as a client sees it that polls some times, with all that follows from it."""
        for _ in range(times):
            await self.endpoint.looked(job_id)
            await self.pass_by()
        return await self.endpoint.status(job_id)

    async def status(self, job_id: str) -> str:
        """The job's status; no client's poll."""
        return (await self.endpoint.status(job_id)).status.value

    async def ended(self, given: Any = None, headers: Mapping[str, str] | None = None) -> tuple[str, Any, str | None]:
        """Status, output and error of a new job that takes no time."""
        job_id = await self.submit(given, headers)
        await self.pass_by()
        return result(await self.endpoint.status(job_id))

    async def chunks(self, job_id: str) -> list[Any]:
        """The stream chunks that nobody has read yet."""
        _, chunks = await self.endpoint.next_chunks(job_id, self.emulator.timeline.now())
        return [json.loads(chunk) for chunk in chunks]


@asynccontextmanager
async def mock_world(seed: int = 1, concurrency: int = 1, model: Reply | None = None) -> AsyncIterator[MockWorld]:
    """A world that ends with the block."""
    world = MockWorld(seed, concurrency, model)
    try:
        yield world
    finally:
        await world.emulator.stop()


def result(job: Job) -> tuple[str, Any, str | None]:
    """Status, output and error of a job."""
    return job.status.value, None if job.output is None else json.loads(job.output), job.error


def scene(given: Any = None, seed: int = 1, **changes: Any) -> Scene:
    """What templates are evaluated in."""
    asked = SimpleNamespace(input={} if given is None else given, headers={"x-tenant": "acme"})
    members = {
        "endpoint": "ep", "job": "job-1", "question": asked,
        "call": 3, "run": 2, "clock": lambda: NOW, "chance": random.Random(seed), "seed": seed,
    }  # fmt: skip
    return Scene(**{**members, **changes})
