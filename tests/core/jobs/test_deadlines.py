"""Every deadline of a job, noticed on an advanced virtual clock and on a frozen real one alike."""

from __future__ import annotations

import dataclasses

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.deadlines import deadline_event, lost_event
from runpod_emulator.core.jobs.job import Completed, Failed, Forgotten, JobStatus, Requeued, Taken, TimedOut, apply
from runpod_emulator.core.platform import DAY, HOUR, SECOND, preset
from runpod_emulator.core.settings import EndpointSettings

from tests.core.jobs.test_job import LEASE, QUEUED, RUNNING, job_in
from tests.core.passing_time import Passing
from tests.core.steps import both_profiles, is_gone, seen, take_now
from tests.worlds import TestWorld

JOB = Submission(b'{"a":1}')


def with_limit(milliseconds: int):
    def change(settings: EndpointSettings) -> EndpointSettings:
        return dataclasses.replace(settings, execution_timeout=milliseconds)

    return change


# The pure rule


def test_which_event_a_deadline_is_as_observed():
    observed = preset("observed")
    assert deadline_event(QUEUED, observed) == Forgotten()
    assert deadline_event(RUNNING._replace(expires_at=3_000), observed) == Forgotten()
    assert deadline_event(RUNNING, observed) == Failed("executionTimeout exceeded")
    for status in JobStatus:
        if status.terminal:
            assert deadline_event(job_in(status), observed) == Forgotten()


def test_which_event_a_deadline_is_as_documented():
    documented = preset("documented")
    assert deadline_event(QUEUED, documented) == TimedOut("job timed out")
    assert deadline_event(RUNNING._replace(expires_at=3_000), documented) == Forgotten()
    assert deadline_event(RUNNING, documented) == TimedOut("job timed out")
    assert deadline_event(job_in(JobStatus.TIMED_OUT), documented) == Forgotten()


def test_a_lost_worker_costs_one_retry_and_then_the_job():
    silent = RUNNING._replace(execution_timeout=0)
    first, second = silent._replace(retries=0), silent._replace(retries=1)
    for profile in ("observed", "documented"):
        assert deadline_event(first, preset(profile)) == lost_event(first, preset(profile)) == Requeued(LEASE)
    assert deadline_event(second, preset("observed")) == Failed("job timed out after 1 retries")
    assert deadline_event(second, preset("documented")) == TimedOut("job timed out after 1 retries")


def test_the_number_of_second_tries_is_a_field():
    silent = RUNNING._replace(execution_timeout=0, retries=0)
    assert lost_event(silent, preset("observed", platform_retries=0)) == Failed("job timed out after 0 retries")
    assert lost_event(silent._replace(retries=2), preset("observed", platform_retries=3)) == Requeued(LEASE)


# TTL


@pytest.mark.parametrize(("own", "life"), [(None, DAY), (10 * SECOND, 10 * SECOND), (7 * DAY, 7 * DAY)])
async def test_a_queued_job_is_deleted_when_its_ttl_is_over(passing: Passing, own: int | None, life: int):
    world = passing.world(paused_endpoint="queue", workers_max=0)
    job = await world.endpoint.submit(JOB._replace(ttl=own))
    await passing.by(life - 1)
    assert await seen(world, job.id) == {"id": job.id, "status": "IN_QUEUE"}
    await passing.by(1)
    assert await is_gone(world, job.id)
    assert (await world.endpoint.health())[:5] == (0, 0, 0, 0, 0)


async def test_a_queued_job_times_out_when_its_ttl_is_over_as_documented(passing: Passing):
    world = passing.world("documented", paused_endpoint="queue", workers_max=0)
    job = await world.endpoint.submit(JOB)
    await passing.by(DAY - 1)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE
    await passing.by(1)
    assert await seen(world, job.id) == {"error": "job timed out", "id": job.id, "status": "TIMED_OUT"}
    assert (await world.endpoint.status(job.id)).ended_at == job.submitted_at + DAY
    assert (await world.endpoint.health())[:5] == (0, 0, 0, 1, 0)


@both_profiles
async def test_a_running_job_is_deleted_when_its_ttl_is_over(passing: Passing, profile):
    world = passing.world(profile)
    worker, job = await world.running(JOB._replace(ttl=60 * SECOND))
    await passing.by(60 * SECOND - 1)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    await passing.by(1)
    assert await is_gone(world, job.id)
    assert world.launcher.stopped_jobs == [(worker, job.id, job.lease)]
    assert not await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    counters = await world.endpoint.health()
    assert counters[:5] == (0, 0, 0, 0, 0)
    assert counters.workers.idle == 1


@both_profiles
async def test_the_endpoints_ttl_counts_where_the_request_has_none(passing: Passing, profile):
    world = passing.world(profile, job_ttl=20 * SECOND)
    _, job = await world.running()
    await passing.by(20 * SECOND - 1)
    assert not await is_gone(world, job.id)
    await passing.by(1)
    assert await is_gone(world, job.id)


# Execution timeout


async def meets_its_limit(passing: Passing, world: TestWorld, submission: Submission, limit: int) -> dict[str, object]:
    """What is seen of a job that runs past its limit; half a second before it still ran."""
    worker, job = await world.running(submission)
    await passing.by(limit - 1)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    assert world.launcher.stopped_jobs == []
    await passing.by(3 * SECOND)
    body = await seen(world, job.id)
    assert world.launcher.stopped_jobs == [(worker, job.id, job.lease)]
    assert not await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    assert await seen(world, job.id) == body
    assert body.pop("id") == job.id
    return body


