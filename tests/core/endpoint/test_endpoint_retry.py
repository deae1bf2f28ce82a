"""A client's retry, and what the platform's own second try does to the times that clients see."""

from __future__ import annotations

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import NotRetryable
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, JobStatus, Progressed, TimedOut

from tests.core.steps import is_gone, seen, take_now
from tests.worlds import TestWorld, make_world

FULL = Submission(
    b'{"a":1}', "http://127.0.0.1:9/hook", execution_timeout=20_000, ttl=60_000, low_priority=True, s3_config=b'{"k":1}'
)


async def failed(world: TestWorld, submission: Submission = FULL, timed_out: bool = False) -> str:
    """A job that waited 1 s, ran 3 s and failed."""
    worker = await world.worker()
    job = await world.endpoint.submit(submission)
    await world.advance(1_000)
    (job,) = await take_now(world, worker)
    await world.advance(3_000)
    end = TimedOut("late") if timed_out else Failed("boom", b'"rest"', job.lease)
    assert await world.endpoint.work.report(job.id, end)
    return job.id


@pytest.mark.parametrize("timed_out", [False, True])
async def test_a_retried_job_keeps_id_input_and_policy_and_forgets_its_first_run(timed_out: bool):
    world = make_world()
    job_id = await failed(world, timed_out=timed_out)
    await world.advance(5_000)
    job = await world.endpoint.retry(job_id)
    assert await seen(world, job_id) == {"id": job_id, "status": "IN_QUEUE"}
    assert (job.id, job.input, job.webhook, job.s3_config) == (job_id, FULL.input, FULL.webhook, FULL.s3_config)
    assert (job.low_priority, job.execution_timeout) == (True, 20_000)
    assert (job.submitted_at, job.expires_at) == (world.clock.now(), world.clock.now() + 60_000)


async def test_times_of_a_retried_job_count_from_the_retry():
    world = make_world()
    job_id = await failed(world)
    await world.advance(4_000)
    await world.endpoint.retry(job_id)
    await world.advance(7_000)
    worker = await world.worker()
    (job,) = await take_now(world, worker)
    await world.advance(2_000)
    assert await seen(world, job_id) == {
        "delayTime": 7_000, "id": job_id, "status": "IN_PROGRESS", "workerId": worker,
    }  # fmt: skip
    await world.endpoint.work.report(job_id, Completed(job.lease, b"1"))
    assert await seen(world, job_id) == {
        "delayTime": 7_000, "executionTime": 2_000, "id": job_id, "output": 1, "status": "COMPLETED",
        "workerId": worker,
    }  # fmt: skip


async def test_a_retried_job_goes_to_the_tail_of_the_queue():
    world = make_world()
    job_id = await failed(world)
    other = await world.endpoint.submit(FULL)
    await world.endpoint.retry(job_id)
    assert [job.id for job in await take_now(world, world.launcher.started[0], most=2)] == [other.id, job_id]


async def test_the_ttl_starts_anew_with_a_retry():
    world = make_world()
    job_id = await failed(world)
    await world.advance(40_000)
    await world.endpoint.retry(job_id)
    await world.advance(59_999)
    assert not await is_gone(world, job_id)
    await world.advance(1)
    assert await is_gone(world, job_id)


async def test_the_first_result_is_not_kept_beyond_a_retry():
    world = make_world(run_retention=10_000)
    job_id = await failed(world)
    await world.advance(9_999)
    await world.endpoint.retry(job_id)
    await world.advance(30_000)
    assert (await world.endpoint.status(job_id)).status is JobStatus.IN_QUEUE


async def test_a_late_result_of_the_first_run_never_becomes_the_seconds():
    world = make_world()
    worker, first = await world.running(FULL)
    await world.advance(20_000)
    assert (await world.endpoint.status(first.id)).status is JobStatus.FAILED
    await world.endpoint.retry(first.id)
    late = Completed(first.lease, b'"of the first run"')
    assert not await world.endpoint.work.report(first.id, late)
    (second,) = await take_now(world, worker)
    assert second.lease == first.lease + 1
    for report in (late, Progressed(first.lease, b"1"), Emitted(first.lease, (b"1",)), Failed("x", None, first.lease)):
        assert not await world.endpoint.work.report(first.id, report)
    assert (await world.endpoint.status(first.id)).output is None
    assert await world.endpoint.work.report(first.id, Completed(second.lease, b'"of the second run"'))
    assert (await seen(world, first.id))["output"] == "of the second run"


