"""On the memory store no verb suspends, except to wait: each is one step, whole and without a lock."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.endpoint.work import Work
from runpod_emulator.core.endpoint.workforce import Workforce
from runpod_emulator.core.errors import IllegalTransition
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, JobStatus, Progressed, Released
from runpod_emulator.core.time.waiting import Caller

from tests.core.steps import finish
from tests.worlds import TestWorld, make_world

HOOKED = Submission(b'{"a":1}', webhook="http://127.0.0.1:9/hook")


class Driver:
    """Calls verbs by hand: one send, and the answer must be there."""

    def __init__(self, world: TestWorld) -> None:
        self.world = world
        self.driven: set[str] = set()

    def __getattr__(self, verb: str) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            self.driven.add(verb)
            endpoint = self.world.endpoint
            owner = next(part for part in (endpoint, endpoint.work, endpoint.workforce) if hasattr(part, verb))
            return finish(getattr(owner, verb)(*arguments, **options))

        return step


def everything(driver: Driver) -> None:
    """A life that calls every verb where it has nothing to wait for."""
    world = driver.world
    later = world.clock.now() + 90_000
    one, two, three, four = (driver.submit(HOOKED) for _ in range(4))
    for _ in range(3):
        world.endpoint.autoscaler.start_one()
    worker, other, broken = world.launcher.started[-3:]
    driver.worker_ready(worker, 4)
    driver.worker_ready(other, 4)
    driver.worker_unhealthy(broken, "no GPU")
    driver.worker_broken(broken, "no such module")
    assert [job.id for job in driver.take(worker, 3, None, Caller(), 40_000)] == [one.id, two.id, three.id]
    driver.renew(worker, one.id)
    driver.looked(one.id)
    assert driver.report(one.id, Progressed(1, b"0.5"))
    assert driver.report(one.id, Emitted(1, (b'"chunk"',)))
    assert driver.next_chunks(one.id, later) == (JobStatus.IN_PROGRESS, [b'"chunk"'])
    assert driver.report(one.id, Completed(1, b"1"))
    assert driver.wait(one.id, later).status is JobStatus.COMPLETED
    assert driver.next_chunks(one.id, later) == (JobStatus.COMPLETED, [])
    assert driver.status(one.id, 60_000).kept_until == world.clock.now() + 60_000
    assert driver.accept(two.id, Failed("boom", None, 1))
    assert driver.retry(two.id).status is JobStatus.IN_QUEUE
    driver.drop(worker, driver.status(three.id), "it can't be sent")
    driver.refuse(worker, three.id, 1)
    assert driver.cancel(three.id).status is JobStatus.CANCELLED
    assert [job.id for job in driver.take(other, 1, None, Caller())] == [four.id]
    driver.strike(four.id, 9)
    with pytest.raises(IllegalTransition):
        driver.change(four.id, Released())
    assert not driver.owner_gone(four._replace(lease=9))
    assert driver.with_others(world.endpoint.worker_counts) == world.endpoint.worker_counts
    driver.worker_gone(other, replace=True)
    assert driver.requests(0, 10)[1] == 4
    assert driver.purge() == 2
    driver.expire(one.id, later)
    assert driver.health().completed == 1


async def test_every_verb_is_one_step():
    driver = Driver(make_world(workers_max=9))
    everything(driver)
    start = Driver(make_world(paused_endpoint="queue", workers_max=0))
    start.first_worker()
    start.submit(HOOKED)
    start.configure(start.world.endpoint.settings)
    finish(start.world.emulator.reset())
    start.submit(HOOKED)
    start.close()
    start.world.endpoint.autoscaler.stop()
    assert start.reload() is None
    verbs = {
        name
        for name, verb in (vars(Workforce) | vars(Work) | vars(Endpoint)).items()
        if inspect.iscoroutinefunction(verb) and name[0] != "_"
    }
    assert verbs == driver.driven | start.driven
    await driver.world.emulator.timeline.settle()
    assert len(driver.world.post.calls) == 3


async def test_every_verb_of_a_polling_worker_is_one_step():
    world = make_world(paused_endpoint="queue", workers_max=0)
    polling = world.endpoint.polling
    later = world.clock.now() + 10_000
    jobs = [await world.endpoint.submit(HOOKED) for _ in range(2)]
    assert [job.id for job in finish(polling.take("w1", 2, True, later, Caller()))] == [job.id for job in jobs]
    finish(polling.ping("w1", [job.id for job in jobs]))
    assert finish(polling.report("w1", jobs[0].id, lambda lease: Completed(lease, b"1")))
    await world.endpoint.cancel(jobs[1].id)
    assert finish(polling.stops("w1", later, Caller())) == [jobs[1].id]


@pytest.mark.parametrize("seconds", [10, 60, 86_400])
async def test_catching_up_is_part_of_the_same_step(seconds: int):
    world = make_world(workers_max=9)
    driver = Driver(world)
    for ttl in (10_000, 60_000, 86_400_000):
        driver.submit(HOOKED._replace(ttl=ttl))
    world.clock.move_to(world.clock.now() + seconds * 1_000)
    assert driver.health().queued == sum(ttl > seconds for ttl in (10, 60, 86_400))


@pytest.mark.parametrize("verb", ["take", "wait", "next_chunks", "first_worker"])
async def test_only_a_verb_with_nothing_to_answer_suspends(verb: str):
    world = make_world(workers_max=9)
    job = await world.endpoint.submit(HOOKED)
    world.endpoint.fleet.forget(world.launcher.started[0])
    (running,) = await world.take("w1")
    later = world.clock.now() + 90_000
    waiting = {
        "take": lambda: world.endpoint.work.take("w1", 1, later, Caller()),
        "wait": lambda: world.endpoint.wait(job.id, later),
        "next_chunks": lambda: world.endpoint.next_chunks(running.id, later),
        "first_worker": lambda: world.endpoint.workforce.first_worker(),
    }
    before = await world.endpoint.status(job.id)
    with pytest.raises(AssertionError, match="it suspended"):
        finish(waiting[verb]())
    assert await world.endpoint.status(job.id) == before


async def test_whole_lives_of_several_jobs_interleave_without_ever_suspending():
    world = make_world(workers_max=9)
    driver = Driver(world)
    world.endpoint.autoscaler.start_one()
    worker = world.launcher.started[0]
    driver.worker_ready(worker, 10)
    for _ in range(50):
        for _ in range(10):
            driver.submit(HOOKED._replace(webhook=None))
        jobs = driver.take(worker, 10, None, Caller())
        assert len(jobs) == 10
        assert all(driver.report(job.id, Completed(job.lease, job.input)) for job in jobs)
    assert driver.health()[:5] == (0, 0, 500, 0, 0)
