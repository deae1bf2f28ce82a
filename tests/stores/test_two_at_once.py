"""Two servers over one store, whose calls are under way at once: everything happens once, in one order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from runpod_emulator.core.errors import IllegalTransition, JobNotFound
from runpod_emulator.core.jobs.job import (
    Cancelled,
    Completed,
    Emitted,
    Event,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Progressed,
    Requeued,
    Retried,
    Returned,
    Shortened,
    Taken,
    Transition,
    apply,
    submit,
)
from runpod_emulator.core.jobs.store import Admit, Counts
from runpod_emulator.stores.counting import count
from runpod_emulator.stores.redis.store import RedisStore

from tests.core.jobs.test_job import QUEUED
from tests.stores.servers import shared_server
from tests.stores.twins.world import Refused, as_told
from tests.waits import turns, until

_SOAK = float(os.environ.get("STORES_SOAK_SECONDS", "300"))
MOST_WAITING = 3


class Crowd:
    """Clients, workers and readers of one endpoint, each call of whom goes to any of the servers."""

    def __init__(self, stores: list[RedisStore], seed: int) -> None:
        self.stores = stores
        self.dice = random.Random(seed)
        self.heard: list[list[Transition]] = [[] for _ in stores]
        self.won: list[Transition] = []
        """What calls said that they have done."""
        self.emitted: dict[str, list[bytes]] = defaultdict(list)
        self.read: dict[str, list[bytes]] = defaultdict(list)
        self.refused = 0
        self.ended = False
        for store, heard in zip(stores, self.heard, strict=True):
            store.news.transitions.append(heard.append)

    @property
    def store(self) -> RedisStore:
        return self.dice.choice(self.stores)

    async def create(self, job_id: str, limit: int | None = None, **changes: Any) -> None:
        """Hand a job in, and again while too many wait."""

        def check(counts: Counts) -> None:
            if limit is not None and counts.queued > limit:
                raise Refused

        while True:
            place = await self.store.next_place()
            job = QUEUED._replace(id=job_id, place=place, lease=0, retries=0, **changes)
            transition = submit(job)
            try:
                await self.store.create(transition, Admit(check, limit))
            except Refused:
                self.refused += 1
                await turns()
                continue
            self.won.append(transition)
            return

    async def update(self, job_id: str, event: Event) -> Transition | None:
        """What the event did, if it did anything."""
        try:
            written = await self.store.update("ep", job_id, lambda job: apply(job, event, 2_000))
        except (JobNotFound, IllegalTransition):
            return None
        assert written.transition is not None
        self.won.append(written.transition)
        return written.transition

    async def claim(self, worker: str, most: int) -> list[Job]:
        claimed = await self.store.claim("ep", most, lambda job: apply(job, Taken(worker, owner=worker), 2_000))
        self.won += claimed.transitions
        return [transition.job for transition in claimed.transitions]

    async def work(self, worker: str) -> None:
        """Take jobs until the end, and do with each of them what a worker may."""
        while not self.ended:
            jobs = await self.claim(worker, self.dice.choice([1, 1, 3]))
            for job in jobs:
                await self._run(job)
            if not jobs:
                await turns()

    async def _run(self, job: Job) -> None:
        dice, lease = self.dice, job.lease
        for number in range(dice.randrange(3)):
            chunk = b'"%s %d %d"' % (job.id.encode(), lease, number)
            if await self.update(job.id, Emitted(lease, (chunk,))) is not None:
                self.emitted[job.id].append(chunk)
            await self.update(job.id, Progressed(lease, b'"%s"' % (b"x" * dice.choice([1, 70_000]))))
        ends = [Completed(lease, b"1"), Failed("no", None, lease), Requeued(lease), Returned(lease)]
        await asyncio.gather(*(self.update(job.id, dice.choice(ends)) for _ in range(2)))

    async def meddle(self, jobs: list[str]) -> None:
        """Do to any job what clients may."""
        while not self.ended:
            event = self.dice.choice([Cancelled(), Shortened(self.dice.randrange(9_000)), "retry"])
            if event == "retry":
                event = Retried(await self.store.next_place())
            await self.update(self.dice.choice(jobs), event)
            await turns()

    async def stream(self, job_id: str) -> None:
        """Read a job's chunks as one of several readers."""
        while not self.ended:
            with contextlib.suppress(JobNotFound):
                shown = await self.store.unread("ep", job_id)
                if shown.chunks and await self.store.acknowledge(shown):
                    self.read[job_id] += shown.chunks
            await turns()

    async def rest(self) -> None:
        """Wait until everybody has heard of everything."""
        await until(lambda: all(len(heard) >= len(self.won) for heard in self.heard))


