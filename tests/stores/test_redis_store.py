"""What is so of a store on a server alone: who hears what in which order, and what is left there."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import (
    Completed,
    Emitted,
    Forgotten,
    Job,
    Progressed,
    Taken,
    Transition,
    apply,
    submit,
)
from runpod_emulator.core.jobs.store import Cleared
from runpod_emulator.stores.redis.store import RedisStore

from tests.core.jobs.test_job import QUEUED
from tests.stores.servers import shared_server
from tests.stores.twins.keys import lives
from tests.stores.twins.world import as_told
from tests.waits import until

BIG = b'"' + b"x" * 70_000 + b'"'


@pytest.fixture
async def two() -> AsyncIterator[list[RedisStore]]:
    """Two servers' stores over one world, each of which follows the endpoint."""
    address = shared_server().address()
    stores = [RedisStore(address, owner=owner) for owner in ("s1", "s2")]
    for store in stores:
        store.news.follow("ep")
        await store.open()
    yield stores
    for store in stores:
        await store.close()


def listened(store: RedisStore) -> list[Transition | Cleared]:
    heard: list[Transition | Cleared] = []
    store.news.transitions.append(heard.append)
    store.news.clears.append(heard.append)
    return heard


async def create(store: RedisStore, job_id: str = "a", **changes: Any) -> Job:
    place = await store.next_place()
    job = QUEUED._replace(id=job_id, place=place, lease=0, retries=0, **changes)
    await store.create(submit(job))
    return job


async def take(store: RedisStore, most: int = 1) -> list[Transition]:
    return (await store.claim("ep", most, lambda job: apply(job, Taken("w"), 2_000))).transitions


async def test_news_that_comes_before_the_answer_is_told_whole(two: list[RedisStore]):
    """What this server has written itself it knows to the last byte, also where its reader is faster."""
    store, other = two
    heard, told = listened(store), listened(other)
    send = store.connection._answers

    async def slowly(commands: Sequence[Sequence[Any]]) -> Sequence[Any]:
        before = len(heard)
        answers = await send(commands)
        if isinstance(answers[0], list) and answers[0][:1] == [1]:  # a write
            await until(lambda: len(heard) > before)
        return answers

    await create(store, "warm-up")
    store.connection._answers = slowly
    await create(store, input=BIG, s3_config=b'{"a":1}')
    (_, taken) = await take(store, 2)
    written = [await store.update("ep", "a", lambda job, event=event: apply(job, event, 3_000)) for event in (
        Progressed(taken.job.lease, BIG), Emitted(taken.job.lease, (BIG, b"1")), Completed(taken.job.lease, BIG)
    )]  # fmt: skip
    assert [one.transition for one in written] == heard[-3:]
    assert isinstance(heard[1], Transition) and heard[1].job.input == BIG
    store.connection._answers = send
    await until(lambda: len(told) == len(heard))
    assert told == [as_told(one) for one in heard]


async def test_an_endpoint_that_one_server_drops_is_no_more_at_the_other(two: list[RedisStore]):
    store, other = two
    heard = listened(other)
    await create(store)
    await until(lambda: heard)
    assert (await other.counts("ep")).queued == 1 and (await other.get("ep", "a")).id == "a"
    await store.drop("ep")
    await until(lambda: other._reader.position("ep") == 2)
    claimed = await other.claim("ep", 1, lambda job: apply(job, Taken("w"), 2_000))
    assert (claimed.transitions, claimed.counts.queued) == ([], 0)
    with pytest.raises(JobNotFound):
        await other.update("ep", "a", lambda job: apply(job, Forgotten(), 1))
    assert len(heard) == 1


@pytest.mark.parametrize("is_all", [True, False])
async def test_a_clear_is_heard_by_all_in_its_place(two: list[RedisStore], is_all: bool):
    store, other = two
    heard = [listened(one) for one in two]
    for name in "abc":
        await create(store, name)
    await take(other, 2)
    await store.clear(None if is_all else "ep")
    await create(other, "d")
    await until(lambda: [len(one) for one in heard] == [7, 7])
    for by, pieces in zip(two, heard, strict=True):
        cleared = pieces[5]
        assert isinstance(cleared, Cleared)
        assert cleared.endpoint == (None if is_all and by is store else "ep")
        assert sorted(job.id for job in cleared.running) == ["a", "b"]
    await create(store, "a")
    assert [(await one.recent("ep", 0, 9))[1] for one in two] == [2, 2]


async def test_a_key_that_is_made_late_expires_too(two: list[RedisStore]):
    """Within a minute of the last renewal of all keys."""
    store = two[0]
    await create(store, input=BIG, webhook="http://h/")
    (taken,) = await take(store)
    await store.update("ep", "a", lambda job: apply(job, Emitted(taken.job.lease, (b"1",)), 3_000))
    owed = Delivery("ep", "a", taken.job.place, "http://h/", b"{}", due=3_000)
    await store.update(
        "ep", "a", lambda job: apply(job, Completed(taken.job.lease, BIG), 3_000)._replace(delivery=owed)
    )
    assert len(await store.deliveries.claim(3_000, 5, 9_000)) == 1
    await create(store, "held", held=True)
    kept = await lives(store)
    names = {name.partition("{ep}")[2] for name in kept}
    assert names >= {":owes", ":owed", ":bodies", ":leases", ":held", ":job:a:o", ":job:a:i", ":job:a:chunks", ":news"}
    assert [name for name, left in kept.items() if left < 0] == []
    await store.clear()
    await create(store)
    assert [name for name, left in (await lives(store)).items() if left < 0] == []


async def test_what_is_forgotten_leaves_who_has_done_it_for_a_minute(two: list[RedisStore]):
    store = two[0]
    before = set(await lives(store))
    await create(store, input=BIG, s3_config=BIG)
    (taken,) = await take(store)
    await store.update("ep", "a", lambda job: apply(job, Emitted(taken.job.lease, (b"1",)), 3_000))
    await store.update("ep", "a", lambda job: apply(job, Completed(taken.job.lease, BIG), 3_000))
    await store.update("ep", "a", lambda job: apply(job, Forgotten(), 3_000))
    kept = await lives(store)
    left = {name.rpartition(":")[2]: kept[name] for name in set(kept) - before}
    assert set(left) == {"counts", "news", "places", "w"}
    assert left["w"] <= 60_000


async def test_a_store_that_is_closed_at_once_leaves_no_reader():
    for turns in range(12):
        store = RedisStore(shared_server().address())
        store.news.follow("ep")
        for _ in range(turns):
            await asyncio.sleep(0)
        await store.close()
        assert all(reader.task is not None and reader.task.done() for reader in store._reader._readers.values())
    await asyncio.sleep(0)
    gc.collect()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "news.py" in repr(task)]