LIMITS = pytest.mark.parametrize(
    ("endpoint", "own", "limit"),
    [
        (None, None, 600 * SECOND),
        (7 * SECOND, None, 7 * SECOND),
        (7 * SECOND, 30 * SECOND, 30 * SECOND),
        (None, 5 * SECOND, 5 * SECOND),
        (0, 5 * SECOND, 5 * SECOND),
    ],
)


@LIMITS
async def test_a_run_above_its_limit_fails_on_time_as_observed(
    passing: Passing, endpoint: int | None, own: int | None, limit: int
):
    world = passing.world(settings=with_limit(600 * SECOND if endpoint is None else endpoint))
    body = await meets_its_limit(passing, world, JOB._replace(execution_timeout=own), limit)
    worker = world.launcher.started[0]
    assert body == {
        "delayTime": 0, "error": "executionTimeout exceeded", "executionTime": limit, "status": "FAILED",
        "workerId": worker,
    }  # fmt: skip


@LIMITS
async def test_a_run_above_its_limit_times_out_as_documented(
    passing: Passing, endpoint: int | None, own: int | None, limit: int
):
    world = passing.world("documented", settings=with_limit(600 * SECOND if endpoint is None else endpoint))
    body = await meets_its_limit(passing, world, JOB._replace(execution_timeout=own), limit)
    assert body.pop("workerId")
    assert body == {"delayTime": 0, "error": "job timed out", "executionTime": limit, "status": "TIMED_OUT"}
    assert (await world.endpoint.health()).failed == 1


@both_profiles
@pytest.mark.parametrize(("endpoint", "own"), [(0, None), (7 * SECOND, 0)])
async def test_a_limit_of_zero_is_none(passing: Passing, profile, endpoint: int, own: int | None):
    world = passing.world(profile, settings=with_limit(endpoint))
    _, job = await world.running(JOB._replace(execution_timeout=own))
    await passing.by(DAY - 1)
    assert await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    body = await seen(world, job.id)
    assert (body["status"], body["executionTime"]) == ("COMPLETED", DAY - 1)


async def test_the_limit_counts_from_the_pickup_and_not_while_waiting(passing: Passing):
    world = passing.world(settings=with_limit(7 * SECOND))
    job = await world.endpoint.submit(JOB)
    await passing.by(HOUR)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE
    worker = await world.worker()
    await take_now(world, worker)
    await passing.by(7 * SECOND)
    body = await seen(world, job.id)
    assert (body["delayTime"], body["executionTime"], body["status"]) == (HOUR, 7 * SECOND, "FAILED")


# Leases


@pytest.mark.parametrize(("profile", "end"), [("observed", "FAILED"), ("documented", "TIMED_OUT")])
async def test_a_silent_worker_loses_its_job_which_is_tried_once_more(passing: Passing, profile, end: str):
    world = passing.world(profile)
    first, second = await world.worker(), await world.worker()
    job = await world.endpoint.submit(JOB)
    await passing.by(2 * SECOND)
    (run_1,) = await take_now(world, first, lease=40 * SECOND)
    await passing.by(40 * SECOND - 1)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    await passing.by(1)
    assert await seen(world, job.id) == {"id": job.id, "status": "IN_QUEUE"}
    assert world.launcher.stopped_jobs == [(first, job.id, 1)]
    counters = await world.endpoint.health()
    assert counters[:5] == (1, 0, 0, 0, 1)

    await passing.by(3 * SECOND)
    (run_2,) = await take_now(world, second, lease=40 * SECOND)
    assert (run_2.id, run_2.lease) == (job.id, 2)
    body = await seen(world, job.id)
    assert (body["delayTime"], body["retries"], body["status"]) == (45 * SECOND, 1, "IN_PROGRESS")
    assert not await world.endpoint.work.report(job.id, Completed(run_1.lease, b'"late"'))

    await passing.by(41 * SECOND)
    body = await seen(world, job.id)
    assert (body["status"], body["error"], body["retries"]) == (end, "job timed out after 1 retries", 1)
    assert (body["delayTime"], body["executionTime"]) == (45 * SECOND, 40 * SECOND)
    assert "output" not in body
    assert (await world.endpoint.health())[:5] == (0, 0, 0, 1, 1)


async def test_a_worker_that_refuses_keeps_the_job_until_its_lease_is_over(passing: Passing):
    world = passing.world()
    worker, job = await world.running()
    await passing.by(5 * SECOND)
    await world.endpoint.work.refuse(worker, job.id, job.lease)
    assert (await world.endpoint.health()).workers.running == 0
    await passing.by(40 * SECOND - 1)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    await passing.by(1)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE


async def test_a_watched_worker_may_stay_silent(passing: Passing):
    world = passing.world(settings=with_limit(0))
    _, job = await world.running()
    await passing.by(23 * HOUR)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS


def test_each_deadline_moves_when_the_job_moves():
    taken = apply(QUEUED, Taken("w1", 90_000), 2_000).job
    assert (QUEUED.next_deadline, taken.next_deadline) == (61_000, 6_000)
    assert apply(taken, Requeued(LEASE), 3_000).job.next_deadline == 61_000
    assert apply(taken, Completed(LEASE), 3_000).job.next_deadline == 33_000
