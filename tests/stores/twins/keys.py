"""What stands on the server: every key expires by itself, and the indexes are those of the records."""

from __future__ import annotations

from typing import Any

from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.stores.redis.replies import scored
from runpod_emulator.stores.redis.store import RedisStore

from tests.stores.twins.world import ENDPOINTS, Twins

WORLDS = ("endpoints", "places", "servers", "workers", "format")
"""Keys that are not of one endpoint."""


async def lives(store: RedisStore) -> dict[str, int]:
    """For how many milliseconds each key of this prefix lives, if nobody writes it; -1 for ever."""
    do = store.connection.do
    names = [name async for name in store.connection.client.scan_iter(match=f"{store.address.prefix}:*", count=1_000)]
    return {name.decode(): int(await do("PTTL", name)) for name in names}


async def check_keys(twins: Twins) -> None:
    """Assert it of a world in which nothing is under way."""
    store = twins.stores[0]
    kept = await lives(store)
    assert [name for name, left in kept.items() if left < 0] == []
    expected: set[str] = set()
    for endpoint in ENDPOINTS:
        jobs, number = await twins.memory.recent(endpoint, 0, 10_000)
        assert number == len(jobs)
        await _check_indexes(store, endpoint, jobs)
        expected |= {f"{store.base(endpoint)}:job:{job.id}" for job in jobs}
    records = {name for name in kept if ":job:" in name and not name.endswith((":i", ":o", ":s", ":w", ":chunks"))}
    assert records == expected
    assert not [name for name in kept if ":gone:" in name]


async def _check_indexes(store: RedisStore, endpoint: str, jobs: list[Job]) -> None:
    base, do = store.base(endpoint), store.connection.do

    async def ranked(name: str) -> dict[str, int]:
        return dict(scored(await do("ZRANGE", f"{base}:{name}", 0, -1, "WITHSCORES")))

    async def members(name: str) -> set[str]:
        return {one.decode() for one in await do("SMEMBERS", f"{base}:{name}")}

    waiting = [job for job in jobs if job.status is JobStatus.IN_QUEUE]
    assert await ranked("queue") == {job.id: job.place for job in waiting if not job.held}
    assert await ranked("held") == {job.id: job.place for job in waiting if job.held}
    assert set(await ranked("all")) == {job.id for job in jobs}
    assert await members("running") == {job.id for job in jobs if job.status is JobStatus.IN_PROGRESS}
    for owner in {job.owner for job in jobs if job.owner}:
        assert await members(f"held:{owner}") == {job.id for job in jobs if job.owner == owner}
        assert owner in await ranked("owners")
    dues = await ranked("due")
    assert all(dues.get(job.id, job.next_deadline) == job.next_deadline for job in jobs)
    assert set(dues) <= {job.id for job in jobs}
    owed: list[Any] = [await do("HLEN", f"{base}:{name}") for name in ("owed", "bodies")]
    assert owed[0] == owed[1]
