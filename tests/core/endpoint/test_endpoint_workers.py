"""What workers do: come up, take, report, refuse, end."""

from __future__ import annotations

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, JobStatus, Progressed

from tests.core.steps import seen, take_now
from tests.worlds import make_world

JOB = Submission(b'{"a":1}')


async def test_a_worker_takes_no_more_than_it_asks_for():
    world = make_world()
    jobs = [(await world.endpoint.submit(JOB)).id for _ in range(3)]
    worker = await world.worker(concurrency=5)
    assert [job.id for job in await take_now(world, worker, most=2)] == jobs[:2]
    assert [job.id for job in await take_now(world, worker, most=2)] == jobs[2:]
    assert await take_now(world, worker, most=2) == []


async def test_a_taken_job_carries_its_worker_and_lease():
    world = make_world()
    worker, job = await world.running()
    assert (job.status, job.worker, job.lease, job.lease_until) == (JobStatus.IN_PROGRESS, worker, 1, None)
    other = await world.endpoint.submit(JOB)
    (leased,) = await take_now(world, worker, lease=40_000)
    assert (leased.id, leased.lease_until) == (other.id, world.clock.now() + 40_000)


async def test_progress_shows_until_the_result_replaces_it():
    world = make_world()
    worker, job = await world.running()
    assert await seen(world, job.id) == {"delayTime": 0, "id": job.id, "status": "IN_PROGRESS", "workerId": worker}
    await world.advance(1_000)
    for value in (b'{"step":1}', b'{"step":2}'):
        assert await world.endpoint.work.report(job.id, Progressed(job.lease, value))
    body = await seen(world, job.id)
    assert (body["output"], body["executionTime"], body["status"]) == ({"step": 2}, 1_000, "IN_PROGRESS")
    await world.endpoint.work.report(job.id, Completed(job.lease))
    assert "output" not in await seen(world, job.id)


async def test_a_failed_run_keeps_the_output_beside_its_error():
    world = make_world()
    worker, job = await world.running()
    await world.advance(40)
    assert await world.endpoint.work.report(job.id, Failed("boom", b'{"status":"failed"}', job.lease))
    assert await seen(world, job.id) == {
        "delayTime": 0, "error": "boom", "executionTime": 40, "id": job.id, "output": {"status": "failed"},
        "status": "FAILED", "workerId": worker,
    }  # fmt: skip


@pytest.mark.parametrize("shown", [True, False])
async def test_the_worker_id_is_shown_as_the_platform_says(shown: bool):
    world = make_world(envelope_worker_id=shown)
    _, job = await world.running()
    await world.endpoint.work.report(job.id, Completed(job.lease))
    assert ("workerId" in await seen(world, job.id)) == shown


REPORTS = [Progressed(1, b"2"), Emitted(1, (b"2",)), Completed(1, b"2"), Failed("again", None, 1)]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
async def test_nothing_that_comes_after_the_end_counts(report):
    world = make_world()
    _, job = await world.running()
    assert await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    before = await world.endpoint.status(job.id), await world.endpoint.health()
    assert not await world.endpoint.work.report(job.id, report)
    assert (await world.endpoint.status(job.id), await world.endpoint.health()) == before


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
async def test_a_report_on_a_queued_job_does_not_count(report):
    world = make_world()
    job = await world.endpoint.submit(JOB)
    assert not await world.endpoint.work.report(job.id, report)
    assert await world.endpoint.status(job.id) == job


async def test_one_of_several_jobs_of_a_worker_can_be_cancelled():
    world = make_world()
    jobs = [await world.endpoint.submit(JOB) for _ in range(3)]
    worker = await world.worker(concurrency=3)
    await take_now(world, worker, most=3)
    await world.endpoint.cancel(jobs[1].id)
    assert world.launcher.stopped_jobs == [(worker, jobs[1].id, 1)]
    counters = await world.endpoint.health()
    assert (counters.running, counters.workers.running) == (2, 1)
    other = await world.endpoint.submit(JOB)
    assert [job.id for job in await take_now(world, worker, most=3)] == [other.id]