@contextlib.asynccontextmanager
async def a_crowd(seed: int = 1, servers: int = 2) -> AsyncIterator[Crowd]:
    address = shared_server().address()
    stores = [RedisStore(address, owner=f"server-{number}") for number in range(servers)]
    for store in stores:
        store.news.follow("ep")
        await store.open()
    try:
        yield Crowd(stores, seed)
    finally:
        for store in stores:
            await store.close()


def check_one_order(crowd: Crowd) -> None:
    """Every server has heard of the same, in the same order, of which each step begins where the one before ended."""
    first, *others = crowd.heard
    for heard in others:
        assert [as_told(one) for one in heard] == [as_told(one) for one in first]
    known = Counter(id(one) for one in crowd.won)
    assert set(known.values()) == {1}
    for place, one in enumerate(first):
        own = [heard[place] for heard in crowd.heard if id(heard[place]) in known]
        assert len(own) == 1, f"{len(own)} servers say that they have done this: {one}"
    assert len(first) == len(crowd.won)
    exact = [next(heard[place] for heard in crowd.heard if id(heard[place]) in known) for place in range(len(first))]
    now: dict[str, Job | None] = {}
    for one in exact:
        assert one.before == now.get(one.job.id)
        now[one.job.id] = one.after


async def check_counts(crowd: Crowd) -> None:
    """The counts are those of the records, and of what has happened."""
    expected = Counts()
    for one in crowd.heard[0]:
        count(expected, one)
    for store in crowd.stores:
        found = await store.counts("ep")
        assert found == expected
        jobs, number = await store.recent("ep", 0, 10_000)
        assert number == len(jobs)
        by_status = Counter(job.status for job in jobs)
        assert {status: kept for status, kept in found.now.items() if kept} == dict(by_status)
        waiting = sorted((job for job in jobs if job.status is JobStatus.IN_QUEUE), key=lambda job: job.place)
        assert await store.queued("ep") == [job.id for job in waiting]


async def live(crowd: Crowd, jobs: int) -> None:
    """A short busy life, with everything at once."""
    names = [f"job-{number}" for number in range(jobs)]

    async def hand_in() -> None:
        await asyncio.gather(*(crowd.create(name, MOST_WAITING) for name in names))
        await turns()
        crowd.ended = True

    workers = [crowd.work(f"w{number}") for number in range(4)]
    readers = [crowd.stream(name) for name in names for _ in range(2)]
    await asyncio.wait_for(asyncio.gather(hand_in(), *workers, *readers, crowd.meddle(names), crowd.meddle(names)), 60)
    await crowd.rest()


async def check_life(seed: int, jobs: int) -> Counter[str]:
    """Live once and look at it; returns how often each kind of event was."""
    async with a_crowd(seed) as crowd:
        await live(crowd, jobs)
        check_one_order(crowd)
        await check_counts(crowd)
        check_nobody_came_in_while_too_many_waited(crowd.heard[0])
        check_chunks(crowd)
        return Counter(type(one.event).__name__ for one in crowd.won)


def check_nobody_came_in_while_too_many_waited(heard: list[Transition]) -> None:
    counts = Counts()
    for one in heard:
        assert one.before is not None or counts.queued <= MOST_WAITING
        count(counts, one)


