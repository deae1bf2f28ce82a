"""A small world with one load-balancing endpoint, whose workers the test plays itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from runpod_emulator.core.endpoint.balancer import Affinity, Balancer, Seat, affinity_of
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.platform import Profile, preset
from runpod_emulator.core.settings import EndpointSettings, default_settings
from runpod_emulator.core.time.clock import AutoClock, VirtualClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.http import wire
from runpod_emulator.world.world import World

from tests.core.steps import started, turns
from tests.worlds import RecordingLauncher, RecordingPost, TestWorld

NO_WISH = Affinity()


class ServerLauncher(RecordingLauncher):
    """Starts nothing, and tells the balancer of each worker it stops, as the launcher of servers does."""

    def __init__(self, balancer: Balancer, real: bool) -> None:
        super().__init__(over_http=True, real=real)
        self._balancer = balancer

    def stop(self, worker: str) -> None:
        super().stop(worker)
        self._balancer.worker_stopped(worker)


@dataclass
class BalancedWorld:
    """One emulator with load-balancing endpoint `lb`; `queue` is `ep` beside it."""

    emulator: World
    balancer: Balancer
    launcher: ServerLauncher
    clock: Any
    post: RecordingPost
    queue: Endpoint
    callers: dict[asyncio.Task[Seat | None], Caller] = field(default_factory=dict)

    async def healthy(self, worker: str, address: str = "") -> None:
        """The worker's health check says 200."""
        await self.balancer.worker_healthy(worker, address or f"http://{worker}")

    async def up(self, count: int = 1) -> list[str]:
        """Bring up so many workers more, and return their ids."""
        workers = []
        for _ in range(count):
            self.balancer.autoscaler.start_one(at_once=True)
            workers.append(self.launcher.started[-1])
            await self.healthy(workers[-1])
        return workers

    async def ask(self, wish: str = "", counts: bool = True) -> asyncio.Task[Seat | None]:
        """A request with this `X-Runpod-Worker-Id`, which has got as far as it can."""
        caller = Caller()
        task = await started(self.balancer.admit(affinity_of(wish), caller, counts))
        self.callers[task] = caller
        return task

    async def seat(self, wish: str = "", counts: bool = True) -> Seat:
        """The place of a request that need not wait."""
        task = await self.ask(wish, counts)
        await turns()
        assert task.done(), "it waits"
        seat = task.result()
        assert seat is not None
        return seat

    async def seated(self, task: asyncio.Task[Seat | None]) -> Seat:
        """The place of a request that waited until now."""
        await turns()
        assert task.done(), "it still waits"
        seat = task.result()
        assert seat is not None
        return seat

    async def advance(self, milliseconds: int) -> list[int]:
        """Move the virtual clock on; returns the deadlines that fired."""
        timeline = self.emulator.timeline
        fired = await asyncio.wait_for(timeline.advance(timeline.now() + milliseconds), 2)
        await turns()
        return fired

    async def counters(self) -> str:
        """The counters of workers that are not zero."""
        counts = (await self.balancer.health()).workers
        return ", ".join(f"{name} {count}" for name, count in counts._asdict().items() if count)

    @property
    def held(self) -> dict[str, int]:
        """Requests in flight by worker."""
        return {worker.id: len(worker.jobs) for worker in self.balancer.fleet.workers.values()}

    @property
    def coming(self) -> list[str]:
        """Workers that were started and are neither up nor gone."""
        workers = self.balancer.fleet.workers
        return [one for one in self.launcher.started if one in workers and workers[one].is_coming_up]

    def as_test_world(self) -> TestWorld:
        """The same for doors that are made for a queue's endpoint."""
        return TestWorld(self.emulator, self.queue, RecordingLauncher(), self.post, self.clock)


def balanced_world(
    endpoint: str = "lb",
    beside: BalancedWorld | None = None,
    limit: int | None = None,
    real: bool = False,
    profile: Profile = "observed",
    clock: VirtualClock | AutoClock | None = None,
    seed: int = 1,
    **told: Any,
) -> BalancedWorld:
    """A world of its own, or one more endpoint `beside`; `told` are its settings, or else the platform's fields."""
    own = {name: value for name, value in told.items() if name in EndpointSettings.__dataclass_fields__}
    post = RecordingPost()
    clock = clock or VirtualClock()
    if beside is not None:
        emulator, clock, queue = beside.emulator, beside.clock, beside.queue
    else:
        platform = preset(profile, **{name: value for name, value in told.items() if name not in own})
        emulator = World(platform, wire.webhook_body, clock=clock, post=post, seed=seed)
        queue = emulator.endpoints.add(default_settings("ep", platform), RecordingLauncher().launch)
        queue.shared.capacity.limit = limit
    settings = default_settings(endpoint, emulator.platform, **own)
    balancer = Balancer(settings, queue.shared, lambda balancer: ServerLauncher(balancer, real=real))
    emulator.endpoints.balancers[endpoint] = balancer
    assert isinstance(balancer.workforce.launcher, ServerLauncher)
    return BalancedWorld(emulator, balancer, balancer.workforce.launcher, clock, post, queue)
