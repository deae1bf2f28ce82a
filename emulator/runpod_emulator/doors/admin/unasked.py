"""Webhooks that nobody has asked for: whoever waits for them is told so, and not only when all patience is over."""

from __future__ import annotations

import asyncio

from runpod_emulator.world.feeds import NEWS
from runpod_emulator.world.world import World

SAID = "jobs came, none of them waits or runs, and none has asked for a webhook"
_GRACE = 1.0
"""Seconds of real time without a request: somebody may be about to hand in a job that asks for one."""


class Unasked:
    """Finds out that such a wait is in vain. Before the first job it is not: somebody may wait beforehand."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._alarm: asyncio.TimerHandle | None = None
        self._mark = -1
        """Requests that had been answered when the alarm was set."""
        self._is_over = False

    def __enter__(self) -> Unasked:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    async def is_so(self) -> bool:
        """Whether that is so by now; where it may become so, those who wait for news are woken then."""
        world = self._world
        is_quiet = any(world.history.jobs()) and not (world.store.has_work() or len(world.attempts))
        if not is_quiet or await world.store.deliveries.owes():
            self._stop()
        elif self._mark != world.requests:
            self._stop()
            self._mark = world.requests
            self._alarm = asyncio.get_running_loop().call_later(_GRACE, self._end)
        return self._is_over

    def _end(self) -> None:
        self._is_over = self._mark == self._world.requests
        self._mark = self._mark if self._is_over else -1
        self._world.room.call(NEWS)

    def _stop(self) -> None:
        self._is_over, self._mark = False, -1
        if self._alarm is not None:
            self._alarm.cancel()
