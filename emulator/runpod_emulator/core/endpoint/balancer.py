"""The rules of a load-balancing endpoint: which worker answers a request, and how many workers there are.

There is no queue and no job. A request waits for a healthy worker, and is that worker's own until it is
answered. It must guarantee that a request goes to no worker that is ill, outdated or full, that each seat is
given back once, and that whoever waits hears of every change that may let it in.

    request   waiting ── `admit` ──> seated at a worker ── `release` ──> gone
                 └── NoWorkerInTime, Overloaded, NoWorkers, AffinityGone, or the client has left

    worker    initializing ── `worker_healthy` ──> idle <──> running, as it holds requests
                                   ^                  │ `worker_ill`: its health check fails
                                   └── unhealthy <────┘
              from each of them: `worker_stopped` (scaled down; may be resumed) or `worker_gone` (its process ended)

The state of a worker follows from its health checks alone; requests that fail change nothing. Of the healthy
workers the one with the fewest requests is chosen, or the one that the request names (`Affinity`). Requests
that wait, and those above a worker's share, bring up workers: `_balance` after each change says how many.

`doors/load_balancer.py` calls `admit` and `release`, for WebSockets too. `workers/http_server.py` says what becomes of
workers. `world/endpoints.py` makes, changes and closes the endpoint.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from runpod_emulator.core.balancer_errors import AffinityGone, NoWorkerInTime, NoWorkers, Overloaded
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.endpoint.submission import Health
from runpod_emulator.core.endpoint.workforce import Workforce
from runpod_emulator.core.fleet.backoff import FIRST_BACKOFF
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.fleet.worker import Worker, WorkerCounts, WorkerState
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.time.waiting import Caller, Outcome

log = logging.getLogger("runpod_emulator.engine")

_UP = (WorkerState.IDLE, WorkerState.RUNNING)
_REMEMBERED = 1_000


class Affinity(NamedTuple):
    """The worker that a client asks for; empty for none."""

    worker: str = ""
    strict: bool = False
    """Whether no other may answer."""
    resume: bool = False
    """Whether it is to be brought up again if it was scaled down."""


def affinity_of(header: str) -> Affinity:
    """What a request's `X-Runpod-Worker-Id` asks for: `ID`, `strict ID` or `strict-resume ID`."""
    words = header.split()
    if len(words) == 2 and words[0] in ("strict", "strict-resume"):
        return Affinity(words[1], strict=True, resume=words[0] == "strict-resume")
    return Affinity(words[0] if words else "")


class Seat(NamedTuple):
    """A request's place at a worker."""

    worker: str
    address: str
    """Where the worker listens, as `http://127.0.0.1:PORT`."""
    request: str
    """What the worker holds; empty when it does not count."""


