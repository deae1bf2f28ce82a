"""Small emulated worlds for tests: no server, no processes, time that moves only when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.jobs.store import JobStore
from runpod_emulator.core.platform import Profile, preset
from runpod_emulator.core.rates import Counter
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.settings import EndpointSettings, default_settings
from runpod_emulator.core.time.clock import Clock, VirtualClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.http import wire
from runpod_emulator.world.world import World

from tests.stores.counted import CountedStore
from tests.stores.shared import View
from tests.stores.yielding import YieldingStore


@dataclass
class RecordingLauncher:
    """A launcher that starts nothing and remembers what it was asked."""

    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    stopped_jobs: list[tuple[str, str, int]] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    over_http: bool = False
    real: bool = False
    processes: bool = True
    kind: str = "remote"
    start_script_worker: None = None
    on_start: Callable[[], object] = lambda: None

    def launch(self, endpoint: object) -> RecordingLauncher:
        """This launcher, whatever the endpoint."""
        return self

    def start(self, worker: str) -> None:
        self.started.append(worker)
        self.on_start()

    def stop(self, worker: str) -> None:
        self.stopped.append(worker)

    def replace(self, worker: str) -> None:
        self.replaced.append(worker)

    def retire(self, worker: str) -> None:
        self.retired.append(worker)

    def stop_job(self, worker: str, job: str, lease: int) -> None:
        self.stopped_jobs.append((worker, job, lease))

    async def close(self) -> None:
        pass


@dataclass
class RecordingPost:
    """Makes webhook calls by asking `answer(url, body)` what went wrong, "" for nothing."""

    answer: Callable[[str, bytes], str] = lambda url, body: ""
    calls: list[tuple[str, bytes]] = field(default_factory=list)

    async def send(self, url: str, body: bytes) -> str:
        self.calls.append((url, body))
        return self.answer(url, body)

    async def close(self) -> None:
        pass


@dataclass
class TestWorld:
    """One emulator with one endpoint whose workers the test plays itself."""

    __test__ = False

    emulator: World
    endpoint: Endpoint
    launcher: RecordingLauncher
    post: RecordingPost
    clock: Any

    async def worker(self, concurrency: int = 1) -> str:
        """Bring up one worker more and return its id."""
        number = len(self.launcher.started)
        is_coming = self.endpoint.autoscaler.start_one()
        turns = 1_500 if is_coming or not self.launcher.started else 0
        for turn in range(turns):  # over a store that others use too it needs a place first
            if len(self.launcher.started) > number:
                break
            await asyncio.sleep(0 if turn < 1_000 else 0.001)
        worker = self.launcher.started[-1]
        await self.endpoint.work.worker_ready(worker, concurrency)
        return worker

    async def take(self, worker: str, most: int = 1, lease: int | None = None) -> list[Job]:
        """Jobs for the worker, without waiting."""
        return await self.endpoint.work.take(worker, most, self.emulator.timeline.now(), Caller(), lease)

    async def running(self, submission: Submission | None = None) -> tuple[str, Job]:
        """A worker that holds a new job."""
        worker = await self.worker()
        await self.endpoint.submit(submission or Submission(b'{"a":1}'))
        (job,) = await self.take(worker)
        return worker, job

    async def advance(self, milliseconds: int) -> list[int]:
        """Move the virtual clock on; returns the deadlines that fired."""
        timeline = self.emulator.timeline
        return await timeline.advance(timeline.now() + milliseconds)


STORE: Callable[[], YieldingStore | CountedStore] | None = None
"""What makes the store of each world, where not the memory store does."""


def make_world(
    profile: Profile = "observed",
    *,
    clock: Clock | None = None,
    post: RecordingPost | None = None,
    settings: Callable[[EndpointSettings], EndpointSettings] = lambda settings: settings,
    rate_limits: bool = True,
    capacity: Capacity | None = None,
    effects: Iterable[Effect] = (),
    store: JobStore | None = None,
    owner: str = "",
    counter: Counter | None = None,
    **changes: Any,
) -> TestWorld:
    """A world with endpoint `ep`; `changes` are fields of the platform."""
    platform = preset(profile, **changes)
    clock = clock or VirtualClock()
    post = post or RecordingPost()
    launcher = RecordingLauncher()
    made = STORE() if store is None and STORE is not None else None
    emulator = World(
        platform, wire.webhook_body, clock=clock, store=store or made, post=post, seed=1, rate_limits=rate_limits,
        capacity=capacity, effects=effects, owner=owner, counter=counter,
    )  # fmt: skip
    if made is not None:
        made.timeline = emulator.timeline
    elif isinstance(store, View):
        store.timeline = emulator.timeline
    endpoint = emulator.endpoints.add(settings(default_settings("ep", platform)), launcher.launch)
    return TestWorld(emulator, endpoint, launcher, post, clock)
