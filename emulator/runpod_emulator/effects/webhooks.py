"""Webhook calls: every owed delivery is attempted until it is acknowledged or given up.

A dead host never delays another: each host has its own line and at most `PER_HOST`
calls on the wire, all hosts together `AT_ONCE`.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Protocol
from urllib.parse import urlsplit

from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus, attempted
from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.jobs.listeners import ENDS
from runpod_emulator.core.jobs.store import JobStore, patiently
from runpod_emulator.core.jobs.tracing import Tracing
from runpod_emulator.core.networks import Reach
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.core.time.clock import turn
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.timers import Timer
from runpod_emulator.effects.leases import LEASE, Leases

log = logging.getLogger("runpod_emulator.webhooks")

AT_ONCE = 64
PER_HOST = 4
AGAIN = 1_000
"""Milliseconds until a store that has failed is asked again what is owed."""
REST = 50
"""Milliseconds between two bursts of calls to a host that fails: called job by job it would slow every request."""
PRESENT_TRACE: ContextVar[str] = ContextVar("PRESENT_TRACE", default="")
"""The `traceparent` of the call that a task makes, where traces are made; else each call has one of its own."""
_CLAIM = 1_000
_IN_A_ROW = 50
"""Calls of a host before others get their turn, where none had to be waited for."""


class Post(Protocol):
    """Makes one webhook call."""

    async def send(self, url: str, body: bytes) -> str:
        """Make one call: returns "" when a 2xx acknowledged it, else what went wrong. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Around(Protocol):
    """What stands between the sender and its calls."""

    def pass_on(self, delivery: Delivery, send: Callable[[Delivery], None]) -> None:
        """Hand a call that is due to `send`, now or later."""
        ...

    async def send(self, delivery: Delivery) -> str:
        """Make one call; returns what `Post.send` does."""
        ...

    def clear(self) -> None:
        """Forget the calls that are held back."""
        ...


class _Line:
    """The deliveries of one host that are due."""

    __slots__ = ("calls", "in_a_row", "rests", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Delivery] = deque()
        self.calls = 0
        self.in_a_row = 0
        self.rests = False


