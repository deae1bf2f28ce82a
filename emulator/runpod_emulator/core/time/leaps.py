"""How an automatic clock leaves out time that nobody needs.

It must guarantee that whoever waits for time to pass waits for no real time, and that nobody misses what a real clock
would have shown. So it leaves out the time until the next deadline, and no more, once somebody waits
(`begin_waiting`), nothing is counted (`Timeline.running`), and nobody is on the way: a request that has come (`come`)
waits or is answered first (`arrived`), and those that a client sends at once are heard together. Whoever is slow to
say what it wants, by a body that comes in pieces, is not waited for.

    at rest -- `hurry` --> hears who comes --> leaps --> fires the deadline --> at rest, or again

`hurry` is called by whatever may have made it possible: a wait begins, the last activity ends, a result is read. One
leap is under way at a time; what calls meanwhile lets it look once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from runpod_emulator.core.time.clock import AutoClock, Clock, ticks, turn, wait_really

_TURNS = 3
"""Turns of the loop before time is left out, in which what has arrived meanwhile is heard."""
_QUIET = 0.001
"""Seconds without an arrival before time is left out: requests that a client sends at once belong together."""
_PATIENCE = 0.05
"""Seconds for which who is on the way is waited for."""


class Line(Protocol):
    """What it needs of the time line."""

    clock: Clock
    running: int

    async def next_due(self) -> int | None:
        """The earliest deadline there is."""
        ...

    async def may_skip_to(self, due: int) -> bool:
        """Whether the time until the earliest deadline, `due`, may be left out."""
        ...

    async def catch_up(self) -> None:
        """Fire all that is due."""
        ...


class Leaps:
    """Those of one time line; with a clock that is not automatic there are none, and waits may be in vain."""

    def __init__(self, timeline: Line) -> None:
        self.in_vain: Callable[[], None] | None = None
        """Called when somebody waits for time to pass, nothing runs, and time does not pass by itself."""
        self._timeline = timeline
        self.matter = isinstance(timeline.clock, AutoClock) or not timeline.clock.runs
        """Whether it matters who waits: on a real clock time passes by itself, and none is left out."""
        self.impatient = 0
        """How many wait for time to pass."""
        self._coming = 0
        """How many requests have come, and neither wait nor are answered yet."""
        self._came = float("-inf")
        """When the last one has come, in ticks of the machine."""
        self._again = False
        """Whether something has changed since it has looked."""
        self._jumping: asyncio.Task[None] | None = None
        self._closed = False

    def begin_waiting(self) -> None:
        """Somebody waits for time to pass."""
        self.impatient += 1
        self.hurry()

    def end_waiting(self) -> None:
        """Somebody waits no more."""
        self.impatient -= 1

    def come(self) -> None:
        """A request has come, which is not to be left behind."""
        self._coming += 1
        self._came = ticks()

    def arrived(self) -> None:
        """It waits now, or is answered."""
        self._coming -= 1

    def hurry(self) -> None:
        """Leave out the time until the next deadline, if the clock is automatic, somebody waits and nothing runs."""
        if not self.impatient or self._timeline.running or self._closed:
            return
        if self._jumping:
            self._again = True
        elif isinstance(self._timeline.clock, AutoClock):
            self._jumping = asyncio.ensure_future(self._jump())
            self._jumping.add_done_callback(self._jumped)
        elif self.in_vain is not None:
            self.in_vain()

    async def leap(self, may: Callable[[int], Awaitable[bool]] | None = None) -> bool:
        """Leave out the time until the next deadline, and let it fire; returns whether that was done.

        Only an automatic clock does, where nothing runs, and where `may`, which is told the deadline, agrees.
        """
        due = await self._timeline.next_due()
        clock = self._timeline.clock
        if due is None or self._timeline.running or self._closed or not isinstance(clock, AutoClock):
            return False
        if not await self._timeline.may_skip_to(due) or (may is not None and not await may(due)):
            return False
        clock.skip_to(due)
        await self._timeline.catch_up()
        return True

    def close(self) -> None:
        """Leave out nothing any more."""
        self._closed = True
        if self._jumping:
            self._jumping.cancel()

    async def _jump(self) -> None:
        await self._hear()
        self._again = False
        if self.impatient and await self.leap():
            self._again = True

    async def _hear(self) -> None:
        for _ in range(_TURNS):
            await turn()
        over = ticks() + _PATIENCE
        while (now := ticks()) < over and (self._coming or now - self._came < _QUIET):
            await wait_really(_QUIET if self._coming else self._came + _QUIET - now)

    def _jumped(self, jump: asyncio.Task[None]) -> None:
        self._jumping = None
        if self._again:
            self._again = False
            self.hurry()
