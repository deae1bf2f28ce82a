"""When Python looks for garbage: what is young often, and all there is only once nothing has happened for a while.

A look at everything goes through every job that is stored, 400 ms at a million of them, and
nobody is served meanwhile. Only for a process that is the server's own.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from typing import Any

_YOUNG = (10_000, 20, 1_000)
"""New objects before those are looked through, and how often before the middle-aged, and all, are.

So all are looked through on the way only every 200 million objects, if calm never comes.
"""
_WATCH = 5.0
"""Seconds after a look at the middle-aged, and again and again, until the process has had a rest."""
_REST = 0.1
"""Seconds of work in such a time that still are a rest: then all are looked through."""
_MANY = 1_000
"""Namespaces that were dropped, 70 KB each, after which nobody waits for a rest."""


class Sweeper:
    """Takes the interpreter's collections over; `begin` once the server is ready.

    `dropped` tells how many namespaces were dropped so far: what is left of each is a ring.
    """

    def __init__(self, dropped: Callable[[], int] = lambda: 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._dropped = dropped
        self._dropped_before = 0
        self._work_before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Leave alone what the start has made, and look for garbage from now on."""
        gc.freeze()
        gc.set_threshold(*_YOUNG)
        gc.enable()
        gc.callbacks.append(self._collected)

    def end(self) -> None:
        """Hand the collections back."""
        gc.callbacks.remove(self._collected)
        if self._timer is not None:
            self._timer.cancel()

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "stop" and info["generation"] == 1:
            self._loop.call_soon_threadsafe(self._watch)

    def _watch(self) -> None:
        if self._timer is None:
            self._work_before = _work()
            self._timer = self._loop.call_later(_WATCH, self._look)

    def _look(self) -> None:
        self._timer = None
        dropped = self._dropped()
        if _work() - self._work_before > _REST and dropped < self._dropped_before + _MANY:
            self._watch()
            return
        self._dropped_before = dropped
        gc.unfreeze()  # what was kept before may be garbage by now
        gc.collect()
        gc.freeze()


def _work() -> float:
    """Seconds for which this process has used a processor so far."""
    times = os.times()
    return times.user + times.system
