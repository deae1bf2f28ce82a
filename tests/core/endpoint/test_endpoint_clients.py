"""What clients do: submit, ask, cancel, purge, list."""

from __future__ import annotations

import re
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import EndpointNotFound, JobNotFound, NotCancellable, QueueFull
from runpod_emulator.core.jobs.job import Completed, Failed, JobStatus, Progressed, TimedOut
from runpod_emulator.core.settings import default_settings

from tests.core.steps import both_profiles, is_gone, seen, take_now
from tests.worlds import RecordingLauncher, TestWorld, make_world

JOB = Submission(b'{"a":1}')
ENDS = ["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]


async def submit(world: TestWorld, count: int) -> list[str]:
    return [(await world.endpoint.submit(JOB)).id for _ in range(count)]


async def ended(world: TestWorld, status: str) -> str:
    """A job that ran for 2 s and ended so."""
    _, job = await world.running()
    await world.advance(2_000)
    if status == "CANCELLED":
        await world.endpoint.cancel(job.id)
    else:
        reports: dict[str, Any] = {
            "COMPLETED": Completed(job.lease, b'"out"'),
            "FAILED": Failed("boom", b'"rest"', job.lease),
            "TIMED_OUT": TimedOut("late"),
        }
        assert await world.endpoint.work.report(job.id, reports[status])
    assert (await world.endpoint.status(job.id)).status.value == status
    return job.id


# Submit


async def test_a_submission_takes_its_defaults_from_the_endpoint():
    world = make_world(execution_timeout=7_000, job_ttl=30_000)
    job = await world.endpoint.submit(JOB)
    now = world.clock.now()
    assert (job.endpoint, job.status, job.input) == ("ep", JobStatus.IN_QUEUE, b'{"a":1}')
    assert (job.submitted_at, job.expires_at, job.execution_timeout) == (now, now + 30_000, 7_000)
    assert (job.low_priority, job.webhook, job.s3_config, job.worker, job.retries) == (False, None, None, None, 0)
    assert await world.endpoint.status(job.id) == job


async def test_a_submissions_own_policy_wins():
    world = make_world()
    job = await world.endpoint.submit(
        Submission(b"{}", "http://h/", execution_timeout=5_000, ttl=10_000, low_priority=True, s3_config=b'{"k":1}')
    )
    assert (job.execution_timeout, job.expires_at - job.submitted_at) == (5_000, 10_000)
    assert (job.low_priority, job.webhook, job.s3_config) == (True, "http://h/", b'{"k":1}')


@both_profiles
async def test_ids_have_the_profiles_form(profile):
    world = make_world(profile)
    plain, sync = await world.endpoint.submit(JOB), await world.endpoint.submit(JOB._replace(sync=True))
    assert re.fullmatch(r"[0-9a-f-]{36}-u1", plain.id)
    assert re.fullmatch(r"sync-[0-9a-f-]{36}-u1", sync.id)


async def test_jobs_are_taken_in_the_order_of_their_submission():
    world = make_world()
    jobs = await submit(world, 5)
    worker = await world.worker(concurrency=5)
    assert [job.id for job in await take_now(world, worker, most=2)] == jobs[:2]
    assert [job.id for job in await take_now(world, worker, most=5)] == jobs[2:]


# The queue limit


async def fill(world: TestWorld) -> int | None:
    """How many jobs fit into the queue; None where 2,000 do."""
    for count in range(2_000):
        try:
            await world.endpoint.submit(JOB)
        except QueueFull:
            assert (await world.endpoint.health()).queued == count
            return count
    return None


@both_profiles
@pytest.mark.parametrize(("workers_max", "limit"), [(0, 50), (1, 500), (3, 1_500)])
async def test_a_queue_above_fifty_and_five_hundred_per_worker_is_full(profile, workers_max: int, limit: int):
    assert await fill(make_world(profile, paused_endpoint="queue", workers_max=workers_max)) == limit + 1


async def test_the_queue_limit_counts_waiting_jobs_only():
    world = make_world(workers_max=1, queue_limit_floor=2, queue_limit_per_worker=1)
    assert await fill(world) == 3
    await take_now(world, await world.worker(concurrency=2), most=2)
    await submit(world, 2)
    with pytest.raises(QueueFull):
        await world.endpoint.submit(JOB)


@pytest.mark.parametrize("lifted", [{"rate_limits": False}, {"queue_limit_rule": False}])
async def test_the_queue_limit_can_be_lifted(lifted: dict[str, bool]):
    assert await fill(make_world(paused_endpoint="queue", workers_max=0, **lifted)) is None


async def test_a_refused_job_leaves_nothing_behind():
    world = make_world(paused_endpoint="queue", workers_max=0, queue_limit_floor=0)
    await world.endpoint.submit(JOB)
    with pytest.raises(QueueFull, match="more than 0 jobs") as refusal:
        await world.endpoint.submit(JOB)
    assert (refusal.value.status, refusal.value.headers["Retry-After"]) == (429, "1")
    assert (await world.endpoint.requests(0, 10))[1] == 1


# Unknown jobs


async def test_an_unknown_job_is_not_found():
    world = make_world()
    endpoint = world.endpoint
    for verb in (endpoint.status, endpoint.cancel, endpoint.retry):
        with pytest.raises(JobNotFound):
            await verb("nobody")
    for waiting in (endpoint.wait, endpoint.next_chunks):
        with pytest.raises(JobNotFound):
            await waiting("nobody", world.clock.now() + 1_000)
    assert not await endpoint.work.report("nobody", Completed(1))
    await endpoint.work.refuse("w1", "nobody", 1)


async def test_a_job_of_another_endpoint_is_not_found():
    world = make_world()
    (job,) = await submit(world, 1)
    other = world.emulator.endpoints.add(default_settings("other", world.emulator.platform), RecordingLauncher().launch)
    with pytest.raises(JobNotFound):
        await other.status(job)
    assert (await other.health())[:5] == (0, 0, 0, 0, 0)
    assert await other.requests(0, 10) == ([], 0)
    assert await other.purge() == 0
    assert world.emulator.endpoints.queue("other") is other
    with pytest.raises(EndpointNotFound):
        world.emulator.endpoints.queue("nowhere")


# Cancel


@pytest.mark.parametrize("mode", ["echo", "reject"])
async def test_cancelling_a_queued_job_takes_it_out_of_the_queue(mode: str):
    world = make_world(cancel_terminal=mode)
    first, second = await submit(world, 2)
    assert (await world.endpoint.cancel(first)).status is JobStatus.CANCELLED
    assert await seen(world, first) == {"id": first, "status": "CANCELLED"}
    assert [job.id for job in await take_now(world, await world.worker(2), most=2)] == [second]
    assert world.launcher.stopped_jobs == []


@pytest.mark.parametrize("mode", ["echo", "reject"])
async def test_cancelling_a_running_job_frees_its_worker_and_tells_it(mode: str):
    world = make_world(cancel_terminal=mode)
    worker, job = await world.running()
    await world.endpoint.work.report(job.id, Progressed(job.lease, b'"half"'))
    await world.advance(2_000)
    assert (await world.endpoint.cancel(job.id)).status is JobStatus.CANCELLED
    assert await seen(world, job.id) == {
        "delayTime": 0, "executionTime": 2_000, "id": job.id, "status": "CANCELLED", "workerId": worker,
    }  # fmt: skip
    assert world.launcher.stopped_jobs == [(worker, job.id, job.lease)]
    assert (await world.endpoint.health()).workers.idle == 1
    assert not await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))


