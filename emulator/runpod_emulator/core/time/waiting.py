"""Waiting for news, for a deadline, or until the caller hangs up.

A wait is never cancelled or wrapped from outside. Waiters of a topic are woken first
come, first served; whoever is woken looks for itself whether there is still something
for it, in the same step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from enum import Enum

from runpod_emulator.core.time.leaps import Leaps
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.timers import Timer


class Outcome(Enum):
    """How a wait ended."""

    NEWS = 1
    DEADLINE = 2
    HUNG_UP = 3
    CLOSED = 4


class Caller:
    """Someone on the other end of a wait, who may leave."""

    hurries = False
    """Whether an automatic clock may leave out time while this one waits."""

    gone = False
    """Whether it has left."""
    coming: Leaps | None = None
    """Who knows that it is on its way, until it waits or is answered."""
    _waiter: Waiter | None = None

    def attach(self, waiter: Waiter) -> None:
        """The wait that leaving will end."""
        self._waiter = waiter

    def come(self, timeline: Timeline) -> None:
        """It has come: an automatic clock leaves out no time before it waits, or is answered."""
        self.coming = timeline.leaps
        self.coming.come()

    def arrive(self) -> None:
        """It waits, or is answered."""
        if self.coming is not None:
            self.coming.arrived()
            self.coming = None

    def detach(self) -> None:
        """The wait is over."""
        self._waiter = None

    def hang_up(self) -> None:
        """Leave: the wait ends, now or when it begins."""
        self.gone = True
        if self._waiter is not None:
            self._waiter.end(Outcome.HUNG_UP)


async def no_wait() -> Outcome:
    """A wait that is over at once: there are news."""
    return Outcome.NEWS


class Waiter:
    """One wait."""

    __slots__ = ("_room", "future", "timer", "topic")

    def __init__(self, room: WaitingRoom, topic: Hashable) -> None:
        self._room = room
        self.topic = topic
        self.future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.timer: Timer | None = None

    def end(self, outcome: Outcome) -> None:
        """End the wait; only the first end counts. Virtual time stands until the waiter has acted."""
        if not self.future.done():
            self._room.leave(self)
            self._room.timeline.begin()
            self.future.set_result(outcome)


class WaitingRoom:
    """All waits of one emulator, by topic."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._topics: dict[Hashable, dict[Waiter, None]] = {}
        self.closed = False

    async def wait(
        self, topic: Hashable, until: int | None, caller: Caller | None = None, at: int | None = None
    ) -> Outcome:
        """Wait for `call(topic)`, at most until the time `until`; `at` is the present, if it was read."""
        if self.closed:
            return Outcome.CLOSED
        if caller is not None and caller.gone:
            return Outcome.HUNG_UP
        if until is not None and until <= (self.timeline.now() if at is None else at):
            return Outcome.DEADLINE
        waiter = Waiter(self, topic)
        self._topics.setdefault(topic, {})[waiter] = None
        if until is not None:
            waiter.timer = self.timeline.at(until, lambda: waiter.end(Outcome.DEADLINE))
        if caller is not None:
            caller.attach(waiter)
            if caller.coming is not None:
                caller.arrive()
        hurries = caller is not None and caller.hurries and self.timeline.leaps.matter
        if hurries:
            self.timeline.leaps.begin_waiting()
        try:
            return await waiter.future
        finally:
            if hurries:
                self.timeline.leaps.end_waiting()
            self._depart(waiter, caller)

    def held(self) -> list[Hashable]:
        """The topic of every wait."""
        return [topic for topic, waiters in self._topics.items() for _ in waiters]

    def call(self, *topics: Hashable, most: int | None = None) -> None:
        """Wake the waiters of each of these topics, the `most` longest waiting ones."""
        for topic in topics:
            waiters = self._topics.get(topic)
            if waiters:
                for waiter in list(waiters)[:most]:
                    waiter.end(Outcome.NEWS)

    def call_all(self, *beginning: Hashable) -> None:
        """Wake the waiters of every topic that begins so."""
        for topic in list(self._topics):
            if isinstance(topic, tuple) and topic[: len(beginning)] == beginning:
                self.call(topic)

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter."""
        waiters = self._topics.get(waiter.topic)
        if waiters is not None and waiters.pop(waiter, 0) is None and not waiters:
            del self._topics[waiter.topic]
        if waiter.timer is not None:
            waiter.timer.cancel()

    def close(self) -> None:
        """End every wait, and each one to come."""
        self.closed = True
        for waiters in list(self._topics.values()):
            for waiter in list(waiters):
                waiter.end(Outcome.CLOSED)

    def _depart(self, waiter: Waiter, caller: Caller | None) -> None:
        if caller is not None:
            caller.detach()
        if waiter.future.done() and not waiter.future.cancelled():
            self.timeline.end()
        else:
            self.leave(waiter)
