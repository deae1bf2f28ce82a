"""When a wait on a clock that does not pass by itself is in vain, and who is told."""

from __future__ import annotations

import asyncio
import logging

from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.time.clock import AutoClock, VirtualClock, ticks
from runpod_emulator.world.feeds import NEWS
from runpod_emulator.world.standing import WAYS, in_vain, waiting, works_elsewhere
from runpod_emulator.world.world import World

log = logging.getLogger("runpod_emulator.timers")

_LOOK = 0.25
"""Seconds of real time between two looks: a thread of a test may be about to send a request. Where the clock stands,
one that finds nothing new is the end of the wait."""
_IDLE = 10.0
"""Seconds since something has happened last, on an automatic clock: as long as any wait on a real one."""
_WORTH_A_WORD = 1_000
"""Milliseconds of real time for which a client waits in vain before that is logged."""


class Mention:
    """Says in the log, once, that a client waits for time that stands, and what moves it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._alarm: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._then = 0
        self._is_over = False

    def begin(self) -> None:
        """Somebody waits: look again a little later."""
        if self._alarm is None and not self._is_over:
            self._then = self._world.timeline.now()
            self._alarm = self._world.timeline.while_standing(_WORTH_A_WORD, self._look)

    def _look(self) -> None:
        self._alarm = None
        clients, timeline = waiting(self._world), self._world.timeline
        if not clients or self._is_over or self._world.room.closed:
            return
        if timeline.now() != self._then or timeline.running:
            self.begin()
            return
        self._is_over = True
        self._task = asyncio.ensure_future(self._say(clients[0]))

    async def _say(self, who: str) -> None:
        log.warning("%s; %s", who, await in_vain(self._world, None, WAYS))


class Stillness:
    """Finds out that a wait is in vain where time does not pass by itself, or is left out.

    On a clock that stands: nothing runs, and nothing has happened for a while. On an automatic one the while is longer,
    and no job waits or runs in it: then real time passes, for somebody may be about to hand one in. `patience` is how
    many seconds of real time it may take whatever happens.
    """

    def __init__(self, world: World, patience: float | None = None) -> None:
        self.is_over = False
        """Whether it is in vain; those who wait for news are woken then."""
        self.is_late = False
        """Whether it took too long; they are woken then too."""
        self._world = world
        self._patience = patience
        self._heard = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None
        self._mark = self._state()
        self._since = ticks()
        """When something was seen to happen last."""

    def __enter__(self) -> Stillness:
        self._watch()
        if self._patience is not None:
            self._end = asyncio.get_running_loop().call_later(self._patience, self._late)
        return self

    def __exit__(self, *error: object) -> None:
        for alarm in (self._alarm, self._end):
            if alarm is not None:
                alarm.cancel()

    def heard(self, transition: Transition) -> None:
        """Something has happened."""
        self._heard += 1

    def _watch(self) -> None:
        if isinstance(self._world.timeline.clock, VirtualClock | AutoClock):
            self._alarm = asyncio.get_running_loop().call_later(_LOOK, self._look)

    def _look(self) -> None:
        before, self._mark = self._mark, self._state()
        if self._mark != before or self._goes_on():
            self._since = ticks()
        elif isinstance(self._world.timeline.clock, VirtualClock) or ticks() - self._since >= _IDLE:
            self.is_over = True
            self._world.room.call(NEWS)
            return
        self._watch()

    def _goes_on(self) -> bool:
        """Whether something may happen yet, by itself."""
        world = self._world
        leaves_out = isinstance(world.timeline.clock, AutoClock)
        return bool(world.timeline.running) or works_elsewhere(world) or (leaves_out and world.store.has_work())

    def _late(self) -> None:
        self.is_late = True
        self._world.room.call(NEWS)

    def _state(self) -> tuple[int, ...]:
        world = self._world
        is_auto = isinstance(world.timeline.clock, AutoClock)
        return (
            0 if is_auto else world.timeline.now(),
            world.requests,
            world.open_requests,
            len(world.attempts),
            self._heard,
        )
