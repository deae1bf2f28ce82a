"""The store on a real server, for tests whose time is virtual: that stands while a command is under way."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from runpod_emulator.core.jobs.store import DeliveryStore, JobStore
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.stores.redis.store import RedisStore

from tests.stores.servers import shared_server

MADE: list[CountedStore] = []
"""Those that were not closed yet."""


class CountedStore(RedisStore):
    """The store of one emulator alone. Virtual time stands from the beginning of a call to its answer."""

    timeline: Timeline | None = None

    def __init__(self) -> None:
        super().__init__(shared_server().address())
        self.owners = None
        self.deliveries.shared = False
        self.calls = 0
        """Those under way."""
        for kept, protocol in ((self, JobStore), (self.deliveries, DeliveryStore)):
            for name, method in vars(protocol).items():
                if inspect.iscoroutinefunction(method):
                    setattr(kept, name, self._counted(getattr(kept, name)))
        MADE.append(self)

    def _counted(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*arguments: Any) -> Any:
            timeline = self.timeline
            if timeline is not None:
                timeline.begin()
            self.calls += 1
            try:
                return await call(*arguments)
            finally:
                self.calls -= 1
                if timeline is not None:
                    timeline.end()

        return counted


async def rest() -> None:
    """Let everything run until no call is under way, for twenty turns of the loop in a row."""
    quiet = 0
    while quiet < 20:
        await asyncio.sleep(0)
        quiet = 0 if any(store.calls for store in MADE) else quiet + 1


async def close_made() -> None:
    """Let go of every store that a test has made."""
    while MADE:
        await MADE.pop().close()
