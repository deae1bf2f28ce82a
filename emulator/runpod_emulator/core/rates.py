"""Request windows and concurrency limits behind 429, per endpoint and operation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

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
    OPENAI = "openai"
    BALANCED = "balanced"
    """Any request to a load-balancing endpoint."""


class Row(NamedTuple):
    """One row of the published table; `concurrent` 0 is no limit."""

    rate: int
    concurrent: int


@dataclass(slots=True)
class _Pool:
    """What has been counted for one row."""

    opened_at: int = -1
    count: int = 0
    inside: int = 0


class Admission:
    """A request that was let in; it counts as inside until the `with` block, or whoever took it on, ends.

    One that is dropped, with an answer that a fault throws away, has ended too.
    """

    __slots__ = ("_pool",)

    def __init__(self, pool: _Pool | None = None) -> None:
        self._pool = pool

    def take_on(self) -> Admission:
        """Another admission, which counts in place of this one."""
        taken, self._pool = Admission(self._pool), None
        return taken

    def __enter__(self) -> Admission:
        return self

    def __exit__(self, *error: object) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.inside -= 1

    def __del__(self) -> None:
        self.__exit__()


class Limits:
    """The windows of one endpoint. Every key belongs to the same user."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._rows = rows_of(platform)
        self._pools = {name: _Pool() for name in self._rows}

    def admit(self, operation: Operation, at: int, running_workers: int) -> Admission:
        """Count one request from now until the admission ends; raises RateLimited.

        A refused request does not count.
        """
        name = _row_name(operation, self._platform)
        if name not in self._rows or not self._platform.rate_limit_window:
            return Admission()
        pool = self._pools[name]
        self._enter(pool, self._rows[name], at, running_workers)
        return Admission(pool)

    def _enter(self, pool: _Pool, row: Row, at: int, running_workers: int) -> None:
        window = self._platform.rate_limit_window
        if pool.opened_at < 0 or at >= pool.opened_at + window:
            pool.opened_at = at - at % window if self._platform.rate_window == "aligned" else at
            pool.count = 0
        rate = max(row.rate, running_workers * self._platform.requests_per_worker)
        if pool.count >= rate:
            raise self._refusal(max(1, -(-(pool.opened_at + window - at) // 1000)), rate)
        if row.concurrent and pool.inside >= row.concurrent:
            raise self._refusal(1, row.concurrent)
        pool.count += 1
        pool.inside += 1

    def _refusal(self, retry_after: int, limit: int) -> RateLimited:
        return RateLimited(retry_after, limit if self._platform.rate_limit_headers else None)


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
