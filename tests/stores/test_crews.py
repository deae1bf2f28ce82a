"""The workers of an endpoint over all servers: what the tests' store of several views does, a real server does too."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable

import pytest
from runpod_emulator.core.jobs.crews import Crews, Lead, Member, Word
from runpod_emulator.core.jobs.job import Taken, apply, submit
from runpod_emulator.core.jobs.store import JobStore
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.time.clock import RealClock
from runpod_emulator.stores.redis.store import RedisStore

from tests.core.jobs.test_job import QUEUED
from tests.stores.servers import shared_server
from tests.stores.shared import SharedStore
from tests.waits import until
from tests.worlds import make_world

OURS = Member("a", 2, False, 1_000)
STRANGER = Member("", 1, True, 1_000)


class Server:
    """One of two servers, and the words that it has heard."""

    def __init__(self, store: JobStore) -> None:
        assert store.owners is not None
        self.store = store
        self.crews: Crews = store.owners.crews
        self.words: list[Word] = []
        store.news.words.append(self.words.append)
        store.news.follow("ep")

    async def hears(self, *words: Word) -> None:
        """It has heard just these words since it was asked last."""
        await until(lambda: len(self.words) >= len(words))
        heard, self.words[:] = [*self.words], []
        assert heard == [*words]


@pytest.fixture(params=["views", "redis"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Server, Server]]:
    make: Callable[[], JobStore]
    if request.param == "views":
        make = SharedStore().view
    else:
        address = shared_server().address()
        make = lambda: RedisStore(address)  # noqa: E731
    stores = [make(), make()]
    servers = Server(stores[0]), Server(stores[1])
    for store in stores:
        await store.open()
    yield servers
    for store in stores:
        await store.close()


Pair = tuple[Server, Server]


async def test_both_know_who_joins_changes_and_leaves(pair: Pair):
    here, there = pair
    assert await here.crews.join("ep", "w 1", OURS, 1)
    assert await here.crews.members("ep") == await there.crews.members("ep") == {"w 1": OURS}
    up = OURS._replace(is_up=True, heard=2_000)
    assert await there.crews.join("ep", "w 1", up)
    assert await here.crews.members("ep") == {"w 1": up}
    assert await here.crews.leave("ep", "w 1")
    assert await here.crews.leave("ep", "w 1")
    assert await there.crews.members("ep") == {}
    for server in pair:
        await server.hears(Word("ep", "w 1", OURS), Word("ep", "w 1", up), Word("ep", "w 1"))


async def test_there_are_no_more_places_than_there_may_be_and_strangers_take_none(pair: Pair):
    here, there = pair
    await here.crews.join("ep", "stranger", STRANGER)
    joined = await asyncio.gather(*(pair[n % 2].crews.join("ep", f"w{n}", OURS, 3) for n in range(10)))
    assert sum(joined) == 3
    assert len(await there.crews.members("ep")) == 4
    inside = next(name for name in await here.crews.members("ep") if name != "stranger")
    assert await here.crews.join("ep", inside, OURS._replace(slots=5), 3)
    assert await here.crews.join("ep", "candidate", OURS)


async def test_that_somebody_was_heard_is_written_and_not_told(pair: Pair):
    here, there = pair
    await here.crews.join("ep", "w", STRANGER)
    await there.crews.join("ep", "w", STRANGER._replace(heard=9_000))
    assert (await here.crews.members("ep"))["w"].heard == 9_000
    assert not await here.crews.leave("ep", "w", unheard_since=8_999)
    assert await here.crews.leave("ep", "w", unheard_since=9_000)
    await there.hears(Word("ep", "w", STRANGER), Word("ep", "w"))


async def test_an_order_that_is_taken_up_is_told(pair: Pair):
    here, there = pair
    ordered = OURS._replace(heard=0)
    await here.crews.join("ep", "w", ordered)
    await there.crews.join("ep", "w", OURS)
    await here.hears(Word("ep", "w", ordered), Word("ep", "w", OURS))
    assert not await here.crews.leave("ep", "w", unheard_since=0)


async def test_of_those_that_go_at_once_enough_stay(pair: Pair):
    here, there = pair
    for number in range(4):
        await here.crews.join("ep", f"w{number}", OURS._replace(is_up=True))
    await here.crews.join("ep", "coming", OURS)
    await here.crews.join("ep", "stranger", STRANGER)
    spared = await asyncio.gather(*(pair[n % 2].crews.spare("ep", f"w{n}", 3) for n in range(4)))
    assert sum(spared) == 1
    assert await there.crews.spare("ep", "coming", 3), "it is not up anyway"
    assert sum(member.is_up and bool(member.owner) for member in (await here.crews.members("ep")).values()) == 3


async def test_what_a_worker_has_let_go_of_is_told(pair: Pair):
    here, there = pair
    await here.crews.free("ep", "w", ["j1", "j2"])
    for server in (here, there):
        await server.hears(Word("ep", "w", freed=("j1", "j2")))
        assert server.words == []


async def test_the_first_decides_until_its_time_is_over_or_it_leaves(pair: Pair):
    here, there = pair
    assert await here.crews.lead("ep", "handler", "a", 0, 40) == Lead("a", ["a"])
    assert await there.crews.lead("ep", "handler", "b", 10, 50) == Lead("a", ["a", "b"])
    await there.hears(Word("ep"), Word("ep"))
    assert await there.crews.lead("ep", "mock", "b", 10, 50) == Lead("b", ["b"])
    assert await there.crews.lead("ep", "handler", "b", 39, 79) == Lead("a", ["a", "b"])
    assert await there.crews.lead("ep", "handler", "b", 40, 80) == Lead("b", ["b"])
    assert await here.crews.lead("ep", "handler", "a", 50, 90) == Lead("b", ["a", "b"])
    assert await there.crews.lead("ep", "handler", "b", 60, 60) == Lead("", ["a"])
    assert await here.crews.lead("ep", "handler", "a", 61, 101) == Lead("a", ["a"])


async def test_the_jobs_of_workers_without_an_owner_are_found(pair: Pair):
    here, there = pair
    for name, taken in (("j1", Taken("w", 9_000)), ("j2", Taken("ours", None, "a")), ("j3", None)):
        job = QUEUED._replace(id=name, place=await here.store.next_place(), lease=0, retries=0)
        await here.store.create(submit(job))
        if taken is not None:
            await here.store.update("ep", name, lambda job, taken=taken: apply(job, taken, 2_000))
    assert [(job.id, job.worker) for job in await there.crews.polled("ep")] == [("j1", "w")]


async def test_a_worker_of_a_fleet_goes_when_its_idle_timeout_is_over(pair: Pair):
    here, _ = pair
    world = make_world(clock=RealClock(), store=here.store, owner="a", settings=briefly_idle)
    worker = await world.worker()
    await until(lambda: worker in world.launcher.stopped)
    assert (world.launcher.stopped, await here.crews.members("ep")) == ([worker], {})
    await world.emulator.stop()


def briefly_idle(settings: EndpointSettings) -> EndpointSettings:
    return dataclasses.replace(settings, idle_timeout=10)
