"""Calls of a store that must be done one after the other, for which nobody waits."""

from __future__ import annotations

import asyncio
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
        self._is_closed = False
        self._over: asyncio.Future[None] | None = None
        """When the last of those is done that are under way; None where none is."""

    def add(self, step: Step) -> None:
        """Do this behind all that was added before."""
        if self._is_closed:
            return
        self._steps.append(step)
        if self._over is None:
            self._over = asyncio.get_running_loop().create_future()
            self._later(self._work(self._over))

    async def close(self) -> None:
        """Do what was added, and nothing after that."""
        self._is_closed = True
        if self._over is not None:
            await self._over

    async def _work(self, over: asyncio.Future[None]) -> None:
        try:
            while self._steps:
                try:
                    await self._steps.popleft()()
                except Unavailable:  # the next heartbeat finds what differs
                    log.debug("the store was not told of a worker")
        finally:
            self._over = None
            over.set_result(None)
