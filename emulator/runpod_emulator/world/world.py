"""One emulated world: its endpoints, jobs, clock and limits, wired together."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.fidelity import Ledger
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.ids import Ids
from runpod_emulator.core.jobs.job import Job, Transition
from runpod_emulator.core.jobs.store import JobStore
from runpod_emulator.core.mocks.faults import FaultBook
from runpod_emulator.core.mocks.stubs import Stub, StubBook
from runpod_emulator.core.networks import Reach
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.records.history import History
from runpod_emulator.core.records.journal import Journal
from runpod_emulator.core.records.receiver import Receiver
from runpod_emulator.core.records.ring import KEPT_BYTES, Ring
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.time.clock import AutoClock, Clock, RealClock
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.waiting import Caller, Outcome, WaitingRoom
from runpod_emulator.effects.faulty_post import FaultyPost
from runpod_emulator.effects.joblog import job_log
from runpod_emulator.effects.own_post import OwnPost, Take
from runpod_emulator.effects.webhooks import PER_HOST, LatePost, Post, Webhooks
from runpod_emulator.stores.memory import MemoryStore
from runpod_emulator.world.endpoints import Endpoints

log = logging.getLogger("runpod_emulator")


NEWS = ("news",)
"""The topic of everything that happens to jobs and webhooks."""
_ATTEMPT = 700
"""Bytes that the memory of a webhook call takes beside its texts."""


class Attempt(NamedTuple):
    """One webhook call: `problem` is what went wrong, "" for nothing."""

    at: int
    delivery: Delivery
    problem: str


class World(Endpoints):
    """A whole emulator without ports: endpoints over one store and one timeline.

    `webhook_body` renders the body of a webhook call, `post` makes the calls, `calls_per_host` at once;
    without it they go over HTTP to what is in `reach`. `masks` know the server's own keys.
    Requests, webhook calls and histories are remembered in `keep_bytes` each.
    """

    open_requests = 0
    """Those that are being answered, but for the polls of its own workers."""
    acknowledged = 0
    """Webhook calls that succeeded since the last reset."""

    def __init__(
        self,
        platform: Platform,
        webhook_body: Callable[[Job, Platform], bytes],
        *,
        clock: Clock | None = None,
        store: JobStore | None = None,
        post: Post | None = None,
        own_calls: Take = lambda url, body: None,
        reach: Reach | None = None,
        capacity: Capacity | None = None,
        rate_limits: bool = True,
        seed: int | None = None,
        calls_per_host: int = PER_HOST,
        masks: Masks | None = None,
        keep_bytes: int = KEPT_BYTES,
    ) -> None:
        self.masks = masks or Masks()
        self.ledger = Ledger(platform)
        self.timeline = Timeline(clock or RealClock())
        self.store = store or MemoryStore()
        self.room = WaitingRoom(self.timeline)
        self.stubs = StubBook()
        self.faults = FaultBook(seed, self.timeline)
        self._auto = isinstance(self.timeline.clock, AutoClock)
        self.unread: set[tuple[str, str]] = set()
        """Jobs that have ended, and no client has seen that."""
        self._feeds: dict[Callable[[Transition], None], Callable[[], None]] = {}
        own_post = OwnPost(post or LatePost(platform.webhook_timeout, reach), own_calls)
        self._webhooks = self._sender(own_post, platform, calls_per_host)
        shared = Shared(
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
            on_won=(job_log(platform, self.hopeless), self._webhooks.won),
        )
        super().__init__(shared)
        self.rate_limits = rate_limits
        self._remember(keep_bytes)
        self.timeline.watch(self)
        self.store.listen(self._heard)
        self.store.listen(self.history.heard)

    def _remember(self, keep_bytes: int) -> None:
        self.attempts: Ring[Attempt] = Ring(keep_bytes)
        """Webhook calls, oldest first."""
        self.receiver = Receiver(keep_bytes)
        self.journal = Journal(keep_bytes)
        self.history = History(keep_bytes)

    def _sender(self, own_post: Post, platform: Platform, per_host: int) -> Webhooks:
        around = FaultyPost(own_post, self.faults, self.timeline)
        return Webhooks(
            self.store, self.timeline, platform, own_post, self._tried, around=around, per_host=per_host,
            shown=self.masks.text,
        )  # fmt: skip

    def stub(self, stub: Stub) -> str:
        """Add a stub, and serve the endpoint that it names by stubs alone if nobody serves it; answers its id."""
        if stub.names_endpoint and stub.endpoint not in self.all_endpoints:
            self.add_mock_now(stub.endpoint)
        self.stubs.add(stub)
        return stub.id

    def has_read(self, job: Job) -> None:
        """A client has seen the job as it is."""
        if job.status.terminal and (job.endpoint, job.id) in self.unread:
            self.unread.remove((job.endpoint, job.id))
            self.timeline.hurry()

    async def reset(self, endpoint_id: str | None = None) -> None:
        """Forget the jobs, limits and journal of one endpoint; without one, of all, and all stubs.

        Ids and dice begin anew, so that what follows is what would follow a start.
        Raises EndpointNotFound.
        """
        if endpoint_id is not None:
            self.any_endpoint(endpoint_id)
        chosen = [one for one in self.endpoints.values() if endpoint_id in (None, one.id)]
        for endpoint in chosen:
            await endpoint.work.stop_all()
        await self.store.clear(endpoint_id)
        self._webhooks.forget(endpoint_id)
        for endpoint in chosen:
            await endpoint.reset()
        self.journal.clear(endpoint_id)
        self.history.clear(endpoint_id)
        if endpoint_id is None:
            self.attempts.clear()
            self.acknowledged = 0
            self.receiver.clear()
            self.unread.clear()
            self.stubs.reset()
            self.faults.reset()
            self._drop_functions()
            self._shared.ids.reset()

    async def _forget(self, endpoint_id: str) -> None:
        """Forget all that is known of an endpoint's jobs; the journal says what clients sent, so it stays."""
        await super()._forget(endpoint_id)
        self.history.clear(endpoint_id)
        self.unread = {key for key in self.unread if key[0] != endpoint_id}
        self.timeline.hurry()

    def hang_up(self) -> None:
        """End every wait at once: the server is about to stop."""
        self.room.close()
        for wake in self._feeds.values():
            wake()

    async def stop(self) -> None:
        """End waits, workers and webhook calls; leaves no process behind."""
        self.hang_up()
        await self._stop_workers()
        await self._webhooks.close()
        self.timeline.close()

    async def next_due(self) -> int | None:
        """The earliest deadline of any job."""
        return await self.store.next_due()

    async def expire_next(self, now: int) -> None:
        """Let the job with the earliest deadline meet it; a step that fails is logged, and not tried again."""
        due = await self.store.due(now)
        if due is None:
            return
        endpoint_id, job_id = due
        endpoint = self.endpoints.get(endpoint_id)
        if endpoint is None:  # it was taken away
            await self.store.drop(endpoint_id)
            return
        try:
            await endpoint.expire(job_id, now)
        except Exception:
            log.exception("a deadline of %s/%s failed", endpoint_id, job_id)
            if await self.store.due(now) == due:
                await self.store.give_up_deadline(endpoint_id, job_id)

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

    @contextlib.contextmanager
    def visited(self) -> Iterator[None]:
        """Count a request until it is answered."""
        self.open_requests += 1
        try:
            yield
        finally:
            self.open_requests -= 1

    @property
    def is_in_use(self) -> bool:
        """Whether there is unfinished work in it, or somebody listens: a world that must not be dropped."""
        if self.open_requests or self._feeds or self.store.has_work():
            return True
        return any(one.fleet.running for one in self.balancers.values())

    async def idle(self) -> bool:
        """Whether no job waits or runs, and no webhook is owed."""
        for endpoint in self.endpoints:
            counts = await self.store.counts(endpoint)
            if counts.queued or counts.running:
                return False
        return not await self.store.owes()

    def _tried(self, delivery: Delivery, problem: str) -> None:
        size = _ATTEMPT + len(delivery.body) + len(delivery.url) + len(problem)
        self.attempts.add(Attempt(self.timeline.now(), delivery, problem), size)
        self.acknowledged += not problem
        self.room.call(NEWS)

    def _heard(self, transition: Transition) -> None:
        job = transition.job
        if self._auto:
            self._follow_unread(transition)
        self.room.call(NEWS)
        for heard in self._feeds:
            heard(transition)
        endpoint = self.endpoints.get(job.endpoint)
        if endpoint is not None:
            endpoint.heard(transition)

    def _follow_unread(self, transition: Transition) -> None:
        job = transition.job
        if transition.ended:
            self.unread.add((job.endpoint, job.id))
        elif transition.after is None or not job.status.terminal:
            self.unread.discard((job.endpoint, job.id))