class Webhooks(Effect):
    """The sender of one emulator."""

    events = ENDS

    def __init__(
        self,
        store: JobStore,
        timeline: Timeline,
        platform: Platform,
        post: Post,
        tried: Callable[[Delivery, str], None] = lambda delivery, problem: None,
        *,
        around: Around,
        per_host: int = PER_HOST,
        shown: Callable[[str], str] = str,
        tracing: Tracing | None = None,
    ) -> None:
        """`tried` is told of each attempt, with what went wrong, "" for nothing; `shown` masks what is logged."""
        self._shown = shown
        self._tracing = tracing
        self._tried = tried
        self._around = around
        self._store = store
        self._timeline = timeline
        self._platform = platform
        self._post = post
        self._lines: dict[str, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.calls: dict[tuple[int, str, str], Delivery] = {}
        """The deliveries that are on the wire, by their keys."""
        self._rests: dict[str, int] = {}
        """When a host that failed just now is called again."""
        self._per_host = per_host
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._alarm: tuple[int, Timer] | None = None
        self._sorting = False
        self._closed = False
        lease = min(LEASE, platform.worker_lease * 3 // 4)  # who has workers given up sooner wants these back sooner
        self._leases = Leases(store.deliveries, timeline, self._spawn, lease)
        self._age = 0
        """How often everything was forgotten: what was on the wire then is nobody's."""

    def won(self, transition: Transition) -> None:
        """Wake up when a transition owes a delivery."""
        if transition.delivery is not None:
            self.wake()

    def owed(self, transition: Transition) -> None:
        """Look later whether a delivery was made by whoever has won it: its process may have died."""
        if transition.delivery is not None and not self._closed:
            self._wake_at(transition.delivery.due + self._leases.lease)

    @property
    def next_call(self) -> int | None:
        """When the next call is tried, of those that are not due yet."""
        return self._alarm and self._alarm[0]

    async def resend(self, delivery: Delivery) -> None:
        """Make the call of a delivery again, now, and with all its attempts: whatever became of it so far."""
        now = self._timeline.now()
        await self._store.deliveries.owe_again(
            delivery._replace(attempts=0, status=DeliveryStatus.OWED, due=now, lease=delivery.lease + 1)
        )
        self.wake()

    def wake(self) -> None:
        """Look for deliveries that are due."""
        if not self._sorting and not self._closed:
            self._sorting = True
            self._spawn(self._sort())

    def cleared(self, endpoint: str | None = None) -> None:
        """Call nobody for what is due by now, of one endpoint or all: the store has forgotten it."""
        self._leases.cleared(endpoint)
        for line in self._lines.values():
            line.waiting = deque(one for one in line.waiting if endpoint not in (None, one.endpoint))
        if endpoint is None:
            self._age += 1
            self._around.clear()
            self._rests.clear()
            self._lines = {host: line for host, line in self._lines.items() if line.calls}

    async def close(self) -> None:
        """Stop calling; what is still owed stays in the store."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._leases.close()
        await self._post.close()

    async def _sort(self) -> None:
        """Move what is due into its host's line, and be back for the next."""
        self._sorting = False
        claimed = _CLAIM
        try:
            while claimed == _CLAIM:
                deliveries = await self._leases.claim(_CLAIM)
                claimed = len(deliveries)
                for delivery in deliveries:
                    self._pass_on(delivery)
            due = await self._store.deliveries.next_due()
        except Unavailable:
            due = self._timeline.now() + AGAIN
        if due is not None:
            self._wake_at(due)

    def _pass_on(self, delivery: Delivery) -> None:
        try:
            self._around.pass_on(delivery, self._line_up)
        except Exception as error:  # the others that are due must not wait for it
            log.exception("a webhook call failed")
            self._spawn(self._attempted(delivery, _said(error)))

    def _line_up(self, delivery: Delivery) -> None:
        host = _host(delivery.url)
        line = self._lines.setdefault(host, _Line())
        line.waiting.append(delivery)
        rest = self._rests.get(host, 0)
        if line.rests:
            return
        if line.calls or rest <= self._timeline.now():
            self._call(host, line)
        else:
            line.rests = True
            self._timeline.leaps.begin_waiting()
            self._timeline.at(rest, lambda: self._rested(host, line))

    def _call(self, host: str, line: _Line) -> None:
        if line.calls < self._per_host:
            line.calls += 1
            self._spawn(self._work(host, line))

    def _rested(self, host: str, line: _Line) -> None:
        line.rests = False
        self._timeline.leaps.end_waiting()
        for _ in range(min(self._per_host, len(line.waiting))):
            self._call(host, line)

    def _wake_at(self, due: int) -> None:
        if self._alarm is not None and self._alarm[0] <= due:
            return
        if self._alarm is not None:
            self._alarm[1].cancel()
        else:
            self._timeline.leaps.begin_waiting()
        self._alarm = due, self._timeline.at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._timeline.leaps.end_waiting()
        self.wake()

    async def _work(self, host: str, line: _Line) -> None:
        try:
            while line.waiting:
                delivery = line.waiting.popleft()
                async with self._slots:
                    await self._attempt(delivery)
                line.in_a_row += 1
                if not line.in_a_row % _IN_A_ROW:  # calls that are handed over directly never suspend
                    await turn()
        finally:
            line.calls -= 1
            if not line.calls and not line.waiting:
                self._lines.pop(host, None)

    async def _attempt(self, delivery: Delivery) -> None:
        age, key = self._age, delivery.key
        self.calls[key] = delivery
        if self._tracing is not None:
            PRESENT_TRACE.set(self._tracing.calling(delivery, self._timeline.now()))
        try:
            problem = await self._around.send(delivery)
        except Exception as error:
            log.exception("a webhook call failed")
            problem = _said(error)
        finally:
            self.calls.pop(key, None)
        if age == self._age:
            await self._attempted(delivery, problem)

    async def _attempted(self, delivery: Delivery, problem: str) -> None:
        now = self._timeline.now()
        if problem:
            self._rests[_host(delivery.url)] = now + REST
        else:
            self._rests.pop(_host(delivery.url), None)
        delays = self._platform.webhook_retry_delays
        after = attempted(delivery, not problem, now, delays)
        await patiently(self._store, lambda: self._leases.record(after))
        self._tried(after, problem)
        _log_attempt(after, problem, len(delays) + 1, self._shown)
        if after.status is DeliveryStatus.OWED:
            self._wake_at(after.due)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._timeline.begin()
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._timeline.end()
        failed = None if task.cancelled() else task.exception()
        if failed is not None and not isinstance(failed, Unavailable):  # of a store that is away is told once
            log.error("webhook sender failed", exc_info=failed)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return url


class LatePost:
    """A `Post` over HTTP that loads its client at the first call, off the loop: that takes half a second."""

    def __init__(self, timeout: int, reach: Reach | None = None) -> None:
        self._timeout = timeout
        self._reach = reach
        self._post: Post | None = None
        self._loading = asyncio.Lock()

    async def send(self, url: str, body: bytes) -> str:
        """One POST; `timeout` is ms an attempt."""
        post = self._post or await self._load()
        return await post.send(url, body)

    async def _load(self) -> Post:
        async with self._loading:
            if self._post is not None:
                return self._post
            module = await asyncio.to_thread(importlib.import_module, "runpod_emulator.effects.http_post")
            post: Post = module.HttpPost(self._timeout, self._reach)
            self._post = post
            return post

    async def close(self) -> None:
        """Close all connections."""
        if self._post is not None:
            await self._post.close()


def _log_attempt(after: Delivery, problem: str, most: int, shown: Callable[[str], str]) -> None:
    if not log.isEnabledFor(logging.WARNING if problem else logging.INFO):
        return
    where = f"webhook of {after.endpoint}/{after.job}, attempt {after.attempts} of {most}"
    url, problem = shown(after.url), shown(problem)
    if not problem:
        log.info("%s: acknowledged by %s", where, url)
    elif after.status is DeliveryStatus.GIVEN_UP:
        log.warning("%s: %s; given up (%s)", where, problem, url)
    else:
        log.warning("%s: %s; tried again later (%s)", where, problem, url)