@pytest.mark.parametrize("status", ENDS)
async def test_cancelling_an_ended_job_answers_it_unchanged(status: str):
    world = make_world()
    job = await ended(world, status)
    before = await world.endpoint.status(job)
    assert await world.endpoint.cancel(job) == before
    assert await world.endpoint.status(job) == before


@pytest.mark.parametrize("status", ENDS)
async def test_cancelling_an_ended_job_may_be_refused(status: str):
    world = make_world(cancel_terminal="reject")
    job = await ended(world, status)
    before = await world.endpoint.status(job)
    with pytest.raises(NotCancellable, match=f"job is not in a cancellable state: {status}") as refusal:
        await world.endpoint.cancel(job)
    assert refusal.value.status == 400
    assert await world.endpoint.status(job) == before


# Purge


async def test_a_purge_removes_what_waits_and_leaves_what_runs_and_what_ended():
    world = make_world()
    done = await ended(world, "COMPLETED")
    (running,) = await submit(world, 1)
    await take_now(world, world.launcher.started[0])
    waiting = await submit(world, 3)
    assert await world.endpoint.purge() == 3
    assert [await is_gone(world, job) for job in (*waiting, running, done)] == [True, True, True, False, False]
    assert (await world.endpoint.health())[:5] == (0, 1, 1, 0, 0)
    assert await world.endpoint.purge() == 0


async def test_purged_jobs_may_be_cancelled_instead():
    world = make_world(purged_job="cancelled")
    waiting = await submit(world, 2)
    assert await world.endpoint.purge() == 2
    assert [(await world.endpoint.status(job)).status.value for job in waiting] == ["CANCELLED"] * 2


async def test_a_purge_also_removes_jobs_that_came_back():
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.worker_gone(worker)
    assert await world.endpoint.purge() == 1
    assert await is_gone(world, job.id)


# Requests


async def test_requests_are_listed_newest_first_page_by_page():
    world = make_world()
    jobs = (await submit(world, 7))[::-1]

    async def page(offset: int, limit: int) -> list[str]:
        listed, total = await world.endpoint.requests(offset, limit)
        assert total == 7
        return [job.id for job in listed]

    assert await page(0, 50) == jobs
    assert await page(0, 3) == jobs[:3]
    assert await page(3, 3) == jobs[3:6]
    assert await page(6, 3) == jobs[6:]
    assert await page(7, 3) == []


async def test_requests_show_jobs_in_every_state_but_not_those_that_are_gone():
    world = make_world(workers_max=10)
    for status in ENDS:
        await ended(world, status)
    await world.running()
    (waiting,) = await submit(world, 1)
    listed, total = await world.endpoint.requests(0, 10)
    assert [job.status.value for job in listed] == ["IN_QUEUE", "IN_PROGRESS", *reversed(ENDS)]
    await world.endpoint.purge()
    listed, total = await world.endpoint.requests(0, 10)
    assert total == 5 and waiting not in {job.id for job in listed}
