"""Claims at one emulator do not get into each other's way."""

from __future__ import annotations

import asyncio
from typing import Any

from runpod_emulator.core.jobs.job import Taken, apply, submit
from runpod_emulator.stores.redis.store import RedisStore

from tests.core.jobs.test_job import QUEUED
from tests.stores.servers import shared_server


async def test_of_many_claims_at_once_at_one_emulator_each_reads_the_queue_once():
    store = RedisStore(shared_server().address())
    for number in range(20):
        await store.create(submit(QUEUED._replace(id=f"j{number}", place=number)))
    asked: list[str] = []
    run = store.connection.run

    async def counted(script: Any, *arguments: Any) -> Any:
        asked.append(script.hash)
        return await run(script, *arguments)

    store.connection.run = counted  # type: ignore[method-assign]
    claims = [store.claim("ep", 1, lambda job: apply(job, Taken("w1"), 2_000)) for _ in range(20)]
    given = [claimed.transitions[0].job.id for claimed in await asyncio.gather(*claims)]
    assert given == [f"j{number}" for number in range(20)]
    assert len(asked) == 2 * 20
    await store.close()
