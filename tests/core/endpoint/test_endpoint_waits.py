"""Long polls of clients and workers: woken in turn, ended by their deadline, forgotten when the caller leaves."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Completed, Job, JobStatus
from runpod_emulator.core.time.waiting import Caller, Outcome, Waiter

from tests.core.passing_time import Passing
from tests.core.steps import started, take_now, turns
from tests.worlds import TestWorld, make_world

JOB = Submission(b'{"a":1}')


async def takers(world: TestWorld, count: int, most: int = 1):
    """Workers that wait for a job, with their callers, longest waiting first."""
    waiting = []
    for number in range(count):
        caller = Caller()
        waiting.append((await started(world.endpoint.work.take(f"w{number}", most, None, caller)), caller))
    return waiting


def given(*tasks: asyncio.Task[list[Job]]) -> list[list[str] | None]:
    """Ids of the jobs each taker got; None for one who still waits."""
    return [[job.id for job in task.result()] if task.done() else None for task in tasks]


# Workers


async def test_jobs_go_to_the_waiting_workers_first_come_first_served():
    world = make_world()
    tasks = [task for task, _ in await takers(world, 3)]
    first = await world.endpoint.submit(JOB)
    second = await world.endpoint.submit(JOB)
    await turns()
    assert given(*tasks) == [[first.id], [second.id], None]
    third = await world.endpoint.submit(JOB)
    await turns()
    assert given(tasks[2]) == [[third.id]]


async def test_one_job_wakes_one_worker(monkeypatch: pytest.MonkeyPatch):
    world = make_world()
    tasks = [task for task, _ in await takers(world, 3)]
    woken: list[Outcome] = []
    end = Waiter.end
    monkeypatch.setattr(Waiter, "end", lambda waiter, outcome: (woken.append(outcome), end(waiter, outcome)))
    await world.endpoint.submit(JOB)
    await turns()
    assert [task.done() for task in tasks] == [True, False, False]
    assert woken == [Outcome.NEWS]
    world.emulator.hang_up()


async def test_a_worker_who_left_never_gets_a_job_and_the_next_one_does():
    world = make_world()
    (gone, caller), (task, _) = await takers(world, 2)
    caller.hang_up()
    job = await world.endpoint.submit(JOB)
    await turns()
    assert given(gone, task) == [[], [job.id]]
    assert (await world.endpoint.status(job.id)).worker == "w1"


@pytest.mark.one_step
async def test_a_worker_who_left_after_it_was_woken_passes_the_wake_on():
    world = make_world()
    (gone, caller), (task, _), (last, _) = await takers(world, 3)
    job = await world.endpoint.submit(JOB)
    caller.hang_up()
    await turns()
    assert given(gone, task, last) == [[], [job.id], None]
    world.emulator.hang_up()


@pytest.mark.one_step
async def test_a_wake_passes_several_who_left():
    world = make_world()
    waiting = await takers(world, 4)
    job = await world.endpoint.submit(JOB)
    waiting[0][1].hang_up()
    waiting[1][1].hang_up()
    other = await world.endpoint.submit(JOB)
    await turns()
    assert given(*(task for task, _ in waiting)) == [[], [], [job.id], [other.id]]


@pytest.mark.one_step
async def test_a_job_stays_queued_when_everybody_left():
    world = make_world()
    waiting = await takers(world, 2)
    job = await world.endpoint.submit(JOB)
    for _, caller in waiting:
        caller.hang_up()
    await turns()
    assert given(*(task for task, _ in waiting)) == [[], []]
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE
    assert [taken.id for taken in await take_now(world, await world.worker())] == [job.id]


async def test_a_caller_who_left_before_asking_gets_nothing():
    world = make_world()
    job = await world.endpoint.submit(JOB)
    caller = Caller()
    caller.hang_up()
    assert await world.endpoint.work.take("w1", 1, None, caller) == []
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE


@pytest.mark.one_step
async def test_a_worker_that_takes_several_leaves_the_one_woken_after_it_waiting():
    world = make_world()
    (both, _), (other, _) = await takers(world, 2, most=2)
    jobs = [await world.endpoint.submit(JOB), await world.endpoint.submit(JOB)]
    await turns()
    assert given(both, other) == [[job.id for job in jobs], None]
    job = await world.endpoint.submit(JOB)
    await turns()
    assert given(other) == [[job.id]]


async def test_a_lost_workers_job_wakes_the_next_one():
    world = make_world()
    worker, job = await world.running()
    ((task, _),) = await takers(world, 1)
    await world.endpoint.work.worker_gone(worker)
    await turns()
    assert given(task) == [[job.id]]


@pytest.mark.one_step
async def test_a_job_that_was_purged_before_the_woken_looked_leaves_it_waiting():
    world = make_world()
    ((task, _),) = await takers(world, 1)
    await world.endpoint.submit(JOB)
    await world.endpoint.purge()
    await turns()
    assert given(task) == [None]
    job = await world.endpoint.submit(JOB)
    await turns()
    assert given(task) == [[job.id]]


async def test_a_worker_waits_until_its_deadline(passing: Passing):
    world = passing.world()
    task = await started(world.endpoint.work.take("w1", 1, world.emulator.timeline.now() + 90_000, Caller()))
    await passing.by(89_999)
    await world.endpoint.health()
    await turns()
    assert given(task) == [None]
    await passing.by(1)
    await world.endpoint.health()
    await turns()
    assert given(task) == [[]]


# Clients


async def test_everyone_who_waits_for_a_job_hears_of_its_end():
    world = make_world()
    _, job = await world.running()
    waits = [await started(world.endpoint.wait(job.id, world.clock.now() + 90_000)) for _ in range(3)]
    await world.advance(5_000)
    assert not any(wait.done() for wait in waits)
    await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    assert [done.status for done in await asyncio.gather(*waits)] == [JobStatus.COMPLETED] * 3


async def test_a_wait_for_an_ended_job_is_answered_at_once():
    world = make_world()
    _, job = await world.running()
    await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    assert (await world.endpoint.wait(job.id, world.clock.now() + 90_000)).output == b"1"


@pytest.mark.parametrize("taken", [False, True])
async def test_a_wait_that_is_over_answers_the_job_as_it_is(passing: Passing, taken: bool):
    world = passing.world()
    job = await world.endpoint.submit(JOB)
    if taken:
        await take_now(world, await world.worker())
    wait = await started(world.endpoint.wait(job.id, world.emulator.timeline.now() + 90_000))
    await passing.by(89_999)
    await world.endpoint.health()
    await turns()
    assert not wait.done()
    await passing.by(1)
    await world.endpoint.health()
    status = JobStatus.IN_PROGRESS if taken else JobStatus.IN_QUEUE
    assert (await wait).status is status
    assert (await world.endpoint.status(job.id)).status is status


async def test_the_end_of_another_job_does_not_end_a_wait():
    world = make_world()
    _, other = await world.running()
    job = await world.endpoint.submit(JOB)
    wait = await started(world.endpoint.wait(job.id, world.clock.now() + 90_000))
    await world.endpoint.work.report(other.id, Completed(other.lease))
    await turns()
    assert not wait.done()
    world.emulator.hang_up()


async def test_a_wait_hears_that_its_job_was_deleted(passing: Passing):
    world = passing.world()
    job = await world.endpoint.submit(JOB._replace(ttl=10_000))
    wait = await started(world.endpoint.wait(job.id, world.emulator.timeline.now() + 90_000))
    await passing.by(10_000)
    await world.endpoint.health()
    with pytest.raises(JobNotFound):
        await wait


async def test_a_client_who_hangs_up_leaves_the_job_alone():
    world = make_world()
    _, job = await world.running()
    caller = Caller()
    wait = await started(world.endpoint.wait(job.id, world.clock.now() + 90_000, caller))
    caller.hang_up()
    assert (await wait).status is JobStatus.IN_PROGRESS
    assert world.launcher.stopped_jobs == []
    assert await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))


async def test_closing_ends_every_kind_of_wait_at_once():
    world = make_world()
    _, job = await world.running()
    until = world.clock.now() + 90_000
    take = await started(world.endpoint.work.take("w1", 1, None, Caller()))
    wait = await started(world.endpoint.wait(job.id, until))
    stream = await started(world.endpoint.next_chunks(job.id, until))
    world.emulator.hang_up()
    assert await take == []
    assert (await wait).status is JobStatus.IN_PROGRESS
    assert await stream == (JobStatus.IN_PROGRESS, [])
    assert (await world.endpoint.wait(job.id, until)).status is JobStatus.IN_PROGRESS


async def test_two_waits_end_in_one_advance_each_at_its_own_time():
    world = make_world()
    job = await world.endpoint.submit(JOB)
    ends: list[int] = []

    async def wait(milliseconds: int) -> None:
        await world.endpoint.wait(job.id, world.clock.now() + milliseconds)
        ends.append(world.clock.now())

    start = world.clock.now()
    tasks = [await started(wait(5_000)), await started(wait(9_000))]
    await world.advance(20_000)
    await asyncio.gather(*tasks)
    assert ends == [start + 5_000, start + 9_000]


async def test_who_waits_again_after_its_deadline_finds_the_job_at_the_advanced_time():
    world = make_world(execution_timeout=7_000)
    job = await world.endpoint.submit(JOB)

    async def poll() -> list[int]:
        times = []
        while not (await world.endpoint.wait(job.id, world.clock.now() + 3_000)).status.terminal:
            times.append(world.clock.now())
        return [*times, world.clock.now()]

    start = world.clock.now()
    await take_now(world, await world.worker())
    polling = await started(poll())
    await world.advance(60_000)
    assert [time - start for time in await polling] == [3_000, 6_000, 7_000]


# Start


async def test_the_start_waits_until_the_first_worker_is_up():
    world = make_world()
    start = await started(world.emulator.endpoints.start())
    await turns()
    (worker,) = world.launcher.started
    await turns()
    assert not start.done()
    await world.endpoint.work.worker_ready(worker, 1)
    await start


async def test_the_start_fails_with_the_workers_own_words():
    world = make_world()
    start = await started(world.emulator.endpoints.start())
    await turns()
    await world.endpoint.work.worker_broken(world.launcher.started[0], "ModuleNotFoundError: torch")
    with pytest.raises(Exception, match="ModuleNotFoundError: torch"):
        await start
