"""What went wrong in other people's queues over such a server, and must not here. Two servers, one store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import (
    Cancelled,
    Completed,
    Emitted,
    Failed,
    Job,
    JobStatus,
    Requeued,
    Retried,
    Returned,
    Taken,
    Transition,
    apply,
)
from runpod_emulator.stores.redis.store import RedisStore

from tests.stores.counted import CountedStore, close_made
from tests.stores.test_two_at_once import Crowd, a_crowd, check_counts, check_one_order
from tests.waits import until
from tests.worlds import make_world


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with a_crowd() as crowd:
        yield crowd


# A job that is replaced is lost between the queue and the stream (docket 149, 188)

PLACES = """
local base, id = KEYS[1], ARGV[1]
local function has(name) return redis.call('ZSCORE', base .. name, id) and name or '' end
local running = redis.call('SISMEMBER', base .. ':running', id) == 1 and ':running' or ''
return {has(':queue') .. has(':held') .. running, redis.call('HGET', base .. ':job:' .. id, 'r')}
"""


async def test_a_job_that_moves_is_in_one_place_at_every_moment(crowd: Crowd):
    store = crowd.stores[0]
    await crowd.create("a")
    seen: Counter[tuple[str, str]] = Counter()
    moving = asyncio.ensure_future(_move(crowd))
    while not moving.done():
        where, record = await store.connection.do("EVAL", PLACES, 1, store.base("ep"), "a")
        seen[where.decode(), next(one for one in JobStatus if one.value.encode() in record).value] += 1
    await moving
    assert set(seen) <= {(":queue", "IN_QUEUE"), (":running", "IN_PROGRESS"), ("", "FAILED")}
    assert {status for _, status in seen} >= {"IN_QUEUE", "IN_PROGRESS"}
    await crowd.rest()
    check_one_order(crowd)
    await check_counts(crowd)


async def _move(crowd: Crowd) -> None:
    """Take a job, and bring it back in each way that there is, from any server, while others try it too."""
    for _ in range(40):
        (job,) = await crowd.claim("w", 1) or [None]
        if job is None:
            continue
        ends = Requeued(job.lease), Returned(job.lease), Failed("no", lease=job.lease)
        await asyncio.gather(*(crowd.update("a", event) for event in ends))
        if (await crowd.store.get("ep", "a")).status is JobStatus.FAILED:
            place = await crowd.store.next_place()
            await asyncio.gather(*(crowd.update("a", Retried(place)) for _ in range(3)))


# Two sweepers hand out the same job twice (taskiq-redis 123)


async def test_of_two_who_find_a_dead_server_each_job_comes_back_once(crowd: Crowd):
    for number in range(20):
        await crowd.create(f"job-{number}")
    assert len(await crowd.claim("dead", 20)) == 20

    async def sweep(store: RedisStore) -> None:
        (owner,) = await store.owners.over(10_000_000)
        for job in await store.owners.held(owner):
            await crowd.update(job.id, Requeued(job.lease))

    await asyncio.gather(*(sweep(store) for store in crowd.stores * 2))
    await crowd.rest()
    check_one_order(crowd)
    assert [(await store.counts("ep")).requeued for store in crowd.stores] == [20, 20]
    assert await crowd.stores[0].owners.held("dead") == []
    again = [job for jobs in await asyncio.gather(*(crowd.claim("w", 3) for _ in range(12))) for job in jobs]
    assert sorted(job.id for job in again) == sorted(f"job-{number}" for number in range(20))
    assert {(job.lease, job.retries) for job in again} == {(2, 1)}


async def test_a_delivery_is_given_to_one_of_many_senders(crowd: Crowd):
    await _owe(crowd.stores[0], "ep", 30)

    async def send(store: RedisStore) -> list[Delivery]:
        given: list[Delivery] = []
        while some := await store.deliveries.claim(5_000, 4, 60_000):
            given += some
        return given

    given = [one for some in await asyncio.gather(*(send(store) for store in crowd.stores * 3)) for one in some]
    assert sorted(one.serial for one in given) == list(range(30))
    assert {one.lease for one in given} == {1}


async def _owe(store: RedisStore, endpoint: str, number: int, due: int = 2_000, first: int = 0) -> None:
    for serial in range(first, first + number):
        await store.deliveries.owe_again(Delivery(endpoint, f"job-{serial}", serial, "http://h/", b"{}", due=due))
    await store.connection.do("SADD", f"{store.address.prefix}:endpoints", endpoint)


# A sweep begins at the head each time, and what is behind is never reached


async def test_an_endpoint_that_owes_much_does_not_keep_the_others_waiting(crowd: Crowd):
    store = crowd.stores[0]
    await _owe(store, "a", 10, due=2_000)
    await _owe(store, "z", 1, due=1_000, first=100)
    await _owe(store, "m", 1, due=2_000, first=5)
    first = await store.deliveries.claim(5_000, 2, 60_000)
    assert [(one.endpoint, one.serial) for one in first] == [("z", 100), ("a", 0)]
    then = await store.deliveries.claim(5_000, 6, 60_000)
    assert [(one.endpoint, one.serial) for one in then] == [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 5), ("m", 5)]


async def test_a_delivery_whose_receiver_is_never_there_does_not_keep_the_others_waiting(crowd: Crowd):
    store = crowd.stores[0]
    await _owe(store, "ep", 5)
    now, served = 2_000, Counter[int]()
    for _ in range(25):
        (one,) = await store.deliveries.claim(now, 1, now + 1_000)
        served[one.serial] += 1
        await store.deliveries.record(one._replace(attempts=one.attempts + 1, due=now + 10))
        now += 10
    assert served == dict.fromkeys(range(5), 5)


async def test_a_worker_that_may_not_have_the_first_jobs_finds_the_one_behind_them(crowd: Crowd):
    for number in range(70):
        await crowd.create(f"job-{number}")

    def change(job: Job) -> Transition | None:
        return apply(job, Taken("w"), 2_000) if job.id in ("job-67", "job-69") else None

    for most, expected in ((1, ["job-67"]), (3, ["job-69"]), (3, [])):
        claimed = await crowd.stores[0].claim("ep", most, change)
        assert [one.job.id for one in claimed.transitions] == expected
    assert len(await crowd.stores[0].queued("ep")) == 68


async def test_a_job_whose_record_is_lost_does_not_keep_those_behind_it_waiting(crowd: Crowd):
    """A server that evicts may throw away a record, and not its place in the queue."""
    for name in "abcd":
        await crowd.create(name)
    store = crowd.stores[0]
    await store.connection.do("UNLINK", f"{store.base('ep')}:job:a", f"{store.base('ep')}:job:c")
    assert [job.id for job in await crowd.claim("w", 2)] == ["b", "d"]
    assert await store.queued("ep") == []
    assert (await store.counts("ep")).queued == 0


async def test_a_deadline_whose_job_is_lost_does_not_keep_those_behind_it_waiting():
    store = CountedStore()
    world = make_world(store=store)
    store.timeline = world.emulator.timeline
    ended: list[str] = []
    store.news.transitions.append(lambda news: ended.append(news.job.id) if news.after is None else None)
    try:
        lost, other = [await world.endpoint.submit(Submission(b'{"a":1}', ttl=10_000 * number)) for number in (1, 2)]
        await store.connection.do("UNLINK", f"{store.base('ep')}:job:{lost.id}")
        await asyncio.wait_for(world.advance(25_000), 20)
        assert ended == [other.id]
    finally:
        await close_made()


# A batch is played again after an error in its middle (infrahub 10133)


async def test_a_batch_with_a_job_that_another_has_taken_takes_the_others_once(crowd: Crowd):
    for name in "abcd":
        await crowd.create(name)
    first, second = crowd.stores
    await crowd.rest()
    heads = first._records.heads

    async def heads_then_others(endpoint: str, skipped: int, most: int) -> Any:
        found = await heads(endpoint, skipped, most)
        first._records.heads = heads  # once
        await second.update("ep", "b", lambda job: apply(job, Cancelled(), 2_000))
        return found

    first._records.heads = heads_then_others
    claimed = await first.claim("ep", 3, lambda job: apply(job, Taken("w"), 2_000))
    assert [(one.job.id, one.job.lease) for one in claimed.transitions] == [("a", 1), ("c", 1), ("d", 1)]
    await until(lambda: all(len(heard) >= 8 for heard in crowd.heard))
    for heard in crowd.heard:
        assert Counter(type(one.event).__name__ for one in heard) == {"Submitted": 4, "Taken": 3, "Cancelled": 1}


async def test_a_sender_that_dies_in_the_middle_of_its_batch_leaves_the_rest_and_nothing_more(crowd: Crowd):
    first, second = crowd.stores
    await _owe(first, "ep", 4)
    batch = await first.deliveries.claim(2_000, 4, 5_000)
    for one in batch[:2]:
        assert await first.deliveries.record(one._replace(status=DeliveryStatus.DELIVERED))
    assert await second.deliveries.claim(4_999, 4, 9_000) == []
    rest = await second.deliveries.claim(5_000, 4, 9_000)
    assert [(one.serial, one.lease) for one in rest] == [(2, 2), (3, 2)]
    assert not await first.deliveries.record(batch[2]._replace(status=DeliveryStatus.DELIVERED))
    for one in rest:
        assert await second.deliveries.record(one._replace(status=DeliveryStatus.DELIVERED))
    assert [await store.deliveries.owes() for store in crowd.stores] == [False, False]


async def test_commands_that_are_sent_twice_since_their_answer_was_lost_happen_once(crowd: Crowd):
    store = crowd.stores[0]
    send = store.connection._answers

    async def twice(commands: Sequence[Sequence[Any]]) -> Sequence[Any]:
        await send(commands)
        return await send(commands)

    await store.counts("ep")
    store.connection._answers = twice
    crowd.stores = [store]
    await asyncio.gather(*(crowd.create(name) for name in "abc"))
    assert sorted(job.id for job in await crowd.claim("w", 3)) == ["a", "b", "c"]
    for number in range(3):
        await crowd.update("a", Emitted(1, (b"%d" % number,)))
    shown = await store.unread("ep", "a")
    assert shown.chunks == [b"0", b"1", b"2"]
    assert await store.acknowledge(shown)
    assert not await store.acknowledge(shown)
    assert (await store.unread("ep", "a")).chunks == []
    ended = await crowd.update("a", Completed(1, b"1"))
    assert ended is not None
    await crowd.rest()
    store.connection._answers = send
    check_one_order(crowd)
    await check_counts(crowd)
