"""One emulated world: its endpoints, jobs, clock and limits, wired together."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from emulator.core.capacity import Capacity
from emulator.core.clock import AutoClock, Clock, RealClock
from emulator.core.deliveries import Delivery
from emulator.core.endpoint import Endpoint
from emulator.core.engine import World
from emulator.core.errors import ConfigurationError, EndpointNotFound, JobNotFound
from emulator.core.faults import FaultBook
from emulator.core.faulty import FaultyEndpoint
from emulator.core.fidelity import Ledger
from emulator.core.fleet import Launcher
from emulator.core.history import History
from emulator.core.ids import Ids
from emulator.core.job import Job, Transition
from emulator.core.journal import Journal
from emulator.core.platform import Platform
from emulator.core.receiver import Receiver
from emulator.core.settings import EndpointSettings, checked, default_settings
from emulator.core.store import JobStore
from emulator.core.stubs import Stub, StubBook
from emulator.core.timers import Timeline
from emulator.core.waiting import Caller, Outcome, WaitingRoom
from emulator.effects.faulty_post import FaultyPost
from emulator.effects.joblog import job_log
from emulator.effects.webhooks import LatePost, Post, Webhooks
from emulator.stores.memory import MemoryStore
from emulator.workers.command import Command, CommandPool, Nobody
from emulator.workers.functions import Function
from emulator.workers.guests import WithGuests
from emulator.workers.pool import Pool
from emulator.workers.process import Program
from emulator.workers.reload import Reloader
from emulator.workers.scripted import ScriptedPool

log = logging.getLogger("emulator")


NEWS = ("news",)
"""The topic of everything that happens to jobs and webhooks."""
KEPT = 10_000
"""Webhook calls that are remembered."""


_KINDS = {Pool: "handler", CommandPool: "command", ScriptedPool: "mock", type(None): "remote"}


class Attempt(NamedTuple):
    """One webhook call: `problem` is what went wrong, "" for nothing."""

    at: int
    delivery: Delivery
    problem: str


class Emulator:
    """A whole emulator without ports: endpoints over one store and one timeline.

    `webhook_body` renders the body of a webhook call, `post` makes the calls.
    """

    def __init__(
        self,
        platform: Platform,
        webhook_body: Callable[[Job, Platform], bytes],
        *,
        clock: Clock | None = None,
        store: JobStore | None = None,
        post: Post | None = None,
        capacity: Capacity | None = None,
        rate_limits: bool = True,
        seed: int | None = None,
    ) -> None:
        self.platform = platform
        self.ledger = Ledger(platform)
        self.timeline = Timeline(clock or RealClock())
        self.store = store or MemoryStore()
        self.room = WaitingRoom(self.timeline)
        self.endpoints: dict[str, Endpoint] = {}
        self.stubs = StubBook()
        self.faults = FaultBook(seed, self.timeline)
        self._auto = isinstance(self.timeline.clock, AutoClock)
        self.unread: set[tuple[str, str]] = set()
        """Jobs that have ended, and no client has seen that."""
        self._pools: dict[str, Pool | CommandPool | ScriptedPool] = {}
        self._reloader = Reloader()
        self._feeds: dict[Callable[[Transition], None], Callable[[], None]] = {}
        self._webhooks = self._sender(post or LatePost(platform.webhook_timeout))
        self._world = World(
            platform=platform,
            timeline=self.timeline,
            store=self.store,
            room=self.room,
            ids=Ids(seed),
            capacity=capacity or Capacity(),
            stubs=self.stubs,
            faults=self.faults,
            rate_limits=rate_limits,
            webhook_body=webhook_body,
            on_won=(job_log(platform), self._webhooks.won),
        )
        self.rate_limits = rate_limits
        self.attempts: deque[Attempt] = deque(maxlen=KEPT)
        """Webhook calls, oldest first."""
        self.receiver = Receiver()
        self.journal = Journal()
        self.history = History()
        self.timeline.watch(self)
        self.store.listen(self._heard)
        self.store.listen(self.history.heard)

    def _sender(self, post: Post) -> Webhooks:
        around = FaultyPost(post, self.faults, self.timeline)
        return Webhooks(self.store, self.timeline, self.platform, post, self._tried, around=around)

    def add(self, settings: EndpointSettings, launcher: Launcher) -> Endpoint:
        """A new endpoint whose workers `launcher` brings up; raises ConfigurationError for a second one of its id."""
        if settings.id in self.endpoints:
            raise ConfigurationError(f"two handlers for endpoint {settings.id}: name one with --endpoint ID=HANDLER")
        endpoint = FaultyEndpoint(settings, self._world, launcher)
        self.endpoints[settings.id] = endpoint
        return endpoint

    def add_program(self, settings: EndpointSettings, program: Program) -> Endpoint:
        """A new endpoint that is served by worker processes."""
        if program.folder is not None:
            imported = functools.partial(self._reloader.imported, settings.id)
            program = dataclasses.replace(program, imported=imported)
        pool = Pool(program)
        endpoint = self.add(settings, pool)
        pool.serve(endpoint)
        self._pools[settings.id] = pool
        if program.folder is not None:
            self._reloader.add(endpoint, program.files)
        return endpoint

    def add_command(self, settings: EndpointSettings, command: Command) -> Endpoint:
        """A new endpoint that is served by programs we start."""
        pool = CommandPool(command)
        endpoint = self._add_polled(settings, pool)
        pool.serve(endpoint)
        self._pools[settings.id] = pool
        if command.reload:
            self._reloader.add(endpoint, command.files)
        return endpoint

    def add_mock(self, settings: EndpointSettings, concurrency: int = 1) -> Endpoint:
        """A new endpoint whose jobs only stubs answer."""
        pool = ScriptedPool(concurrency)
        endpoint = self.add(dataclasses.replace(settings, mock=True), pool)
        pool.serve(endpoint)
        self._pools[settings.id] = pool
        return endpoint

    def add_mock_now(self, endpoint_id: str) -> Endpoint:
        """The same while the server runs, with the platform's defaults; raises ConfigurationError."""
        endpoint = self.add_mock(default_settings(endpoint_id, self.platform))
        endpoint.begin()
        return endpoint

    def stub(self, stub: Stub) -> str:
        """Add a stub, and serve the endpoint that it names by stubs alone if nobody serves it; answers its id."""
        if stub.names_endpoint and stub.endpoint not in self.endpoints:
            self.add_mock_now(stub.endpoint)
        self.stubs.add(stub)
        return stub.id

    def add_function(self, endpoint_id: str, function: Function) -> None:
        """Let a function of this process run what no stub answers, until the next reset; raises ConfigurationError."""
        endpoint = self.endpoints.get(endpoint_id) or self.add_mock_now(endpoint_id)
        pool = self._pools.get(endpoint_id)
        if not isinstance(pool, ScriptedPool):
            raise ConfigurationError(f"endpoint {endpoint_id} has a handler of its own: give the function another id")
        pool.function = function
        endpoint.plays.has_handler = True

    def _drop_functions(self) -> None:
        for endpoint_id, pool in self._pools.items():
            if isinstance(pool, ScriptedPool) and pool.function is not None:
                pool.function = None
                self.endpoints[endpoint_id].plays.has_handler = False

    def kind_of(self, endpoint_id: str) -> str:
        """What serves an endpoint: handler, command, mock or remote; raises EndpointNotFound."""
        self.endpoint(endpoint_id)
        return _KINDS[type(self._pools.get(endpoint_id))]

    def add_remote(self, settings: EndpointSettings) -> Endpoint:
        """A new endpoint that only workers started elsewhere serve."""
        return self._add_polled(dataclasses.replace(settings, workers_min=0, starts_workers=False), Nobody())

    def _add_polled(self, settings: EndpointSettings, own: Launcher) -> Endpoint:
        """One whose workers come over HTTP; what stubs answer is played by guests."""
        launcher = WithGuests(own)
        endpoint = self.add(settings, launcher)
        launcher.serve(endpoint)
        return endpoint

    def has_read(self, job: Job) -> None:
        """A client has seen the job as it is."""
        if job.status.terminal and (job.endpoint, job.id) in self.unread:
            self.unread.remove((job.endpoint, job.id))
            self.timeline.hurry()

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """The endpoint of this id; raises EndpointNotFound."""
        try:
            return self.endpoints[endpoint_id]
        except KeyError:
            raise EndpointNotFound from None

    async def start(self, lenient: bool = False) -> None:
        """Start each endpoint's first worker, all in parallel, and wait until every one is up.

        Raises ConfigurationError when a handler cannot be imported; if `lenient`, that is
        logged, and the endpoint waits for a change of its files.
        """
        self._reloader.start()
        checks = (endpoint.first_worker() for endpoint in self.endpoints.values())
        outcomes = await asyncio.gather(*checks, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if not (lenient and isinstance(failure, ConfigurationError)):
                raise failure
            log.error("%s", failure)
        for endpoint, outcome in zip(list(self.endpoints), outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._reloader.failed(endpoint)

    async def start_one(self, endpoint_id: str) -> None:
        """Start the first worker of an endpoint that was added to a world at work.

        Raises ConfigurationError when its handler cannot be imported; then nobody serves it.
        """
        self._reloader.start()
        try:
            await self.endpoint(endpoint_id).first_worker()
        except ConfigurationError:
            await self.remove(endpoint_id)
            raise

    async def configure(self, endpoint_id: str, **changes: Any) -> None:
        """Change settings of an endpoint at work; raises EndpointNotFound, ConfigurationError."""
        endpoint = self.endpoint(endpoint_id)
        await endpoint.configure(checked(dataclasses.replace(endpoint.settings, **changes), self.platform))

    async def reset(self, endpoint_id: str | None = None) -> None:
        """Forget the jobs, limits and journal of one endpoint; without one, of all, and all stubs.

        Ids and dice begin anew, so that what follows is what would follow a start.
        Raises EndpointNotFound.
        """
        chosen = list(self.endpoints.values()) if endpoint_id is None else [self.endpoint(endpoint_id)]
        for endpoint in chosen:
            await endpoint.stop_work()
        await self.store.clear(endpoint_id)
        for endpoint in chosen:
            await endpoint.reset()
        self.journal.clear(endpoint_id)
        self.history.clear(endpoint_id)
        if endpoint_id is None:
            self.attempts.clear()
            self.receiver.clear()
            self.unread.clear()
            self.stubs.reset()
            self.faults.reset()
            self._drop_functions()
            self._world.ids.reset()

    def open(self) -> None:
        """Begin without waiting for workers: they come when there are jobs, and what goes wrong is logged."""
        self._reloader.start()
        for endpoint in self.endpoints.values():
            endpoint.begin()

    async def remove(self, endpoint_id: str) -> None:
        """Serve an endpoint no more: its jobs are cancelled, its workers end. Raises EndpointNotFound."""
        endpoint = self.endpoint(endpoint_id)
        await endpoint.close()
        del self.endpoints[endpoint_id]
        self._reloader.forget(endpoint_id)
        pool = self._pools.pop(endpoint_id, None)
        if pool is not None:
            await pool.close()

    def hang_up(self) -> None:
        """End every wait at once: the server is about to stop."""
        self.room.close()
        for wake in self._feeds.values():
            wake()

    async def stop(self) -> None:
        """End waits, workers and webhook calls; leaves no process behind."""
        self.hang_up()
        await self._reloader.close()
        for endpoint in self.endpoints.values():
            endpoint.autoscaler.stop()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
        await self._webhooks.close()
        self.timeline.close()

    async def next_due(self) -> int | None:
        """The earliest deadline of any job."""
        return await self.store.next_due()

    async def expire_next(self, now: int) -> None:
        """Let the job with the earliest deadline meet it."""
        due = await self.store.due(now)
        if due is not None:
            endpoint_id, job_id = due
            with contextlib.suppress(JobNotFound):
                await self.endpoints[endpoint_id].expire(job_id, now)

    async def may_skip_to(self, due: int) -> bool:
        """Whether the time until `due` may be left out: not past the end of a result that nobody has read."""
        job = await self.store.due(due)
        return job not in self.unread

    async def wait_for(self, done: Callable[[], Awaitable[bool]], until: int, caller: Caller) -> bool:
        """Wait until `done`, looked at whenever something has happened; False when the time `until` comes first."""
        while not await done():
            if await self.room.wait(NEWS, until, caller) is not Outcome.NEWS:
                return await done()
        return True

    async def run_until_idle(self, most: int) -> list[int]:
        """Move a virtual clock until `idle`, by `most` ms; answers the deadlines that fired."""
        end = self.timeline.now() + most
        fired: list[int] = []
        while True:
            await self.timeline.settle()
            due = await self.timeline.next_due()
            if due is None or due > end or await self.idle():
                return fired
            fired += await self.timeline.advance(due)

    @contextlib.contextmanager
    def listening(self, heard: Callable[[Transition], None], wake: Callable[[], None]) -> Iterator[None]:
        """Call `heard` with every transition, and `wake` when the emulator stops."""
        self._feeds[heard] = wake
        try:
            yield
        finally:
            del self._feeds[heard]

    async def idle(self) -> bool:
        """Whether no job waits or runs, and no webhook is owed."""
        for endpoint in self.endpoints:
            counts = await self.store.counts(endpoint)
            if counts.queued or counts.running:
                return False
        return not await self.store.owes()

    def _tried(self, delivery: Delivery, problem: str) -> None:
        self.attempts.append(Attempt(self.timeline.now(), delivery, problem))
        self.room.call(NEWS)

    def _heard(self, transition: Transition) -> None:
        key = transition.job.endpoint, transition.job.id
        if transition.ended:
            if self._auto:
                self.unread.add(key)
        elif transition.after is None or not transition.job.status.terminal:
            self.unread.discard(key)
        self.room.call(NEWS)
        for heard in self._feeds:
            heard(transition)
        endpoint = self.endpoints.get(transition.job.endpoint)
        if endpoint is not None:
            endpoint.heard(transition)