async def test_unread_chunks_of_the_first_run_are_dropped_by_a_retry():
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.report(job.id, Emitted(job.lease, (b'"old"',)))
    await world.endpoint.work.report(job.id, Failed("boom", None, job.lease))
    await world.endpoint.retry(job.id)
    (job,) = await take_now(world, worker)
    await world.endpoint.work.report(job.id, Emitted(job.lease, (b'"new"',)))
    assert await world.endpoint.next_chunks(job.id, world.clock.now()) == (JobStatus.IN_PROGRESS, [b'"new"'])


STATES = {"queued": "IN_QUEUE", "running": "IN_PROGRESS", "completed": "COMPLETED", "cancelled": "CANCELLED"}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("code", [400, 409])
async def test_only_failed_jobs_can_be_retried(state: str, code: int):
    world = make_world(retry_wrong_state_status=code)
    job = await world.endpoint.submit(FULL)
    if state != "queued":
        (job,) = await take_now(world, await world.worker())
    if state == "completed":
        await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    elif state == "cancelled":
        await world.endpoint.cancel(job.id)
    before = await world.endpoint.status(job.id)
    with pytest.raises(NotRetryable, match=f"job is not in a retryable state: {STATES[state]}") as refusal:
        await world.endpoint.retry(job.id)
    assert refusal.value.status == code
    assert await world.endpoint.status(job.id) == before


async def test_a_retried_job_wakes_a_waiting_worker_and_starts_one_when_there_is_none():
    world = make_world()
    job_id = await failed(world, FULL._replace(low_priority=False))
    await world.advance(5_000)
    assert world.launcher.stopped == world.launcher.started[:1]
    await world.endpoint.retry(job_id)
    assert len(world.launcher.started) == 2


# The platform's own second try


async def test_a_lost_workers_job_shows_new_times_and_its_second_try():
    world = make_world()
    first, second = await world.worker(), await world.worker()
    job = await world.endpoint.submit(FULL)
    await world.advance(1_500)
    (run,) = await take_now(world, first)
    await world.endpoint.work.report(job.id, Progressed(run.lease, b'"half"'))
    await world.advance(2_500)
    assert await seen(world, job.id) == {
        "delayTime": 1_500, "executionTime": 2_500, "id": job.id, "output": "half", "status": "IN_PROGRESS",
        "workerId": first,
    }  # fmt: skip
    await world.endpoint.work.worker_gone(first)
    assert await seen(world, job.id) == {"id": job.id, "status": "IN_QUEUE"}
    await world.advance(500)
    (again,) = await take_now(world, second)
    assert await seen(world, job.id) == {
        "delayTime": 4_500, "id": job.id, "retries": 1, "status": "IN_PROGRESS", "workerId": second,
    }  # fmt: skip
    await world.advance(3_000)
    assert not await world.endpoint.work.report(job.id, Completed(run.lease, b'"of the lost run"'))
    await world.endpoint.work.report(job.id, Completed(again.lease, b'"done"'))
    assert await seen(world, job.id) == {
        "delayTime": 4_500, "executionTime": 3_000, "id": job.id, "output": "done", "retries": 1,
        "status": "COMPLETED", "workerId": second,
    }  # fmt: skip


async def test_a_clients_retry_starts_the_platforms_tries_anew():
    world = make_world(workers_max=10)
    job = await world.endpoint.submit(FULL)
    for _ in range(2):
        worker = await world.worker()
        await take_now(world, worker)
        await world.endpoint.work.worker_gone(worker)
    body = await seen(world, job.id)
    assert (body["status"], body["error"], body["retries"]) == ("FAILED", "job timed out after 1 retries", 1)
    await world.endpoint.retry(job.id)
    worker = await world.worker()
    await take_now(world, worker)
    assert "retries" not in await seen(world, job.id)
    await world.endpoint.work.worker_gone(worker)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE


async def test_a_requeued_job_stands_before_all_that_were_never_taken():
    world = make_world()
    jobs = [(await world.endpoint.submit(FULL)).id for _ in range(4)]
    worker, other = await world.worker(concurrency=2), await world.worker(concurrency=4)
    await take_now(world, worker, most=2)
    await world.endpoint.work.worker_gone(worker)
    assert [job.id for job in await take_now(world, other, most=4)] == jobs


async def test_a_cancelled_second_try_shows_no_retries():
    world = make_world()
    first, second = await world.worker(), await world.worker()
    job = await world.endpoint.submit(FULL)
    await take_now(world, first)
    await world.endpoint.work.worker_gone(first)
    await take_now(world, second)
    await world.endpoint.cancel(job.id)
    assert await seen(world, job.id) == {
        "delayTime": 0, "executionTime": 0, "id": job.id, "status": "CANCELLED", "workerId": second,
    }  # fmt: skip
