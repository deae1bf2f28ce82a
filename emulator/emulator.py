"""One emulated world: its endpoints, jobs, clock and limits, wired together."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable

from emulator.core.capacity import Capacity
from emulator.core.clock import Clock, RealClock
from emulator.core.endpoint import Endpoint
from emulator.core.engine import World
from emulator.core.errors import ConfigurationError, EndpointNotFound, JobNotFound
from emulator.core.faults import FaultBook
from emulator.core.faulty import FaultyEndpoint
from emulator.core.fidelity import Ledger
from emulator.core.fleet import Launcher
from emulator.core.ids import Ids
from emulator.core.job import Job, Transition
from emulator.core.platform import Platform
from emulator.core.settings import EndpointSettings
from emulator.core.store import JobStore
from emulator.core.stubs import StubBook
from emulator.core.timers import Timeline
from emulator.core.waiting import WaitingRoom
from emulator.effects.faulty_post import FaultyPost
from emulator.effects.joblog import job_log
from emulator.effects.webhooks import LatePost, Post, Webhooks
from emulator.stores.memory import MemoryStore
from emulator.workers.command import Command, CommandPool, Nobody
from emulator.workers.pool import Pool
from emulator.workers.process import Program
from emulator.workers.reload import Reloader
from emulator.workers.scripted import ScriptedPool

log = logging.getLogger("emulator")


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
        self._pools: list[Pool | CommandPool | ScriptedPool] = []
        self._reloader = Reloader()
        post = post or LatePost(platform.webhook_timeout)
        around = FaultyPost(post, self.faults, self.timeline)
        self._webhooks = Webhooks(self.store, self.timeline, platform, post, around=around)
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
        self.timeline.watch(self)
        self.store.listen(self._heard)

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
        self._pools.append(pool)
        if program.folder is not None:
            self._reloader.add(endpoint, program.files)
        return endpoint

    def add_command(self, settings: EndpointSettings, command: Command) -> Endpoint:
        """A new endpoint that is served by programs we start."""
        pool = CommandPool(command)
        endpoint = self.add(settings, pool)
        pool.serve(endpoint)
        self._pools.append(pool)
        if command.reload:
            self._reloader.add(endpoint, command.files)
        return endpoint

    def add_mock(self, settings: EndpointSettings, concurrency: int = 1) -> Endpoint:
        """A new endpoint whose jobs only stubs answer."""
        pool = ScriptedPool(concurrency)
        endpoint = self.add(dataclasses.replace(settings, mock=True), pool)
        pool.serve(endpoint)
        self._pools.append(pool)
        return endpoint

    def add_remote(self, settings: EndpointSettings) -> Endpoint:
        """A new endpoint that only workers started elsewhere serve."""
        return self.add(dataclasses.replace(settings, workers_min=0, starts_workers=False), Nobody())

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

    def hang_up(self) -> None:
        """End every wait at once: the server is about to stop."""
        self.room.close()

    async def stop(self) -> None:
        """End waits, workers and webhook calls; leaves no process behind."""
        self.hang_up()
        await self._reloader.close()
        for endpoint in self.endpoints.values():
            endpoint.autoscaler.stop()
        await asyncio.gather(*(pool.close() for pool in self._pools))
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

    def _heard(self, transition: Transition) -> None:
        endpoint = self.endpoints.get(transition.job.endpoint)
        if endpoint is not None:
            endpoint.heard(transition)
