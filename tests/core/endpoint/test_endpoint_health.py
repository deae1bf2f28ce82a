"""The counters of /health at every step of one scripted life, and of many random ones."""

from __future__ import annotations

from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Failed, TimedOut

from tests.core.passing_time import Passing
from tests.core.steps import both_profiles, take_now
from tests.worlds import TestWorld, make_world

JOB = Submission(b'{"a":1}')


async def counters(world: TestWorld) -> str:
    """The counters that are not zero, jobs first."""
    health = await world.endpoint.health()
    jobs = {name: getattr(health, name) for name in ("queued", "running", "completed", "failed", "retried")}
    return ", ".join(f"{name} {count}" for name, count in [*jobs.items(), *health.workers._asdict().items()] if count)


@both_profiles
async def test_a_life_step_by_step(passing: Passing, profile):
    world = passing.world(profile, scaler="REQUEST_COUNT", workers_max=2)
    endpoint = world.endpoint
    assert await counters(world) == ""
    one = await endpoint.submit(JOB)
    assert await counters(world) == "queued 1, initializing 1"
    two = await endpoint.submit(JOB)
    assert await counters(world) == "queued 2, initializing 2"
    three = await endpoint.submit(JOB)
    assert await counters(world) == "queued 3, initializing 2"
    first, second = world.launcher.started

    await endpoint.work.worker_broken(second, "no such module")
    assert await counters(world) == "queued 3, initializing 1, unhealthy 1"
    await passing.by(1_000)
    assert await counters(world) == "queued 3, initializing 2"
    third = world.launcher.started[2]

    await endpoint.work.worker_ready(first, 1)
    assert await counters(world) == "queued 3, idle 1, initializing 1, ready 1"
    (run,) = await take_now(world, first)
    assert (run.id, await counters(world)) == (one.id, "queued 2, running 1, initializing 1, running 1")
    await endpoint.work.worker_ready(third, 4)
    assert await counters(world) == "queued 2, running 1, idle 1, ready 1, running 1"
    runs = await take_now(world, third, most=4)
    assert [job.id for job in runs] == [two.id, three.id]
    assert await counters(world) == "running 3, running 2"

    await endpoint.work.report(one.id, Completed(1, b"1"))
    assert await counters(world) == "running 2, completed 1, idle 1, ready 1, running 1"
    await endpoint.work.report(two.id, Failed("boom", None, 1))
    assert await counters(world) == "running 1, completed 1, failed 1, idle 1, ready 1, running 1"
    await endpoint.work.worker_gone(third)
    assert await counters(world) == "queued 1, completed 1, failed 1, retried 1, idle 1, ready 1"
    await take_now(world, first)
    assert await counters(world) == "running 1, completed 1, failed 1, retried 1, running 1"
    await endpoint.work.worker_gone(first)
    assert await counters(world) == "completed 1, failed 2, retried 1"

    await endpoint.retry(two.id)
    assert await counters(world) == "queued 1, completed 1, failed 2, retried 1, initializing 1"
    await endpoint.cancel(two.id)
    assert await counters(world) == "completed 1, failed 2, retried 1, initializing 1"
    await endpoint.submit(JOB)
    assert await endpoint.purge() == 1
    assert await counters(world) == "completed 1, failed 2, retried 1, initializing 1"

    await endpoint.work.worker_ready(world.launcher.started[3], 1)
    await passing.by(5_000)
    assert await counters(world) == "completed 1, failed 2, retried 1"
    await passing.by(3_600_000)
    assert await counters(world) == "completed 1, failed 2, retried 1"
    assert (await endpoint.requests(0, 10))[1] == 0


async def test_timed_out_counts_as_failed_and_cancelled_nowhere():
    for counted in (True, False):
        world = make_world(health_timed_out_failed=counted)
        _, job = await world.running()
        await world.endpoint.work.report(job.id, TimedOut("late"))
        _, job = await world.running()
        await world.endpoint.cancel(job.id)
        health = await world.endpoint.health()
        assert (health.failed, health.completed, health.retried) == (int(counted), 0, 0)


async def test_one_worker_with_four_jobs_is_one_running_worker():
    world = make_world()
    worker = await world.worker(concurrency=4)
    for _ in range(4):
        await world.endpoint.submit(JOB)
    await take_now(world, worker, most=4)
    assert await counters(world) == "running 4, running 1"


async def test_ready_always_equals_idle():
    world = make_world(workers_max=5)
    for _ in range(3):
        await world.worker()
    await world.running()
    workers = (await world.endpoint.health()).workers
    assert (workers.idle, workers.ready, workers.running) == (3, 3, 1)
