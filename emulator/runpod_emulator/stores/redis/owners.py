"""The servers over one store, on the store itself: until when each lives, and what its workers are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.jobs.owners import LEASE, Numbers
from runpod_emulator.stores.records import job_read
from runpod_emulator.stores.redis.connection import Connection, anyhow
from runpod_emulator.stores.redis.crews import RedisCrews
from runpod_emulator.stores.redis.replies import scored
from runpod_emulator.stores.redis.transitions import KEPT, untold


class RedisOwners:
    """The `Owners` of one world; `read` returns a job's record, None for one that is gone."""

    def __init__(
        self,
        connection: Connection,
        world: str,
        endpoints: Callable[[], Awaitable[list[str]]],
        base: Callable[[str], str],
        crews: RedisCrews,
    ) -> None:
        self.crews = crews
        self._connection = connection
        self._until = f"{world}:servers"
        self._workers = f"{world}:workers"
        self._kept = f"{world}:endpoints", f"{world}:places", f"{connection.address.prefix}:format"
        """What lives as long as some server does."""
        self._endpoints = endpoints
        self._base = base

    async def beat(self, owner: str, until: int, workers: Mapping[str, Numbers]) -> None:
        """The owner lives until the time `until`, with these workers by endpoint: in place of what it said before."""
        told = orjson.dumps({endpoint: list(numbers) for endpoint, numbers in workers.items()})
        commands: list[tuple[Any, ...]] = [
            anyhow("ZADD", self._until, until, owner),
            anyhow("HSET", self._workers, owner, told),
            *(("PEXPIRE", key, KEPT) for key in (self._until, self._workers, *self._kept)),
        ]
        await self._connection.all(commands)

    async def over(self, now: int) -> list[str]:
        """The owners whose time is over by `now`, also those that jobs name and that never beat."""
        ends: dict[str, int] = {}
        endpoints = await self._endpoints()
        keys = [("ZRANGE", f"{self._base(endpoint)}:owners", 0, -1, "WITHSCORES") for endpoint in endpoints]
        for found in await self._connection.all(keys):
            for owner, taken_at in scored(found):
                ends[owner] = max(ends.get(owner, 0), taken_at + LEASE)
        beating = dict(scored(await self._connection.do("ZRANGE", self._until, 0, -1, "WITHSCORES")))
        return [owner for owner, until in {**ends, **beating}.items() if until <= now]

    async def held(self, owner: str) -> list[Job]:
        """The jobs that name this owner."""
        jobs: list[Job] = []
        for endpoint in await self._endpoints():
            base = self._base(endpoint)
            names = await self._connection.do("SMEMBERS", f"{base}:held:{owner}")
            if not names:
                await self._connection.do("ZREM", f"{base}:owners", owner)
            keys = [("HGET", f"{base}:job:{name.decode()}", "r") for name in names]
            records = await self._connection.all(keys)
            jobs += [job_read(record, untold()) for record in records if record is not None]
        return [job for job in jobs if job.owner == owner]

    async def forget(self, owner: str, now: int) -> None:
        """Take an owner off the list, unless it has beaten since and lives by `now`."""
        until = await self._connection.do("ZSCORE", self._until, owner)
        if until is not None and int(float(until)) <= now:
            await self._connection.all([("ZREM", self._until, owner), ("HDEL", self._workers, owner)])

    async def workers(self, endpoint: str, now: int) -> Mapping[str, Numbers]:
        """The workers of an endpoint, by those owners who live by `now`."""
        found, living = await self._connection.all(
            [("HGETALL", self._workers), ("ZRANGEBYSCORE", self._until, f"({now}", "+inf")]
        )
        told = {owner.decode(): orjson.loads(text) for owner, text in dict(found).items()}
        alive = {owner.decode() for owner in living}
        return {
            owner: tuple(workers[endpoint]) for owner, workers in told.items() if owner in alive and endpoint in workers
        }