def check_chunks(crowd: Crowd) -> None:
    """No chunk was read twice, none that was never sent, and those of a job in their order."""
    for job, chunks in crowd.read.items():
        sent = crowd.emitted[job]
        assert len(set(chunks)) == len(chunks)
        places = [sent.index(chunk) for chunk in chunks]
        assert places == sorted(places)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_is_done_at_once_happens_in_one_order(seed: int):
    kinds = await check_life(seed, 12)
    assert kinds["Submitted"] == 12 and kinds["Taken"] and kinds["Emitted"] and kinds["Completed"] + kinds["Failed"]


@pytest.mark.soak
async def test_five_minutes_of_everything_at_once():
    end, total = time.monotonic() + _SOAK, Counter[str]()
    while time.monotonic() < end:
        seed = random.SystemRandom().getrandbits(32)
        print(f"seed {seed}: {sum(total.values())} transitions before")
        total += await check_life(seed, 40)
    print(dict(total))


@pytest.mark.parametrize("most", [1, 3])
async def test_first_in_first_out_whoever_takes(most: int):
    async with a_crowd() as crowd:
        names = [f"job-{number}" for number in range(60)]
        for name in names:
            await crowd.create(name)
        await crowd.rest()

        async def take(worker: str) -> None:
            while await crowd.claim(worker, most):
                pass

        await asyncio.wait_for(asyncio.gather(*(take(f"w{number}") for number in range(6))), 30)
        await crowd.rest()
        taken = [one.job.id for one in crowd.heard[1] if isinstance(one.event, Taken)]
        assert taken == names
        check_one_order(crowd)


async def test_of_many_who_end_a_job_one_does():
    async with a_crowd() as crowd:
        await crowd.create("a")
        (job,) = await crowd.claim("w", 1)
        events = [Completed(job.lease, b"%d" % number) for number in range(10)] + [Cancelled()] * 10
        ends = await asyncio.gather(*(crowd.update("a", event) for event in events))
        (end,) = filter(None, ends)
        await crowd.rest()
        check_one_order(crowd)
        assert [one.event for one in crowd.heard[0] if one.ended] == [end.event]
        assert await crowd.store.get("ep", "a") == end.after


async def test_room_for_one_lets_one_in():
    async with a_crowd() as crowd:
        await asyncio.gather(*(crowd.create(f"job-{number}") for number in range(MOST_WAITING)))
        handing_in = [asyncio.ensure_future(crowd.create(f"late-{number}", MOST_WAITING)) for number in range(10)]
        await until(lambda: len(crowd.won) > MOST_WAITING and crowd.refused >= 40)
        counts = [await store.counts("ep") for store in crowd.stores]
        assert [one.queued for one in counts] == [MOST_WAITING + 1] * 2
        for task in handing_in:
            task.cancel()
        await asyncio.gather(*handing_in, return_exceptions=True)


async def test_a_chunk_is_for_one_of_many_readers():
    async with a_crowd() as crowd:
        await crowd.create("a")
        (job,) = await crowd.claim("w", 1)
        readers = [asyncio.ensure_future(crowd.stream("a")) for _ in range(8)]
        sent = [b"%d" % number for number in range(100)]
        for chunk in sent:
            await crowd.update("a", Emitted(job.lease, (chunk,)))
        await until(lambda: len(crowd.read["a"]) >= len(sent))
        crowd.ended = True
        await asyncio.gather(*readers)
        assert crowd.read["a"] == sent


async def test_a_job_that_is_forgotten_under_everybodys_hands_is_gone_once():
    async with a_crowd() as crowd:
        await crowd.create("a")
        (job,) = await crowd.claim("w", 1)
        events: list[Event] = [Forgotten(), Forgotten(), Completed(job.lease), Progressed(job.lease, b"1"), Cancelled()]
        await asyncio.gather(*(crowd.update("a", event) for event in events * 3))
        await crowd.rest()
        check_one_order(crowd)
        await check_counts(crowd)
        assert sum(one.after is None for one in crowd.heard[0]) == 1
