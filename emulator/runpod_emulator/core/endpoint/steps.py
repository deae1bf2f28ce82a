"""Calls of a store that must be done one after the other, for which nobody waits."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from runpod_emulator.core.store_errors import Unavailable

log = logging.getLogger("runpod_emulator.engine")

Step = Callable[[], Awaitable[object]]


class Steps:
    """Does one step after the other, with the help of `later`; one that finds the store away is given up."""

    def __init__(self, later: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._later = later
        self._steps: deque[Step] = deque()
        self._is_working = False

    def add(self, step: Step) -> None:
        """Do this behind all that was added before."""
        self._steps.append(step)
        if not self._is_working:
            self._is_working = True
            self._later(self._work())

    async def _work(self) -> None:
        try:
            while self._steps:
                try:
                    await self._steps.popleft()()
                except Unavailable:  # the next heartbeat finds what differs
                    log.debug("the store was not told of a worker")
        finally:
            self._is_working = False
