"""Real worker processes behind the verbs of an endpoint, without HTTP. No wait is longer than LIMIT."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Event, Job, JobStatus, Progressed, Transition
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import RealClock
from runpod_emulator.http import wire
from runpod_emulator.workers.child import STOP_GRACE
from runpod_emulator.workers.program import Program
from runpod_emulator.world.world import World

from tests.waits import until as until
from tests.workers.processes import Family

LIMIT = 20.0

ALONE = {"workers_max": 1}

DO = """
    import asyncio, ctypes, json, os, resource, signal, subprocess, sys, time
    import runpod

    def handler(job):
        return eval(job["input"]["do"])

    runpod.serverless.start({"handler": handler})
"""
"""A plain handler whose output is the value of the Python expression it gets."""


class SkippingClock(RealClock):
    """Real time with jumps ahead."""

    skipped = 0

    def now(self) -> int:
        return super().now() + self.skipped


class Workshop:
    """An emulator with one endpoint, `ep`, that runs a handler in worker processes."""

    def __init__(
        self,
        handler: str,
        python: str = sys.executable,
        platform: Mapping[str, Any] = MappingProxyType({}),
        settings: Mapping[str, Any] = MappingProxyType({}),
        stop_grace: float = STOP_GRACE,
    ) -> None:
        self._family = Family()
        chosen = preset("observed", **platform)
        self.clock = SkippingClock()
        self.emulator = World(chosen, wire.webhook_body, clock=self.clock)
        self.emulator.store.news.transitions.append(self._heard)
        self._awaited: list[tuple[type[Event], str, asyncio.Future[Transition]]] = []
        own = dataclasses.replace(default_settings("ep", chosen), **settings)
        self._program = Program(handler, python, self._family.environment, stop_grace=stop_grace)
        self.endpoint = self.emulator.endpoints.add_program(own, self._program)

    def serve_too(self, endpoint: str, handler: str) -> None:
        """One endpoint more."""
        program = dataclasses.replace(self._program, handler=handler)
        self.emulator.endpoints.add_program(default_settings(endpoint, self.emulator.platform), program)

    async def submit(self, input: object = None, **more: Any) -> str:
        """Queue a job; returns its id."""
        job = await self.endpoint.submit(Submission(json.dumps(input or {"a": 1}).encode(), **more))
        return job.id

    async def do(self, expression: str, **more: Any) -> str:
        """Queue a job of the handler DO."""
        return await self.submit({"do": expression}, **more)

    async def ended(self, job_id: str) -> Job:
        """The record of a job, once it has ended."""
        job = await self.endpoint.wait(job_id, self.emulator.timeline.now() + int(LIMIT * 1000))
        assert job.status.terminal, f"{job_id} is still {job.status}"
        return job

    async def output(self, job_id: str) -> Any:
        """The output of a job, which must complete."""
        job = await self.ended(job_id)
        assert job.status is JobStatus.COMPLETED, job.error
        return None if job.output is None else json.loads(job.output)

    async def progress(self, job_id: str) -> Any:
        """The last progress update of a job, at least its first."""
        job = await self.endpoint.status(job_id)
        if not job.progressed:
            job = (await self.heard(Progressed, job_id)).job
        return json.loads(job.output or b"")

    async def heard(self, kind: type[Event], job_id: str) -> Transition:
        """The next event of this kind that moves a job."""
        news: asyncio.Future[Transition] = asyncio.get_running_loop().create_future()
        self._awaited.append((kind, job_id, news))
        return await asyncio.wait_for(news, LIMIT)

    async def skip(self, milliseconds: int) -> None:
        """Let the clock jump ahead."""
        self.clock.skipped += milliseconds
        await self.endpoint.health()

    async def pid(self) -> int:
        """The process that serves the next job of the handler DO."""
        return int(await self.output(await self.do("os.getpid()")))

    def processes(self) -> set[int]:
        """Every living process that began in this workshop, workers and their children."""
        return self._family.alive()

    def kill_everything(self) -> None:
        """End every process that began here."""
        self._family.kill()

    async def stop(self) -> None:
        """Stop the emulator."""
        await asyncio.wait_for(self.emulator.stop(), LIMIT)

    async def close(self) -> None:
        """Stop, and leave nothing behind even if the emulator does."""
        try:
            await self.stop()
        finally:
            self.kill_everything()

    def _heard(self, transition: Transition) -> None:
        for kind, job_id, news in self._awaited:
            if isinstance(transition.event, kind) and transition.job.id == job_id and not news.done():
                news.set_result(transition)


def write_handler(folder: Path, source: str = DO) -> str:
    """A handler file with this source."""
    file = folder / "handler.py"
    file.write_text(textwrap.dedent(source))
    return str(file)


Opener = Callable[..., Awaitable[Workshop]]


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Opener]:
    """Write a handler file and serve it: `await workshop(source, settings={...}, platform={...})`."""
    opened: list[Workshop] = []

    async def open_one(source: str = DO, *, started: bool = True, **options: Any) -> Workshop:
        shop = Workshop(write_handler(tmp_path, source), **options)
        opened.append(shop)
        if started:
            await asyncio.wait_for(shop.emulator.endpoints.start(), LIMIT)
        return shop

    yield open_one
    await asyncio.gather(*(shop.close() for shop in opened))