class Balancer:
    """One load-balancing endpoint."""

    def __init__(self, settings: EndpointSettings, shared: Shared, launch: Callable[[Balancer], Launcher]) -> None:
        self.id = settings.id
        self.shared = shared
        self.platform = shared.platform
        self.workforce = Workforce(settings, shared, launch(self), self._balance)
        self.fleet = self.workforce.fleet
        self.printed = self.workforce.printed
        self.fleet.overfills = True
        self.autoscaler = self.workforce.autoscaler
        self._timeline = shared.timeline
        self._now = shared.timeline.present
        self._room = shared.room
        self._waiting = 0
        self._requests = count(1)
        self._addresses: dict[str, str] = {}
        self._turns: dict[str, int] = {}
        """When each worker was last chosen, counted in requests."""
        self._resting: dict[str, None] = {}
        """Workers that were scaled down, the longest ago first."""
        self._starting: set[str] = set()
        """Workers whose health check answers that they are not ready yet."""

    @property
    def settings(self) -> EndpointSettings:
        """The settings as they are now."""
        return self.workforce.settings

    # What clients do

    async def admit(
        self, affinity: Affinity, caller: Caller, counts: bool = True, at: int | None = None
    ) -> Seat | None:
        """A place at a healthy worker, waiting for one; None for a caller who left.

        `at` is the present, if it was read. One that does not count needs no room at a worker and takes none. Raises
        NoWorkers, NoWorkerInTime, Overloaded, AffinityGone.
        """
        if at is None:
            at = await self._now()
        until = at + (self.platform.balancer_strict_wait if affinity.strict else self.platform.balancer_wait)
        scales = not affinity.strict  # no other worker than that one will do
        self._waiting += scales
        hurries, caller.hurries = caller.hurries, False  # programs take real time to be well
        try:
            return await self._admit(affinity, until, caller, counts)
        finally:
            caller.hurries = hurries
            self._waiting -= scales
            await self._balance()

    async def release(self, seat: Seat) -> None:
        """A request has been answered, or its client has left."""
        if not seat.request:
            self.fleet.touch(seat.worker)
            return
        self.fleet.release(seat.worker, seat.request)
        worker = self.fleet.workers.get(seat.worker)
        if worker is not None and worker.outdated and not worker.jobs:
            self.fleet.dismiss(worker, "its requests are answered")
        if self.settings.worker_capacity:
            self._room.call(("balancer", self.id))
        await self._balance()

    async def health(self) -> Health:
        """The counters: no jobs, and workers, of whom all healthy ones are `ready`, and those that answer `running`."""
        await self._now()
        return Health(0, 0, 0, 0, 0, await self.workforce.with_others(self.worker_counts))

    def words(self) -> str:
        """What the autoscaler makes of the requests there are now."""
        return self.autoscaler.words(*self._demand(), "request")

    @property
    def worker_counts(self) -> WorkerCounts:
        """The workers of this server."""
        counts = self.fleet.counts()
        starting = sum(
            worker.id in self._starting and worker.state is WorkerState.INITIALIZING
            for worker in self.fleet.workers.values()
        )
        return counts._replace(
            ready=counts.idle + counts.running,
            running=counts.running + starting,
            initializing=counts.initializing - starting,
        )

    @property
    def healthy(self) -> list[str]:
        """The workers that get requests."""
        return [worker.id for worker in self.fleet.workers.values() if self._serves(worker)]

    # What workers do

    async def worker_healthy(self, worker: str, address: str) -> None:
        """The worker's health check answers that it can serve."""
        known = self.fleet.workers.get(worker)
        if known is None or known.state in _UP:
            return
        if known.state is WorkerState.UNHEALTHY and self._is_replaced(known):
            self.fleet.outdate(known, "others have taken over while it was ill")
            return
        self._addresses[worker] = address
        self._starting.discard(worker)
        self._resting.pop(worker, None)
        await self.workforce.worker_ready(worker, self.settings.share)
        self._room.call(("balancer", self.id))

    def worker_starting(self, worker: str) -> None:
        """The worker's health check answers that it is not ready yet."""
        self._starting.add(worker)

    async def worker_ill(self, worker: str, reason: str) -> None:
        """A healthy worker's health check fails: it gets no requests until it is well again."""
        await self._now()
        known = self.fleet.workers.get(worker)
        if known is not None and known.state in _UP:
            log.warning("%s: %s: it gets no requests", self.fleet.numbers.name(worker), reason)
            self.autoscaler.try_again_in(self.fleet.fell_ill(worker, reason))
            await self._balance()

    async def worker_broken(self, worker: str, reason: str) -> None:
        """A worker ended before it was up."""
        await self.workforce.worker_broken(worker, reason)

    async def worker_gone(self, worker: str, reason: str = "") -> None:
        """The worker's process ended without being asked to; `reason` says how."""
        await self._now()
        self._forget(worker)
        self.workforce.release.failed(worker)
        self.fleet.forget(worker, reason)
        self._room.call(("balancer", self.id))
        await self._balance()

    def worker_stopped(self, worker: str) -> None:
        """The worker was scaled down; it can be resumed."""
        self._forget(worker)
        self._resting[worker] = None
        while len(self._resting) > _REMEMBERED:
            del self._resting[next(iter(self._resting))]
        self._room.call(("balancer", self.id))

    def leave(self) -> None:
        """Give the places of all workers back: they have ended, and no other will come."""
        self.workforce.leave()

    async def close(self) -> None:
        """Start no worker any more, and let nobody wait for one: the endpoint is about to be taken away."""
        self.autoscaler.stop()
        await self.configure(dataclasses.replace(self.settings, workers_min=0, workers_max=0))

    async def configure(self, settings: EndpointSettings) -> None:
        """Go on with other settings."""
        await self.workforce.configure(settings)
        self._room.call(("balancer", self.id))

    # Inside

    def _is_replaced(self, worker: Worker) -> bool:
        """Whether, while the worker was ill, newer code or as many others as may be have taken over."""
        return worker.version < self.fleet.version or self.fleet.alive >= self.settings.workers_max

    def _forget(self, worker: str) -> None:
        self._addresses.pop(worker, None)
        self._turns.pop(worker, None)
        self._starting.discard(worker)

    async def _admit(self, affinity: Affinity, until: int, caller: Caller, counts: bool) -> Seat | None:
        while not caller.gone:
            worker = self._choose(affinity, counts)
            if worker is not None:
                return self._seat(worker, counts)
            self._check(affinity)
            await self._balance()
            outcome = await self._room.wait(("balancer", self.id), self._look_again(affinity, until), caller)
            if outcome is Outcome.DEADLINE and self._timeline.now() >= until and self._choose(affinity, counts) is None:
                raise NoWorkerInTime(affinity.strict)
            if outcome in (Outcome.HUNG_UP, Outcome.CLOSED):
                return None
        return None

    def _choose(self, affinity: Affinity, counts: bool) -> Worker | None:
        """The worker asked for, or the healthy one with the fewest requests in flight, that has room.

        Of several such it is the one that was chosen longest ago; the seed, of which the ids are made, says who begins.
        """
        asked = self.fleet.workers.get(affinity.worker)
        if asked is not None and self._takes(asked, counts):
            return asked
        if affinity.strict:
            return None
        healthy = [worker for worker in self.fleet.workers.values() if self._takes(worker, counts)]
        return min(
            healthy, key=lambda worker: (len(worker.jobs), self._turns.get(worker.id, 0), worker.id), default=None
        )

    def _takes(self, worker: Worker, counts: bool) -> bool:
        """Whether the worker is healthy, and has room for one more request if that counts."""
        capacity = self.settings.worker_capacity
        return self._serves(worker) and not (counts and capacity and len(worker.jobs) >= capacity)

    @property
    def _may_grow(self) -> bool:
        """Whether another worker is on its way, or within the maximum."""
        coming = any(worker.is_coming_up for worker in self.fleet.workers.values())
        return coming or self.fleet.alive < self.settings.workers_max

    @staticmethod
    def _serves(worker: Worker) -> bool:
        return worker.state in _UP and not worker.outdated

    def _check(self, affinity: Affinity) -> None:
        """Raise where no wait can help; bring a worker up again that is to be resumed."""
        if not self.settings.workers_max:
            raise NoWorkers
        if not (affinity.strict or self._may_grow):
            raise Overloaded(self.platform.balancer_overload_status)
        if not affinity.strict or self._is_there(affinity.worker):
            return
        if not (affinity.resume and affinity.worker in self._resting):
            raise AffinityGone
        if not self.fleet.hindrance:
            self.fleet.start(affinity.worker)

    def _is_there(self, worker_id: str) -> bool:
        """Whether the worker is up, or comes up, or is ill; one that could not be started is not."""
        worker = self.fleet.workers.get(worker_id)
        return worker is not None and (worker.state is not WorkerState.UNHEALTHY or worker_id in self._addresses)

    def _look_again(self, affinity: Affinity, until: int) -> int:
        """When to try again to resume a worker; nothing else tells that its time has come."""
        return min(until, self._timeline.now() + FIRST_BACKOFF) if affinity.resume else until

    def _seat(self, worker: Worker, counts: bool) -> Seat:
        number = self._turns[worker.id] = next(self._requests)
        request = f"request-{number}" if counts else ""
        if request:
            self.fleet.give(worker.id, request)
        else:
            self.fleet.touch(worker.id)
        return Seat(worker.id, self._addresses[worker.id], request)

    async def _balance(self) -> None:
        """Bring up workers for requests that wait, or that are more than the workers are there for."""
        self.fleet.queued = self._waiting
        if self.fleet.capacity.waiting:
            self.fleet.make_room()
        self.autoscaler.balance(*self._demand())

    def _demand(self) -> tuple[int, int]:
        """Requests that wait, or are more than the workers are there for; and the others."""
        share = self.settings.share
        held = [len(worker.jobs) for worker in self.fleet.workers.values() if not worker.outdated]
        over = sum(max(0, one - share) for one in held)
        return self._waiting + over, sum(held) - over
