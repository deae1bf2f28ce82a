"""A long queue on a Valkey or Redis server, filled fast: what one step costs then, and how much memory it takes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from runpod_emulator.core.jobs.job import Cancelled, Job, JobStatus, Taken, apply, submit
from runpod_emulator.stores.redis.address import Address, read_address
from runpod_emulator.stores.redis.connection import Connection
from runpod_emulator.stores.redis.jobs import Records
from runpod_emulator.stores.redis.news import NewsReader
from runpod_emulator.stores.redis.store import RedisStore

from tests.bench.rows import Sample

FEW = 1_000
BATCH = 250
"""Jobs that are written in one step while the queue is filled."""
TIMES = 400
"""Times that a step is measured."""
FAR = 86_400_000_000
_JOB = Job("ep", "", JobStatus.IN_QUEUE, b'{"message": "hello"}', 1_000, FAR, 60_000, 0, 0)


def job_of(number: int, text: bytes = _JOB.input) -> Job:
    """The job of this place."""
    return _JOB._replace(id=f"{number:08}-0000-4000-8000-000000000000-e1", place=number, input=text)


async def fill(address: Address, numbers: range, text: bytes = _JOB.input) -> None:
    """Put jobs into the queue, many in one step, by nobody who hears of it."""
    connection = Connection(address)

    def base(endpoint: str) -> str:
        return address.base("", endpoint)

    def hear(*told: Any) -> None:
        """Not at all."""

    deaf = NewsReader(connection, base, hear, hear, hear, hear)
    records = Records(connection, base, deaf)
    for start in range(numbers.start, numbers.stop, BATCH):
        jobs = [job_of(number, text) for number in range(start, min(start + BATCH, numbers.stop))]
        outcome = await records.write("ep", [("", submit(job)) for job in jobs])
        assert len(outcome.won) == len(jobs)
    await connection.close()


def measure_queue(url: str, jobs: int) -> Sample:
    """Microseconds of each step, and of the server's processor time for it, with few and with many jobs queued."""
    return asyncio.run(_queue(read_address(url), jobs))


async def _queue(address: Address, jobs: int) -> Sample:
    sample: Sample = {}
    there = 0
    for name, wanted in (("few", FEW), ("many", jobs)):
        await fill(address, range(there, wanted))
        there = wanted
        steps = _Steps(RedisStore(address), there)
        await steps.store.counts("ep")
        for verb, step in (("take", steps.take), ("cancel", steps.cancel)):
            sample[f"{verb}, {name}"], sample[f"{verb} cost, {name}"] = await _timed(steps, step)
        await steps.store.close()
        there += 2 * TIMES
    return sample


class _Steps:
    """What is done to the queue, in which so many jobs are."""

    def __init__(self, store: RedisStore, number: int) -> None:
        self.store = store
        self.number = number
        self._middle = number // 2

    async def add(self) -> None:
        await self.store.create(submit(job_of(self.number)))
        self.number += 1

    async def take(self) -> None:
        """Hand out the first one."""
        claimed = await self.store.claim("ep", 1, lambda job: apply(job, Taken("w"), 2_000))
        assert len(claimed.transitions) == 1

    async def cancel(self) -> None:
        """End one in the middle."""
        self._middle += 1
        written = await self.store.update("ep", job_of(self._middle).id, lambda job: apply(job, Cancelled(), 2_000))
        assert written.transition is not None


async def _timed(steps: _Steps, step: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """The median, and the mean of what the server has spent on it."""
    connection = steps.store.connection
    times: list[float] = []
    spent = 0.0
    for _ in range(TIMES):
        await steps.add()
        before = await _told(connection, "cpu", "used_cpu_user_main_thread")
        began = time.perf_counter()
        await step()
        times.append(1e6 * (time.perf_counter() - began))
        spent += await _told(connection, "cpu", "used_cpu_user_main_thread") - before
    return statistics.median(times), 1e6 * spent / TIMES


def measure_bytes(url: str, jobs: int) -> Sample:
    """Kilobytes of the server for each job with 1 KB of input, and megabytes of its news."""
    return asyncio.run(_bytes(read_address(url), jobs))


async def _bytes(address: Address, jobs: int) -> Sample:
    connection = Connection(address)
    base = address.base("", "ep")

    async def of_news() -> int:
        return int(await connection.do("MEMORY USAGE", f"{base}:news", "SAMPLES", 0))

    text = b'{"text": "%s"}' % (b"x" * 1_000)
    await fill(address, range(FEW), text)
    before = await _told(connection, "memory", "used_memory") - await of_news()
    await fill(address, range(FEW, FEW + jobs), text)
    news = await of_news()
    after = await _told(connection, "memory", "used_memory") - news
    record = int(await connection.do("MEMORY USAGE", f"{base}:job:{job_of(FEW).id}"))
    await connection.close()
    return {"queued": (after - before) / jobs / 1024, "record": record / 1024, "news": news / 2**20}


async def _told(connection: Connection, section: str, name: str) -> float:
    """A number that the server tells of itself."""
    told: dict[str, Any] = await connection.do("INFO", section)
    return float(told[name])
