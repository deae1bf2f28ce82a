"""Request windows and concurrency limits behind 429, per endpoint and operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from runpod_emulator.core.errors import RateLimited
from runpod_emulator.core.platform import Platform


class Operation(str, Enum):
    """What a client may ask of an endpoint."""

    RUN = "run"
    RUNSYNC = "runsync"
    STATUS = "status"
    STATUS_SYNC = "status_sync"
    STREAM = "stream"
    CANCEL = "cancel"
    RETRY = "retry"
    PURGE = "purge"
    HEALTH = "health"
    METRICS = "metrics"
    REQUESTS = "requests"
    BATCH = "batch"
    OPENAI = "openai"
    BALANCED = "balanced"
    """Any request to a load-balancing endpoint."""


MANAGEMENT, GRAPHQL = "management", "graphql"
"""What the journal calls requests of the management API; faults and these limits know nothing of them."""


class Row(NamedTuple):
    """One row of the published table; `concurrent` 0 is no limit."""

    rate: int
    concurrent: int


class Limit(NamedTuple):
    """What a counter keeps to: `rate` requests in a window of `window` ms, `concurrent` at once, 0 for any number."""

    rate: int
    concurrent: int
    window: int
    aligned: bool
    """Whether windows begin at whole multiples of their length, rather than with their first request."""


class Full(Exception):
    """A request was not counted; `wait` is in how many ms there is room, None for when another one has ended."""

    def __init__(self, wait: int | None) -> None:
        super().__init__(wait)
        self.wait = wait


class Entered(Protocol):
    """A request that was counted."""

    def leave(self) -> None:
        """It has ended. Where others must hear of that, they do a little later: nobody waits for it."""
        ...


class Counter(Protocol):
    """Counts the requests of each row of each endpoint, at all servers that it is shared by. Knows no rule."""

    async def enter(self, endpoint: str, row: str, at: int, limit: Limit) -> Entered:
        """Count a request, in one step; raises Full, and then does not."""
        ...

    async def clear(self, endpoint: str) -> None:
        """Begin an endpoint's rows anew; requests that are inside leave what was."""
        ...


@dataclass(slots=True)
class _Pool:
    """What has been counted for one row."""

    opened_at: int = -1
    count: int = 0
    inside: int = 0

    def leave(self) -> None:
        self.inside -= 1


class OwnCounter:
    """A `Counter` of this process alone; no call suspends."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, str], _Pool] = {}

    async def enter(self, endpoint: str, row: str, at: int, limit: Limit) -> Entered:
        """Count a request; raises Full."""
        pool = self._pools.get((endpoint, row))
        if pool is None:
            pool = self._pools[endpoint, row] = _Pool()
        rate, concurrent, window, aligned = limit
        if pool.opened_at < 0 or at >= pool.opened_at + window:
            pool.opened_at = at - at % window if aligned else at
            pool.count = 0
        if pool.count >= rate:
            raise Full(pool.opened_at + window - at)
        if concurrent and pool.inside >= concurrent:
            raise Full(None)
        pool.count += 1
        pool.inside += 1
        return pool

    async def clear(self, endpoint: str) -> None:
        """Begin an endpoint's rows anew."""
        for key in [key for key in self._pools if key[0] == endpoint]:
            del self._pools[key]


class Admission:
    """A request that was let in; it counts as inside until the `with` block, or whoever took it on, ends.

    One that is dropped, with an answer that a fault throws away, has ended too.
    """

    __slots__ = ("_entered",)

    def __init__(self, entered: Entered | None = None) -> None:
        self._entered = entered

    def take_on(self) -> Admission:
        """Another admission, which counts in place of this one."""
        taken, self._entered = Admission(self._entered), None
        return taken

    def __enter__(self) -> Admission:
        return self

    def __exit__(self, *error: object) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            entered.leave()

    def __del__(self) -> None:
        self.__exit__()


class Limits:
    """The limits of one endpoint, as `counter` counts. Every key belongs to the same user."""

    def __init__(
        self,
        platform: Platform,
        endpoint: str,
        counter: Counter,
        running_workers: Callable[[], Awaitable[int]],
    ) -> None:
        self._platform = platform
        self._endpoint = endpoint
        self._counter = counter
        self._running_workers = running_workers
        self.shown = 0
        """What to add to a time for the one that is shown, where time began anew: windows may begin at round ones."""
        window, aligned = platform.rate_limit_window, platform.rate_window == "aligned"
        rows = rows_of(platform) if window else {}
        self._limits = {name: Limit(*row, window, aligned) for name, row in rows.items()}

    async def admit(self, operation: Operation, at: int) -> Admission:
        """Count one request from now until the admission ends; raises RateLimited.

        A refused request does not count.
        """
        name = _row_name(operation, self._platform)
        limit = self._limits.get(name)
        if limit is None:
            return Admission()
        try:
            return Admission(await self._counter.enter(self._endpoint, name, at + self.shown, limit))
        except Full as full:
            return await self._with_more(name, at, limit, full)

    async def _with_more(self, name: str, at: int, limit: Limit, full: Full) -> Admission:
        """Once more with what running workers add to the rate; raises RateLimited."""
        rate = await self._running_workers() * self._platform.requests_per_worker
        try:
            if full.wait is None or rate <= limit.rate:
                raise full
            limit = limit._replace(rate=rate)
            return Admission(await self._counter.enter(self._endpoint, name, at + self.shown, limit))
        except Full as still:
            if still.wait is None:
                raise self._refusal(1, limit.concurrent, f"{name}: {limit.concurrent} at once") from None
            why = f"{name}: {limit.rate} in {limit.window / 1000:g} s"
            raise self._refusal(max(1, -(-still.wait // 1000)), limit.rate, why) from None

    def _refusal(self, retry_after: int, limit: int, why: str) -> RateLimited:
        return RateLimited(retry_after, limit if self._platform.rate_limit_headers else None, why)


def rows_of(platform: Platform) -> dict[str, Row]:
    """The published table: requests per window and at once, by row."""
    return {
        "run": Row(platform.run_rate, platform.run_concurrency),
        "runsync": Row(platform.runsync_rate, platform.runsync_concurrency),
        "status": Row(platform.status_rate, platform.status_concurrency),
        "stream": Row(platform.stream_rate, platform.stream_concurrency),
        "cancel": Row(platform.cancel_rate, platform.cancel_concurrency),
        "purge": Row(platform.purge_rate, 0),
        "requests": Row(platform.requests_rate, platform.requests_concurrency),
        "openai": Row(platform.openai_rate, platform.openai_concurrency),
    }


def _row_name(operation: Operation, platform: Platform) -> str:
    if operation is Operation.STATUS_SYNC:
        return "status"
    if operation is Operation.STREAM and platform.shared_status_pool:
        return "status"
    return str(operation.value)
