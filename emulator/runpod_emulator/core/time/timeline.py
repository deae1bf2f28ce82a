"""One order of deadlines, and the one `catch_up` that fires them.

It must guarantee that deadlines fire in the order of their times, and each at its own time: while one fires,
`now()` is that deadline, however late it is noticed. So nothing depends on who noticed, and what a deadline
causes is stamped as if it had been noticed at once. There are two kinds: those of jobs, in the store's index
(`JobDeadlines`), and timers, kept here. Of two at the same time the timer fires first.

Three drive it. The loop's alarm wakes it in real time. `advance` moves a virtual clock from deadline to deadline.
The first line of every verb is `present`, so that a clock that stands, or an alarm that is late, hides no expiry.

    at rest ── `present`, alarm, `advance` ──> firing, up to BATCH ──> a turn for others ──> firing on, or at rest

One task fires at a time. Where a store suspends it, or between two batches, whoever else asks for the present waits
until it has done; for them it is not the deadline's time but the clock's. Only what a deadline itself does, in that
very task, goes on at once, at the deadline's time.

What runs is counted (`begin`, `end`), never guessed: a job in a process, a webhook on the wire, a worker that comes up.
`advance` waits before each deadline until that count is zero. An automatic clock moves by itself (`leaps`).

Verbs of endpoints call `present`. Waits and workers set timers (`at`). An endpoint says of each transition what
is due (`expect`). While a store that fails can't tell the deadlines of jobs, it is asked again each AGAIN, and timers
fire all the same; `ask_again` is for who knows that it is back. Tests and the admin API call `advance`. `close` is the
end: no alarm is set any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.core.time.clock import Clock, RealClock, VirtualClock, turn, work_time
from runpod_emulator.core.time.leaps import Leaps
from runpod_emulator.core.time.timers import Timer, Timers

log = logging.getLogger("runpod_emulator.timers")

BATCH = 400
"""Deadlines fired before the loop gets its turn."""
LONGEST_BATCH = 0.005
"""Seconds after which it gets its turn earlier, where time runs: a deadline takes 30 µs; of a million jobs, 200."""
AGAIN = 1_000
"""Milliseconds until a store that has failed is asked for deadlines again."""

LATEST = 253_402_300_799_000
"""The last second that has a date, in ms since the epoch."""
_NEVER = 1 << 62
_LONGEST_ALARM = 24 * 3600.0
_LONGEST_STEP = 0.05
"""Seconds of real time that what runs may take between two deadlines of a leap: what takes longer is a process."""


def _task() -> asyncio.Task[Any] | None:
    """The present task; None in a callback of the loop, and where there is no loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class JobDeadlines(Protocol):
    """The deadlines that live in a store's index rather than here."""

    async def first_due(self) -> tuple[int, object] | None:
        """The earliest deadline of any job, and which job that is."""
        ...

    async def expire_next(self, now: int) -> None:
        """Let the job with the earliest deadline, not later than `now`, meet it."""
        ...

    async def may_skip_to(self, due: int) -> bool:
        """Whether the time until the earliest deadline, `due`, may be left out."""
        ...


