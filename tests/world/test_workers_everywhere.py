"""Workers of several servers over one store: those that poll come to any, those of ours are not too many."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable

import pytest
from runpod_emulator.core.endpoint.crew import NOTED_EACH, PATIENCE
from runpod_emulator.core.endpoint.polling import SAY_AGAIN
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Job, JobStatus
from runpod_emulator.core.jobs.owners import BEAT, LEASE
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.time.waiting import Caller

from tests.world.servers import Servers, begun, done
from tests.worlds import TestWorld

INPUT = Submission(b'{"a":1}')
PING = 10_000


@pytest.fixture(params=[0, 1, 5], ids=["at once", "one turn", "up to five turns"])
def servers(request: pytest.FixtureRequest) -> Servers:
    return Servers(request.param)


def polled(settings: EndpointSettings) -> EndpointSettings:
    return dataclasses.replace(settings, starts_workers=False, workers_min=0)


def bounded(most: int, fewest: int = 0) -> Callable[[EndpointSettings], EndpointSettings]:
    def changed(settings: EndpointSettings) -> EndpointSettings:
        return dataclasses.replace(
            settings, workers_max=most, workers_min=fewest, scaler="REQUEST_COUNT", scaler_requests=1
        )

    return changed


async def take(world: TestWorld, worker: str = "w", idle: bool = True) -> list[Job]:
    """What a poll finds that need not be held."""
    jobs = await world.endpoint.polling.take(worker, 1, idle, world.clock.now(), Caller())
    await asyncio.sleep(0)
    return jobs


async def polls(servers: Servers) -> tuple[TestWorld, TestWorld, Job]:
    """Two servers for workers from elsewhere, one of which has given a job to worker `w`."""
    here, there = await servers.start("a", settings=polled), await servers.start("b", settings=polled)
    await here.endpoint.submit(INPUT)
    (job,) = await take(here)
    await servers.settle()
    return here, there, job


async def report(world: TestWorld, job: Job, worker: str = "w") -> bool:
    return await world.endpoint.polling.report(worker, job.id, lambda lease: Completed(lease, b"1"))


# Workers that poll


async def test_a_ping_at_another_server_keeps_the_job(servers: Servers):
    here, there, job = await polls(servers)
    for _ in range(12):
        await servers.advance(PING)
        await there.endpoint.polling.ping("w", [job.id])
    now = await here.endpoint.status(job.id)
    assert (now.status, now.lease, now.retries) == (JobStatus.IN_PROGRESS, 1, 0)
    for world in (here, there):
        assert world.endpoint.fleet.workers["w"].jobs == {job.id}
    assert await report(there, job)


async def test_a_worker_that_is_silent_everywhere_is_gone_once(servers: Servers):
    here, there, job = await polls(servers)
    await servers.advance(PING)
    await there.endpoint.polling.ping("w", [job.id])
    await servers.advance(LEASE - NOTED_EACH)
    assert "w" in here.endpoint.fleet.workers
    await servers.advance(PING + BEAT)
    for world in (here, there):
        assert "w" not in world.endpoint.fleet.workers
        assert "w" not in world.endpoint.polling.visitors
    now = await here.endpoint.status(job.id)
    assert (now.status, now.retries) == (JobStatus.IN_QUEUE, 1)
    assert (servers.seen["a"].wins + servers.seen["b"].wins).count("Requeued") == 1
    assert servers.store.crews["ep"] == {}


async def test_a_report_counts_wherever_it_arrives_and_for_its_run_alone(servers: Servers):
    _, there, job = await polls(servers)
    assert not await report(there, job, worker="another")
    assert await report(there, job)
    assert not await report(there, job)
    await servers.settle()
    assert not there.endpoint.fleet.workers["w"].jobs


async def test_each_call_of_a_worker_goes_to_another_server(servers: Servers):
    worlds = [await servers.start(name, settings=polled) for name in "abc"]
    for number in range(12):
        one, next_one, third = (worlds[(number + step) % 3] for step in range(3))
        job = await one.endpoint.submit(INPUT)
        (taken,) = await take(next_one)
        assert taken.id == job.id
        await servers.advance(PING)
        await third.endpoint.polling.ping("w", [job.id])
        assert await report(one, job)
        await servers.settle()
    assert [world.endpoint.fleet.workers["w"].jobs for world in worlds] == [set(), set(), set()]
    assert (await worlds[0].endpoint.health()).completed == 12


@pytest.mark.parametrize("at", [0, 1])
async def test_a_poll_for_stops_gets_the_stop_wherever_it_is_held_and_a_ping_anywhere_ends_it(
    servers: Servers, at: int
):
    here, there, job = await polls(servers)
    one, other = (here, there)[at], (there, here)[at]
    poll = await begun(one.endpoint.polling.stops("w", servers.clock.now() + PING, Caller()))
    await there.endpoint.cancel(job.id)
    assert await done(poll) == [job.id]
    await servers.advance(SAY_AGAIN)
    assert await other.endpoint.polling.stops("w", servers.clock.now(), Caller()) == [job.id]
    await other.endpoint.polling.ping("w", [])
    await servers.advance(SAY_AGAIN)
    for world in (here, there):
        assert await world.endpoint.polling.stops("w", servers.clock.now(), Caller()) == []


async def test_a_worker_that_may_run_a_job_still_is_not_given_it_at_another_server(servers: Servers):
    here, there, job = await polls(servers)
    await servers.advance(LEASE - PING)
    await take(there, idle=False)  # the worker lives, but says nothing of the job
    await servers.advance(PING)
    assert (await here.endpoint.status(job.id)).status is JobStatus.IN_QUEUE
    assert await take(there, idle=False) == []
    poll = await begun(there.endpoint.polling.take("w", 1, False, servers.clock.now() + PING, Caller()))
    await here.endpoint.polling.ping("w", [])
    assert [(one.id, one.lease) for one in await done(poll)] == [(job.id, 2)]


async def test_what_an_idle_worker_has_dropped_elsewhere_is_dropped(servers: Servers):
    here, there, job = await polls(servers)
    await take(there)
    await servers.settle()
    assert not here.endpoint.fleet.workers["w"].jobs or not there.endpoint.fleet.workers["w"].jobs
    await servers.advance(LEASE)
    assert (await here.endpoint.status(job.id)).retries == 1


async def test_a_worker_that_two_servers_know_counts_once(servers: Servers):
    here, there, job = await polls(servers)
    await take(there, idle=False)
    await servers.advance(BEAT)
    for world in (here, there):
        workers = (await world.endpoint.health()).workers
        assert (workers.running, workers.idle, workers.ready) == (1, 0, 0)
    await report(here, job)
    await servers.advance(BEAT)
    for world in (here, there):
        workers = (await world.endpoint.health()).workers
        assert (workers.running, workers.idle, workers.ready) == (0, 1, 1)
        assert [*world.endpoint.fleet.workers] == ["w"]


async def test_a_server_that_starts_later_knows_who_polls_and_what_they_hold(servers: Servers):
    _, _, job = await polls(servers)
    late = await servers.start("c", settings=polled)
    await servers.settle()
    assert late.endpoint.fleet.workers["w"].jobs == {job.id}
    await late.endpoint.cancel(job.id)
    assert await late.endpoint.polling.stops("w", servers.clock.now(), Caller()) == [job.id]


async def test_the_server_where_a_worker_came_first_dies_and_the_worker_works_on(servers: Servers):
    _, there, job = await polls(servers)
    servers.kill("a")
    for _ in range(10):
        await servers.advance(PING)
        await there.endpoint.polling.ping("w", [job.id])
    assert (await there.endpoint.health()).workers.running == 1
    assert await report(there, job)


async def test_the_server_where_a_worker_came_first_ends_and_the_others_know_the_worker(servers: Servers):
    here, there, job = await polls(servers)
    await here.emulator.stop()
    del servers.worlds["a"]
    await servers.settle()
    assert there.endpoint.fleet.workers["w"].jobs == {job.id}
    await there.endpoint.cancel(job.id)
    assert await there.endpoint.polling.stops("w", servers.clock.now(), Caller()) == [job.id]


async def test_who_has_lost_news_looks_at_the_store(servers: Servers):
    _, there, job = await polls(servers)
    there.endpoint.fleet.workers.clear()  # as if it had heard of nobody
    there.endpoint.polling.visitors.clear()
    for lost in servers.views["b"].news.losses:
        lost("ep")
    await servers.settle()
    assert there.endpoint.fleet.workers["w"].jobs == {job.id}


async def test_that_a_worker_was_heard_is_written_once_a_second_and_told_to_nobody(servers: Servers):
    here, _, job = await polls(servers)
    words = len(servers.store.words)
    for _ in range(50):
        await here.endpoint.polling.ping("w", [job.id])
    await servers.advance(NOTED_EACH)
    await here.endpoint.polling.ping("w", [job.id])
    await servers.settle()
    assert servers.store.crews["ep"]["w"].heard == servers.clock.now()
    assert len(servers.store.words) == words


# How many workers there are


def alive(servers: Servers) -> dict[str, int]:
    """Workers of ours that each server has, but for those that are ill."""
    return {name: world.endpoint.fleet.alive for name, world in servers.worlds.items()}


async def test_a_job_that_comes_in_elsewhere_brings_up_a_worker_where_there_are_the_fewest(servers: Servers):
    here, there = [await servers.start(name, settings=bounded(4)) for name in "ab"]
    await servers.settle()
    assert (here.endpoint.work.crew.leads, there.endpoint.work.crew.leads) == (True, False)
    for _ in range(4):
        await there.endpoint.submit(INPUT)
        await servers.settle()
    assert alive(servers) == {"a": 2, "b": 2}
    await there.endpoint.submit(INPUT)
    await servers.settle()
    assert alive(servers) == {"a": 2, "b": 2}


async def test_the_maximum_and_the_minimum_hold_over_all_and_the_idle_go_down_to_the_minimum(servers: Servers):
    for name in "abc":
        await servers.start(name, settings=bounded(3, fewest=2))
    await servers.settle()
    assert sum(alive(servers).values()) == 2
    for world in servers.worlds.values():
        for worker in [*world.launcher.started]:
            await world.endpoint.work.worker_ready(worker, 1)
    jobs = [await servers.worlds["c"].endpoint.submit(INPUT) for _ in range(5)]
    await servers.settle()
    assert sum(alive(servers).values()) == 3
    for job in jobs:
        await servers.worlds["b"].endpoint.cancel(job.id)
    for world in servers.worlds.values():
        for worker in [*world.launcher.started]:
            await world.endpoint.work.worker_ready(worker, 1)
    await servers.advance(10 * LEASE)
    assert sum(alive(servers).values()) == 2
    assert len(servers.store.crews["ep"]) == 2


async def test_another_server_decides_once_the_one_that_did_is_gone(servers: Servers):
    here, there = [await servers.start(name, settings=bounded(3, fewest=1)) for name in "ab"]
    await here.endpoint.submit(INPUT)
    await servers.settle()
    servers.kill("a")
    await servers.advance(LEASE + BEAT)
    assert there.endpoint.work.crew.leads
    assert {member.owner for member in servers.store.crews["ep"].values()} == {"b"}
    for _ in range(5):
        await there.endpoint.submit(INPUT)
    await servers.settle()
    assert alive(servers) == {"b": 3}


async def test_a_server_that_ends_leaves_the_decision_and_the_places_to_others_at_once(servers: Servers):
    here, there = [await servers.start(name, settings=bounded(1)) for name in "ab"]
    await here.endpoint.submit(INPUT)
    await servers.settle()
    assert alive(servers) == {"a": 1, "b": 0}
    await here.emulator.stop()
    del servers.worlds["a"]
    await servers.settle()
    assert there.endpoint.work.crew.leads
    assert alive(servers) == {"b": 1}


async def test_an_order_that_a_dead_server_does_not_take_up_goes_to_another(servers: Servers):
    here, _ = [await servers.start(name, settings=bounded(4)) for name in "ab"]
    servers.kill("b")
    for _ in range(2):
        await here.endpoint.submit(INPUT)
    await servers.advance(PATIENCE + 1)
    assert alive(servers) == {"a": 2}


async def test_a_server_whose_workers_are_elsewhere_gets_none_of_ours(servers: Servers):
    here, there = await servers.start("a", settings=bounded(4)), await servers.start("b", settings=polled)
    for _ in range(4):
        await there.endpoint.submit(INPUT)
    await servers.settle()
    assert alive(servers) == {"a": 4, "b": 0}
    assert there.launcher.started == []
    assert here.endpoint.work.crew.leads


async def test_a_worker_that_cannot_start_is_tried_again_after_a_while_and_not_at_once(servers: Servers):
    here, there = [await servers.start(name, settings=bounded(1)) for name in "ab"]
    await there.endpoint.submit(INPUT)
    await servers.settle()
    for _ in range(3):
        (world,) = (world for world in (here, there) if world.endpoint.fleet.alive)
        number = len(here.launcher.started) + len(there.launcher.started)
        await world.endpoint.work.worker_broken(world.launcher.started[-1], "no such module")
        await servers.settle()
        assert len(here.launcher.started) + len(there.launcher.started) == number
        await servers.advance(world.endpoint.fleet.backoff.failed(servers.clock.now()) + 1)
        assert len(here.launcher.started) + len(there.launcher.started) == number + 1


async def test_a_server_that_was_given_up_while_it_slept_ends_what_is_too_much(servers: Servers):
    here, there = [await servers.start(name, settings=bounded(1, fewest=1)) for name in "ab"]
    await servers.settle()
    await here.endpoint.work.worker_ready(here.launcher.started[0], 1)
    await servers.settle()
    servers.sleep("a")
    await servers.advance(LEASE + 2 * BEAT)
    assert alive(servers) == {"a": 1, "b": 1}
    await servers.wake("a")
    await servers.advance(BEAT)
    assert alive(servers) == {"a": 0, "b": 1}
    assert there.endpoint.work.crew.leads


@pytest.mark.parametrize("seed", range(40))
async def test_servers_that_start_and_end_at_any_moment_never_have_more_workers_than_there_may_be(seed: int):
    dice = random.Random(seed)
    servers, most = Servers(dice.choice([1, 3, 7])), dice.randint(1, 4)
    fewest = dice.randint(0, most)
    names = [f"s{number}" for number in range(dice.randint(2, 4))]
    await asyncio.gather(*(servers.start(name, settings=bounded(most, fewest)) for name in names))
    assert sum(len(world.launcher.started) for world in servers.worlds.values()) <= most
    numbers: list[int] = []
    for world in servers.worlds.values():
        world.launcher.on_start = lambda: numbers.append(sum(alive(servers).values()))
    for _ in range(20):
        living = [*servers.worlds.values()]
        match dice.randint(0, 6):
            case 0 | 1:
                await asyncio.gather(*(dice.choice(living).endpoint.submit(INPUT) for _ in range(dice.randint(1, 6))))
            case 2:
                world = dice.choice(living)
                for worker in [one.id for one in world.endpoint.fleet.workers.values() if one.is_coming_up]:
                    await world.endpoint.work.worker_ready(worker, 1)
            case 3:
                world = dice.choice(living)
                await asyncio.gather(*(world.take(one) for one in [*world.endpoint.fleet.workers]))
            case 4:
                world = dice.choice(living)
                if workers := [*world.endpoint.fleet.workers]:
                    await world.endpoint.work.worker_gone(dice.choice(workers), replace=dice.random() < 0.5)
            case 5:
                await servers.advance(dice.choice([100, 6_000, BEAT]))
            case 6 if len(living) > 1 and dice.random() < 0.3:
                name = dice.choice([*servers.worlds])
                await servers.worlds.pop(name).emulator.stop()
        assert max([*numbers, sum(alive(servers).values())]) <= most, (numbers, alive(servers))
    await servers.settle()
    assert fewest <= sum(alive(servers).values()) <= most
    assert len(servers.store.crews["ep"]) == sum(alive(servers).values())


async def test_who_looks_on_sees_what_the_workers_of_others_do(servers: Servers):
    here, there = [await servers.start(name, settings=bounded(3)) for name in "ab"]
    elsewhere = here.endpoint.work.crew.elsewhere

    async def told() -> list[tuple[str, str, list[str]]]:
        await servers.settle()
        return [(one.server, one.state.value, one.jobs) for one in elsewhere.workers()]

    there.endpoint.autoscaler.start_one()
    assert await told() == [("b", "initializing", [])]
    worker = there.launcher.started[-1]
    await there.endpoint.work.worker_ready(worker, 1)
    assert await told() == [("b", "idle", [])]
    job = await there.endpoint.submit(INPUT)
    await there.take(worker)
    assert await told() == [("b", "running", [job.id])]
    await here.emulator.reset("ep")
    assert await told() == [("b", "idle", [])]
    await there.endpoint.work.worker_unhealthy(worker, "no GPU")
    await there.endpoint.work.worker_broken(worker, "no GPU")
    assert await told() == [("b", "unhealthy", [])]
    await there.endpoint.work.worker_gone(worker)
    assert await told() == []
