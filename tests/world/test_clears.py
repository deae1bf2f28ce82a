"""Several worlds over one store: a reset in one of them is heard by all, and none keeps what was forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Emitted, JobStatus
from runpod_emulator.core.records.news import Effect
from runpod_emulator.stores.memory import MemoryStore

from tests.core.steps import answer, beside, started, turns
from tests.stores.yielding import YieldingStore
from tests.worlds import TestWorld, make_world

JOB = Submission(b'{"a":1}')
LATER = 60_000


class Resets(Effect):
    """Those that a world was told of."""

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def cleared(self, endpoint: str | None) -> None:
        self.told.append(endpoint)


def two_worlds(effect: Resets) -> tuple[TestWorld, TestWorld]:
    first = make_world(store=MemoryStore())
    return first, make_world(clock=first.clock, store=first.emulator.store, effects=[effect])


@pytest.mark.parametrize("endpoint", [None, "ep"])
async def test_every_world_lets_go_of_what_was_forgotten(endpoint: str | None):
    resets = Resets()
    here, there = two_worlds(resets)
    worker, job = await there.running(JOB)
    await there.endpoint.work.report(job.id, Emitted(job.lease, (b"1",)))
    waiting = [
        await started(there.endpoint.wait(job.id, None)),
        await started(here.endpoint.wait(job.id, here.clock.now() + LATER)),
    ]
    await here.emulator.reset(endpoint)
    for one in waiting:
        with pytest.raises(JobNotFound):
            await answer(one)
    assert not there.endpoint.fleet.workers[worker].jobs
    assert there.launcher.stopped_jobs == [(worker, job.id, job.lease)]
    assert here.launcher.stopped_jobs == []
    assert [list(world.emulator.history.jobs()) for world in (here, there)] == [[], []]
    assert resets.told == [endpoint]
    assert not await there.endpoint.work.accept(job.id, Emitted(job.lease, (b"2",)))
    again = await here.endpoint.submit(JOB)
    assert [taken.id for taken in await there.take(worker)] == [again.id]


async def test_the_jobs_of_other_endpoints_stay():
    here, there = two_worlds(Resets())
    other = beside(there, "other")
    beside(here, "other")
    worker, job = await other.running(JOB)
    await here.emulator.reset("ep")
    assert other.endpoint.fleet.workers[worker].jobs == {job.id}
    assert (await other.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS


async def test_a_world_that_has_stopped_hears_of_no_more():
    resets = Resets()
    here, there = two_worlds(resets)
    await there.emulator.stop()
    await here.emulator.reset()
    assert resets.told == []


@pytest.mark.parametrize("verb", ["take", "submit"])
async def test_no_world_keeps_what_comes_as_its_store_is_cleared(verb: str):
    verbs: dict[str, Callable[[TestWorld, str], Awaitable[object]]] = {
        "take": lambda world, worker: world.take(worker),
        "submit": lambda world, worker: world.endpoint.submit(JOB),
    }
    for seed in range(20):
        store = YieldingStore(seed, 4)
        world = make_world(store=store)
        store.timeline = world.emulator.timeline
        await world.endpoint.submit(JOB)
        worker = await world.worker()
        await asyncio.gather(world.emulator.reset(), verbs[verb](world, worker))
        await turns(200)
        jobs, _ = await store.recent("ep", 0, 9)
        held = {job.id for job in jobs if job.status is JobStatus.IN_PROGRESS}
        assert world.endpoint.fleet.workers[worker].jobs == held
        assert set(world.emulator.history.jobs()) == {(job.endpoint, job.id) for job in jobs}
