"""One emulated world: its endpoints, jobs, clock and limits, wired together."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.fidelity import Ledger
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.ids import Ids
from runpod_emulator.core.jobs.job import Job, Transition
from runpod_emulator.core.jobs.store import Cleared, JobStore
from runpod_emulator.core.mocks.faults import Fault, FaultBook
from runpod_emulator.core.mocks.stubs import Stub, StubBook
from runpod_emulator.core.networks import Reach
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.rates import Counter, OwnCounter
from runpod_emulator.core.records.attempts import Attempts
from runpod_emulator.core.records.history import History
from runpod_emulator.core.records.journal import Journal
from runpod_emulator.core.records.lines import Lines
from runpod_emulator.core.records.news import Attempt, Effect, News
from runpod_emulator.core.records.receiver import Receiver
from runpod_emulator.core.records.ring import KEPT_BYTES
from runpod_emulator.core.records.streams import Streams
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.time.clock import AutoClock, Clock, RealClock
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.waiting import Caller, WaitingRoom
from runpod_emulator.effects.faulty_post import FaultyPost
from runpod_emulator.effects.joblog import JobLog
from runpod_emulator.effects.own_post import OwnPost, Take
from runpod_emulator.effects.request_log import LogOptions, request_log
from runpod_emulator.effects.surprises import Surprises
from runpod_emulator.effects.webhooks import PER_HOST, LatePost, Post, Webhooks
from runpod_emulator.effects.worker_log import WorkerLog
from runpod_emulator.stores.memory import MemoryStore
from runpod_emulator.world.deadlines import Deadlines
from runpod_emulator.world.endpoints import Endpoints
from runpod_emulator.world.feeds import Feeds
from runpod_emulator.world.heartbeat import Heartbeat
from runpod_emulator.world.others import Others
from runpod_emulator.world.outages import resume_after_outages
from runpod_emulator.world.past import remember
from runpod_emulator.world.polls import Polls
from runpod_emulator.world.tracing import traces_by
from runpod_emulator.world.unread import Unread

if TYPE_CHECKING:
    from runpod_emulator.world.snapshot import Snapshot

_ANSWER = ("answer",)
"""The topic of webhook calls whose answer is held."""


class World:
    """A whole emulator without ports: endpoints over one store and one timeline.

    `webhook_body` renders the body of a webhook call, `post` makes the calls, `calls_per_host` at once;
    without it they go over HTTP to what is in `reach`. `masks` know the server's own keys.
    Servers that share a `store` share `counter` too, which counts requests; each has an `owner`, a name of its own.
    Requests, webhook calls, histories and what workers print are remembered in `keep_bytes` each. `log` says
    which requests have a line in the log, and what jobs are called there. `effects` are told what happens,
    after those that every world has. A `tracer` of OpenTelemetry makes a trace of each job.
    """

    open_requests = 0
    """Those that are being answered, but for the polls of its own workers."""
    requests = 0
    """Those of clients that have been answered since the last reset."""
    resets = 0
    """How often everything was forgotten."""
    loads = 0
    """How often it has come back from a snapshot."""
    unserved: Snapshot | None = None
    """What a snapshot had of endpoints that nobody serves here, at shown times: kept for the next one."""
    _is_over = False

    def __init__(
        self,
        platform: Platform,
        webhook_body: Callable[[Job, Platform], bytes],
        *,
        clock: Clock | None = None,
        store: JobStore | None = None,
        owner: str = "",
        counter: Counter | None = None,
        post: Post | None = None,
        own_calls: Take = lambda url, body: None,
        reach: Reach | None = None,
        capacity: Capacity | None = None,
        rate_limits: bool = True,
        seed: int | None = None,
        calls_per_host: int = PER_HOST,
        masks: Masks | None = None,
        keep_bytes: int = KEPT_BYTES,
        log: LogOptions | None = None,
        effects: Iterable[Effect] = (),
        tracer: Any = None,
    ) -> None:
        self.platform = platform
        self.rate_limits = rate_limits
        self.masks = masks or Masks()
        self.ledger = Ledger(platform)
        self.timeline = Timeline(clock or RealClock())
        self.store = store or MemoryStore()
        self.owner = owner or secrets.token_hex(8)
        self.room = WaitingRoom(self.timeline)
        self.stubs, self.faults = StubBook(), FaultBook(seed, self.timeline)
        self.log = log or LogOptions()
        self._remember(keep_bytes)
        self.polls = self._polls()
        self._traces = None if tracer is None else traces_by(tracer, self._queue, self.timeline.drift, self.masks.text)
        self.webhooks = self._sender(
            post or LatePost(platform.webhook_timeout, reach), own_calls, platform, calls_per_host
        )
        self._heartbeat = self._beating()
        self.news = News([*self._effects(), *effects])
        self._shared = Shared(
            platform=platform, timeline=self.timeline, store=self.store, room=self.room, owner=self.owner,
            ids=Ids(seed, self.owner if self._heartbeat else ""), capacity=capacity or Capacity(), stubs=self.stubs,
            faults=self.faults, rate_limits=rate_limits, counter=counter or OwnCounter(), webhook_body=webhook_body,
            on_won=self.news.won, on_worker=self.news.worker_changed, on_line=self.news.printed, flaws=self._flaws,
            tracing=self._traces,
        )  # fmt: skip
        self.endpoints = Endpoints(self._shared, self.news.removed)
        self.deadlines = Deadlines(self.store, self.endpoints.queues, self.unread)
        self._hear()

    def _remember(self, keep_bytes: int) -> None:
        self._flaws: dict[str, str] = {}
        self.feeds = Feeds(self.room)
        self.unread = Unread(self.timeline)
        self.began_at = self.timeline.now()
        """When it was made, or reset."""
        self.attempts = Attempts(keep_bytes)
        self.receiver = Receiver(keep_bytes)
        self.journal = Journal(keep_bytes)
        self.history = History(keep_bytes)
        self.streams = Streams(keep_bytes)
        self.lines = Lines(keep_bytes)

    def _effects(self) -> list[Effect]:
        """What is told of everything in this world, in this order."""
        job_log = JobLog(
            self.platform, self.log.names, self._number, self._flaws,
            lambda endpoint: self.endpoints.flaws.hopeless(endpoint),
        )  # fmt: skip
        surprises = Surprises(self.platform, self._python)
        logs = job_log, WorkerLog(self.log.names), surprises, *request_log(self.log, self.history)
        records = self.history, self.journal, self.attempts, self.lines, self.streams
        always: list[Effect] = [*logs, self.webhooks, self.feeds, *records]
        always += [one for one in (self._heartbeat, self._traces, self._others()) if one is not None]
        return [self.unread, self.polls, *always] if self.polls else always

    def _others(self) -> Others | None:
        records = {"answered": self.journal, "tried": self.attempts, "printed": self.lines}
        return None if self.store.board is None else Others(self.store.board, self.masks, self._next_request, records)

    def _next_request(self) -> int:
        self.requests += 1
        return self.requests

    def _number(self, endpoint: str, worker: str) -> int:
        known = self.endpoints.get(endpoint)
        return 0 if known is None else known.workforce.fleet.numbers.of(worker)

    def _python(self, endpoint: str) -> str:
        program = self.endpoints.programs.get(endpoint)
        return program.python if program is not None else ""

    def _polls(self) -> Polls | None:
        """Those for whom an automatic clock leaves out time; None where another one goes."""
        if not isinstance(self.timeline.clock, AutoClock):
            return None
        return Polls(self.timeline, self.store, self.unread, self._queue)

    def _queue(self, endpoint: str) -> Endpoint | None:
        return self.endpoints.queues.get(endpoint)

    def _beating(self) -> Heartbeat | None:
        owners = self.store.owners
        if owners is None:
            return None
        return Heartbeat(
            self.owner, owners, self.store.news, self.timeline, lambda: self.endpoints, self.webhooks.wake,
            self.platform,
        )  # fmt: skip

    def _hear(self) -> None:
        self.endpoints.batches.tell = self.news.tell
        self.timeline.watch(self.deadlines)
        self.store.news.transitions.append(self._heard)
        self.store.news.clears.append(self._cleared)
        self.store.news.past.append(functools.partial(remember, (self.history, self.streams)))
        resume_after_outages(self.store, self.timeline, self.webhooks, self._heartbeat, self.endpoints.queues)
        if self.store.deliveries.shared:
            self.store.news.transitions.append(self.webhooks.owed)

    def _sender(self, post: Post, own_calls: Take, platform: Platform, per_host: int) -> Webhooks:
        own_post = OwnPost(post, own_calls, self._pass_time, platform.webhook_timeout)
        around = FaultyPost(own_post, self.faults, self.timeline)
        return Webhooks(
            self.store, self.timeline, platform, own_post, self._tried, around=around, per_host=per_host,
            shown=self.masks.text, tracing=self._traces,
        )  # fmt: skip

    def stub(self, stub: Stub, stays: bool = False) -> str:
        """Add a stub, and serve the endpoint that it names by stubs alone if nobody serves it; returns its id.

        One that `stays` takes the place of the one of its id.
        """
        if stub.names_endpoint and stub.endpoint not in self.endpoints:
            self.endpoints.add_mock_now(stub.endpoint)
            self.endpoints.starts.let_pass(stub.endpoint)
        (self.stubs.change if stays else self.stubs.add)(stub)
        return stub.id

    def fault(self, fault: Fault) -> Fault:
        """Add a fault; the first worker that it delays is the next one that is needed."""
        added = self.faults.add(fault)
        for endpoint in self.endpoints.values():
            if added.delays_workers(endpoint.settings.id):
                endpoint.workforce.cool_down()
        return added

    async def wait_to_answer(self, delay: int, caller: Caller) -> None:
        """Hold the answer to a webhook call for `delay` ms, or until a reset."""
        await self.room.wait(_ANSWER, self.timeline.now() + delay, caller)

    async def _pass_time(self, delay: int) -> None:
        """Hold the answer to one of our own calls: time may pass meanwhile, though the call is on the wire."""
        caller = Caller()
        caller.hurries = True
        self.timeline.end()
        try:
            await self.wait_to_answer(delay, caller)
        finally:
            self.timeline.begin()

    async def reset(self, endpoint_id: str | None = None) -> None:
        """Forget the jobs, limits and journal of one endpoint; without one, of all, and bring back the start.

        Then stubs, faults, endpoints and their settings are those of the start again; time that was moved, ids and
        dice begin anew, so that what follows is what would follow a start.
        Raises EndpointNotFound.
        """
        if endpoint_id is not None:
            self.endpoints.any(endpoint_id)
        for passing in self.endpoints.starts.passing() if endpoint_id is None else self.endpoints.beside(endpoint_id):
            await self.endpoints.remove(passing)
        await self.store.clear(endpoint_id)
        for endpoint in self._queues(endpoint_id):  # who has asked for it finds the workers that then are needed
            await self._shared.counter.clear(endpoint.id)
            await endpoint.work.balance()
        if endpoint_id is None:
            self.receiver.clear()
            self.room.call(_ANSWER)
            self.stubs.reset()
            self.faults.reset()
            self._shared.ids.reset()
            self._restart()
            await self.endpoints.restore()
            self.requests = 0
            self.unserved = None
            self.resets += 1
            self.began_at = self.timeline.now()

    def reseed(self, seed: int) -> None:
        """Let ids and dice be thrown from another seed, from the next reset on."""
        self._shared.ids.reseed(seed)
        self.faults.seed = seed
        for queue in self.endpoints.queues.values():
            queue.scripts.reseed(f"{seed} {queue.id} plays")

    def go_on(self, loads: int, shown: int) -> None:
        """Be a world that has come back from a snapshot, for so many times now, which was taken at the time `shown`.

        No id is given that was given before, and a clock that can be moved goes on from that time.
        """
        self.loads = loads
        self._shared.ids.go_on(loads)
        clock = self.timeline.clock
        clock.go_on(shown)
        if not clock.runs:
            for queue in self.endpoints.queues.values():
                queue.limits.shown = clock.drift()

    def _restart(self) -> None:
        """Let time begin anew."""
        for endpoint in self.endpoints.values():
            endpoint.workforce.restart()
        shown = self.timeline.clock.restart()
        for queue in self.endpoints.queues.values():
            queue.limits.shown = shown

    def _cleared(self, cleared: Cleared) -> None:
        """The store has forgotten jobs, here or elsewhere: so does all that knows of them."""
        if self._is_over:
            return
        for endpoint in self._queues(cleared.endpoint):
            endpoint.work.stop_all({job.id: job for job in cleared.running if job.endpoint == endpoint.id})
        for told in self.news.cleared:
            told(cleared.endpoint)
        for endpoint in self._queues(cleared.endpoint):
            endpoint.reset()

    def _queues(self, endpoint_id: str | None) -> list[Endpoint]:
        """The queue-based endpoint of this id, if there is one; without an id, all."""
        return [one for one in self.endpoints.queues.values() if endpoint_id in (None, one.id)]

    def hang_up(self) -> None:
        """End every wait at once: the server is about to stop."""
        self.room.close()
        self.feeds.hang_up()
        self.store.outage.hang_up()

    async def open(self) -> None:
        """Begin with what the store holds already; raises ConfigurationError for a store that won't do."""
        await self.store.open()
        if self.is_shared:  # its jobs may be older than this server
            self.timeline.expect(await self.timeline.next_due())
            self.webhooks.wake()

    async def stop(self, forgets: bool = False) -> None:
        """End waits, workers and webhook calls; leaves no process behind. If it `forgets`, the store is emptied."""
        self._is_over = True
        self.hang_up()
        await self.endpoints.stop()
        await self.webhooks.close()
        if self._heartbeat is not None:
            await self._heartbeat.close()
        self.timeline.close()
        if forgets:
            await self.store.clear()
        await self.store.close()

    async def run_until_idle(self, most: int) -> list[int]:
        """Move a virtual clock until `idle`, by at most `most` ms; returns the deadlines that fired."""
        end = self.timeline.now() + most
        fired: list[int] = []
        while True:
            await self.timeline.settle()
            due = await self.timeline.next_due()
            if due is None or await self.idle():
                return fired
            fired += await self.timeline.advance(min(due, end))
            if due > end:
                return fired

    @contextlib.contextmanager
    def visited(self) -> Iterator[None]:
        """Count a request until it is answered."""
        self.open_requests += 1
        try:
            yield
        finally:
            self.open_requests -= 1

    @property
    def is_shared(self) -> bool:
        """Whether other servers may be at work in it, so that its jobs live on without this one."""
        return self.store.owners is not None

    @property
    def is_in_use(self) -> bool:
        """Whether there is unfinished work in it, or somebody listens: a world that must not be dropped."""
        if self.open_requests or self.feeds or self.store.has_work():
            return True
        return any(one.fleet.counts().running for one in self.endpoints.balancers.values())

    async def idle(self) -> bool:
        """Whether no job waits or runs, and no webhook is owed."""
        for endpoint in self.endpoints.queues:
            counts = await self.store.counts(endpoint)
            if counts.queued or counts.running:
                return False
        return not await self.store.deliveries.owes()

    def _tried(self, delivery: Delivery, problem: str) -> None:
        attempt = Attempt(self.timeline.now(), delivery, problem)
        for tried in self.news.tried:
            tried(attempt)

    def _heard(self, transition: Transition) -> None:
        """Tell the effects whom it concerns, those who follow, and the endpoint."""
        for heard in self.news.heard[type(transition.event)]:
            heard(transition)
        for follow in tuple(self.feeds.followers.values()):
            follow(transition)
        if (endpoint := self.endpoints.queues.get(transition.job.endpoint)) is not None:
            endpoint.heard(transition)