class Timeline:
    """The present time, every deadline to come, and what is running meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now: Callable[[], int] = clock.now
        """The present time; while a deadline fires, that deadline."""
        self._jobs: JobDeadlines | None = None
        self._timers = Timers()
        self._asks_at = 0
        """When the deadlines of jobs are asked for again: later than now only while their store fails."""
        self._earliest = _NEVER
        self.expected = _NEVER
        """The earliest that was expected since the store was asked last: of what is due later, nobody needs to tell."""
        self._firing_at: int | None = None
        self._is_firing = False
        """Whether some task catches up."""
        self._firing_task: asyncio.Task[Any] | None = None
        """That task; None where there is no loop."""
        self._fired: asyncio.Future[None] | None = None
        """What the others wait for."""
        self._alarm: asyncio.TimerHandle | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._closed = False
        self._has_leapt = False
        """Whether time has passed at once that nobody has gone through yet; while that is done, it is `_within`."""
        self._within: int | None = None
        if isinstance(clock, RealClock):
            clock.leapt = self._leapt
        self.running = 0
        """How many activities are counted at this moment."""
        self._calm: list[asyncio.Future[None]] = []
        self.leaps = Leaps(self)

    def watch(self, jobs: JobDeadlines) -> None:
        """Fire the deadlines of these jobs too."""
        self._jobs = jobs

    def drift(self) -> int:
        """What to add to a time for the time that people are shown, in ms."""
        return self.clock.drift()

    async def present(self) -> int:
        """The present time, once all that was due by now has fired: what a verb begins with."""
        now = self.now()
        if now < self._earliest or (self._firing_at is not None and self._is_mine()):
            return now
        await self.catch_up()
        return self.now()

    def _leapt(self) -> None:
        """Time has passed at once, as a frozen one does that is moved on: whoever looks next goes through it."""
        self._has_leapt, self._earliest = True, 0
        with contextlib.suppress(RuntimeError):  # from a thread without a loop
            asyncio.get_running_loop().call_soon(self._look)

    async def _go_on(self) -> None:
        """Go through such time, deadline by deadline, as `advance` does: what one brings about is due in it, too."""
        self._has_leapt, end, is_calm = False, self.clock.now(), True
        try:
            while is_calm and (due := await self.next_due()) is not None and due <= end:
                self._within, self.now = due, self._present
                await self.catch_up()
                is_calm = await self.settle(_LONGEST_STEP)
        finally:
            self._within, self.now = None, self.clock.now

    def _present(self) -> int:
        return self.clock.now() if self._within is None else self._within

    def at(self, due: int, callback: Callable[[], None]) -> Timer:
        """Call back at `due`; timers of the same time fire in the order they were set."""
        self.expect(due)
        return self._timers.add(due, callback)

    def while_standing(self, delay: int, callback: Callable[[], None]) -> asyncio.TimerHandle | None:
        """Call back after `delay` ms of real time, where that is not the time here; None where it is."""
        return None if self.clock.runs else asyncio.get_running_loop().call_later(delay / 1000, callback)

    @property
    def is_held(self) -> bool:
        """Whether somebody waits for time to be moved on, and something that runs holds it."""
        return bool(self._calm)

    def expect(self, due: int | None) -> None:
        """Something will be due then: be awake for it."""
        if due is None or self._closed:
            return
        if due < self.expected:
            self.expected = due
        if due < self._earliest:
            self._earliest = due
            self._set_alarm(due)

    async def may_skip_to(self, due: int) -> bool:
        """Whether the time until the earliest deadline, `due`, may be left out."""
        return self._jobs is None or await self._jobs.may_skip_to(due)

    async def next_due(self) -> int | None:
        """The earliest deadline there is."""
        first = self._timers.first_due()
        of_jobs = await self._first_due_of_jobs() if self._jobs else None
        if of_jobs is None or (first is not None and first < of_jobs):
            return first
        return of_jobs

    def ask_again(self) -> None:
        """The store of the jobs answers again, or has lost some: ask it what is due."""
        self._asks_at = 0
        self.expect(self.clock.now())

    async def _first_due_of_jobs(self) -> int | None:
        assert self._jobs is not None
        if self._asks_at and self.clock.now() < self._asks_at:
            self.expect(self._asks_at)
            return None
        try:
            first = await self._jobs.first_due()
        except Unavailable:
            self._ask_later()
            return None
        self._asks_at = 0
        return None if first is None else first[0]

    def _ask_later(self) -> None:
        self._asks_at = self.clock.now() + AGAIN
        self.expect(self._asks_at)

    async def catch_up(self) -> None:
        """Fire all that is due, each at its own time; after every batch others get their turn.

        Of two who do so at once, the second waits until the first has done, and looks again.
        """
        if self._has_leapt and not (self._is_firing and self._is_mine()):
            await self._go_on()
        while self._is_firing:
            if self._is_mine():
                return
            await self._others()
        self._is_firing, self._firing_task = True, _task()
        try:
            await self._fire_all()
        finally:
            self._is_firing, self._firing_task = False, None
            if self._fired is not None:
                fired, self._fired = self._fired, None
                fired.set_result(None)

    def _is_mine(self) -> bool:
        """Whether it is the present task that fires deadlines."""
        return self._firing_task is _task()

    async def _others(self) -> None:
        """Wait until the task that fires deadlines has done so."""
        if self._fired is None:
            self._fired = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._fired)  # one who is cancelled leaves it to the others

    async def _fire_all(self) -> None:
        now = self._present()
        while now >= self._earliest:
            due = await self._fire_batch(now)
            self._earliest = _NEVER
            self.expect(self.expected if due is None else min(due, self.expected))
            if due is None or due > now:
                return
            await turn()

    async def _fire_batch(self, now: int) -> int | None:
        """Fire up to `BATCH` deadlines, where time runs for up to `LONGEST_BATCH`; returns when the next is due.

        Of the first nobody asks: it is known when that is, and where it was cancelled since, nothing fires.
        """
        over = work_time() + LONGEST_BATCH if self.clock.runs else math.inf
        due: int | None = self._earliest
        try:
            for _ in range(BATCH):
                if due is None or due > now:
                    break
                self._stand(due)
                await self._fire(due)
                due = await self._ask()
                if work_time() > over:
                    break
            return due
        finally:
            self._firing_at = None
            self.now = self.clock.now if self._within is None else self._present

    def _stand(self, at: int) -> None:
        """A deadline fires: it is its time, until it has."""
        self._firing_at = at
        self.now = lambda: at if self._is_mine() else self._present()

    async def _ask(self) -> int | None:
        """When the next is due; what comes up while the store is asked is in `expected`."""
        self.expected = _NEVER
        return await self.next_due()

    async def advance(self, to: int) -> list[int]:
        """Move a virtual clock to `to`, deadline by deadline; returns the deadlines that fired.

        Before each, waits until nothing is running. Raises ConfigurationError for a time that is over, or too late.
        """
        clock = self.clock
        if not isinstance(clock, VirtualClock):
            raise TypeError("only a virtual clock can be advanced")
        now = clock.now()
        if not now <= to <= LATEST:
            shown = now + self.drift()
            raise ConfigurationError(f"a clock moves from now, {shown}, up to {LATEST}, the end of the year 9999")
        fired: list[int] = []
        while True:
            if self.running:
                await self.settle()
            due = await self.next_due()
            if self.running:  # begun while the store was asked
                continue
            if due is None or due > to:
                break
            clock.move_to(due)
            await self.catch_up()
            fired.append(due)
        clock.move_to(to)
        return fired

    @contextmanager
    def activity(self) -> Iterator[None]:
        """Hold virtual time while something is really running."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Count one running activity more."""
        self.running += 1

    def end(self) -> None:
        """Count one running activity less."""
        self.running -= 1
        if not self.running:
            calm, self._calm = self._calm, []
            for waiter in calm:
                if not waiter.done():
                    waiter.set_result(None)
            if self.leaps.impatient:
                self.leaps.hurry()

    async def settle(self, seconds: float | None = None) -> bool:
        """Wait until no activity is counted, for so many seconds of real time at most; returns whether that is so."""
        if seconds is not None and self.running:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.settle(), seconds)
            return not self.running
        while self.running:
            waiter = asyncio.get_running_loop().create_future()
            self._calm.append(waiter)
            await waiter
        return True

    def close(self) -> None:
        """Set no alarm any more."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm = None
        self._closed = True
        self.leaps.close()

    async def _fire(self, due: int) -> None:
        first = self._timers.first_due()
        if first is None or first > due:
            if self._jobs is not None:
                try:
                    await self._jobs.expire_next(due)
                except Unavailable:
                    self._ask_later()
            return
        try:
            self._timers.pop()()
        except Exception:
            log.exception("a timer failed")

    def _set_alarm(self, due: int) -> None:
        if not self.clock.runs:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        delay = max(0, due - self.clock.now()) / 1000
        self._alarm = loop.call_later(min(delay, _LONGEST_ALARM), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._earliest = min(self._earliest, self.clock.now())
        self._look()

    def _look(self) -> None:
        self._catching_up = asyncio.ensure_future(self.catch_up())
