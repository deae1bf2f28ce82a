"""Request windows that several emulators share: the `Counter` on the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from runpod_emulator.core.rates import Entered, Full, Limit
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.stores.redis.connection import Connection, Script

_ENTER = Script("enter")
LATER = 1.0
"""Seconds until the server is told of requests that have ended, if no other one of their row comes in and tells it."""
SOON = 0.02
"""The same where so many have ended that others may be refused for them."""
MANY = 10
"""So many: this part of those that may be inside at once."""


class _Inside:
    """A request that was counted."""

    __slots__ = ("_left", "_most", "_row")

    def __init__(self, left: Callable[[tuple[str, str], int], None], row: tuple[str, str], most: int) -> None:
        self._left = left
        self._row = row
        self._most = most

    def leave(self) -> None:
        """It has ended."""
        self._left(self._row, self._most)


class RedisCounter:
    """Counts the requests of one world, as the server `owner`."""

    def __init__(self, connection: Connection, base: Callable[[str], str], owner: str) -> None:
        self._connection = connection
        self._base = base
        self._owner = owner
        self._ended: dict[tuple[str, str], int] = {}
        """How many requests of a row have ended of which nobody was told."""
        self._alarm: asyncio.TimerHandle | None = None
        self._is_soon = False
        """Whether that rings soon."""
        self._telling: set[asyncio.Task[None]] = set()

    async def enter(self, endpoint: str, row: str, at: int, limit: Limit) -> Entered:
        """Count a request; raises Full."""
        wait = await self._tell((endpoint, row), 1, at, *limit)
        if wait != -1:
            raise Full(None if wait == -2 else wait)
        return _Inside(self._leave, (endpoint, row), limit.concurrent)

    async def clear(self, endpoint: str) -> None:
        """Begin an endpoint's rows anew."""
        base = self._base(endpoint)
        rows = list(await self._connection.do("SMEMBERS", f"{base}:rows"))
        if rows:
            await self._connection.do("UNLINK", *(f"{base}:rate:{row.decode()}" for row in rows))

    async def close(self) -> None:
        """Tell of what has ended, and of nothing more."""
        if self._alarm is not None:
            self._alarm.cancel()
        await asyncio.gather(*self._telling, self._tell_all(), return_exceptions=True)

    def _leave(self, row: tuple[str, str], most: int) -> None:
        self._ended[row] = self._ended.get(row, 0) + 1
        is_urgent = 0 < most <= MANY * self._ended[row]
        if self._alarm is not None and is_urgent and not self._is_soon:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None:
            self._is_soon = is_urgent
            self._alarm = asyncio.get_running_loop().call_later(SOON if is_urgent else LATER, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._begin(self._tell_all())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_all(self) -> None:
        with contextlib.suppress(Unavailable):  # they count as inside until the next comes, or an hour has passed
            await asyncio.gather(*(self._tell(row, 0) for row in list(self._ended)))

    async def _tell(
        self, row: tuple[str, str], comes: int, at: int = 0, rate: int = 0, most: int = 0, window: int = 0,
        aligned: bool = False,
    ) -> int:  # fmt: skip
        endpoint, name = row
        ended = self._ended.pop(row, 0)
        if not comes and not ended:
            return -1
        arguments = at, rate, most, window, "1" if aligned else "", self._owner, ended, comes, name
        try:
            return int(await self._connection.run(_ENTER, self._base(endpoint), *arguments))
        except Unavailable:
            self._ended[row] = self._ended.get(row, 0) + ended
            raise