async def test_all_jobs_of_a_lost_worker_come_back_in_their_order():
    world = make_world()
    jobs = [(await world.endpoint.submit(JOB)).id for _ in range(3)]
    lost, other = await world.worker(concurrency=3), await world.worker(concurrency=3)
    await take_now(world, lost, most=3)
    await world.endpoint.work.worker_gone(lost)
    counters = await world.endpoint.health()
    assert (counters.queued, counters.running, counters.retried) == (3, 0, 3)
    again = await take_now(world, other, most=3)
    assert [(job.id, job.retries, job.lease) for job in again] == [(job, 1, 2) for job in jobs]


@pytest.mark.parametrize(("profile", "end"), [("observed", "FAILED"), ("documented", "TIMED_OUT")])
async def test_a_job_whose_second_worker_is_lost_too_ends(profile, end: str):
    world = make_world(profile, workers_max=10)
    job = await world.endpoint.submit(JOB)
    for _ in range(2):
        worker = await world.worker()
        await take_now(world, worker)
        await world.advance(1_000)
        await world.endpoint.work.worker_gone(worker)
    body = await seen(world, job.id)
    assert (body["status"], body["error"], body["executionTime"]) == (end, "job timed out after 1 retries", 1_000)


async def test_a_lost_workers_reports_do_not_count():
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.worker_gone(worker)
    assert not await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE


async def test_a_worker_that_ends_may_be_replaced_at_once():
    world = make_world()
    worker = await world.worker()
    await world.endpoint.work.worker_gone(worker, replace=True)
    assert len(world.launcher.started) == 2
    other = world.launcher.started[1]
    await world.endpoint.work.worker_ready(other, 1)
    await world.endpoint.work.worker_gone(other)
    assert len(world.launcher.started) == 2


async def test_no_more_workers_than_the_maximum_even_to_replace_one():
    world = make_world(workers_max=1)
    first = await world.worker()
    await world.endpoint.work.worker_gone(first, replace=True)
    await world.endpoint.work.worker_gone(first, replace=True)
    assert len(world.launcher.started) == 2


async def test_a_worker_that_is_not_known_is_not_missed():
    world = make_world()
    await world.endpoint.work.worker_gone("stranger")
    await world.endpoint.work.worker_ready("stranger", 1)
    await world.endpoint.work.worker_broken("stranger", "broken")
    assert sum((await world.endpoint.health()).workers) == 0


async def test_a_refusal_frees_the_worker_but_not_yet_the_job():
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.refuse(worker, job.id, job.lease)
    counters = await world.endpoint.health()
    assert (counters.running, counters.workers.idle) == (1, 1)
    other = await world.endpoint.submit(JOB)
    assert [taken.id for taken in await take_now(world, worker)] == [other.id]


async def test_a_late_refusal_is_ignored():
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.refuse(worker, job.id, job.lease + 1)
    assert (await world.endpoint.health()).workers.running == 1
    await world.endpoint.work.report(job.id, Completed(job.lease))
    before = await world.endpoint.status(job.id)
    await world.endpoint.work.refuse(worker, job.id, job.lease)
    assert await world.endpoint.status(job.id) == before


async def test_a_refused_job_is_not_given_up_with_its_worker():
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.refuse(worker, job.id, job.lease)
    await world.endpoint.work.worker_gone(worker)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    await world.advance(40_000)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE


async def test_a_job_whose_input_was_stripped_fails_after_two_leases():
    world = make_world()
    job = await world.endpoint.submit(Submission(b"{}"))
    for _ in range(2):
        worker = await world.worker()
        (taken,) = await take_now(world, worker)
        await world.endpoint.work.refuse(worker, job.id, taken.lease)
        await world.advance(40_000)
    body = await seen(world, job.id)
    assert (body["status"], body["error"]) == ("FAILED", "job timed out after 1 retries")
    assert body["delayTime"] + body["executionTime"] == 80_000
