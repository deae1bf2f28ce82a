"""Webhook calls: which ends make them, what they carry, and how often they are tried."""

from __future__ import annotations

import asyncio
import json

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, Progressed, TimedOut
from runpod_emulator.core.platform import DAY
from runpod_emulator.effects.webhooks import REST

from tests.core.passing_time import Passing
from tests.core.steps import both_profiles, is_gone, take_now
from tests.worlds import RecordingPost, TestWorld, make_world

HOOK = "http://127.0.0.1:9/hook"
JOB = Submission(b'{ "b":1, "a":[ ] }', webhook=HOOK)


def refusing() -> RecordingPost:
    return RecordingPost(lambda url, body: "answered 500")


async def end(world: TestWorld, submission: Submission = JOB, error: str = "") -> Job:
    """A job that has run and ended."""
    _, job = await world.running(submission)
    report = Failed(error, b'{"half":1}', job.lease) if error else Completed(job.lease, b'{"z":1, "a":2}')
    assert await world.endpoint.work.report(job.id, report)
    return job


async def settled(world: TestWorld) -> list[dict[str, object]]:
    """Bodies of the calls made so far, once nothing is on its way; calls of one moment have no order."""
    await world.endpoint.health()
    await world.emulator.timeline.settle()
    return sorted((json.loads(body) for _, body in world.post.calls), key=lambda body: str(body["status"]))


# Bodies


async def test_the_body_of_a_completed_job_byte_by_byte():
    world = make_world()
    worker = await world.worker()
    job = await world.endpoint.submit(JOB)
    await world.advance(1_500)
    await take_now(world, worker)
    await world.advance(250)
    await world.endpoint.work.report(job.id, Completed(1, b'{"z":1, "a":2}'))
    await settled(world)
    ((url, body),) = world.post.calls
    assert url == HOOK
    assert (
        body
        == (
            f'{{"delayTime":1500,"executionTime":250,"id":"{job.id}","input":{{ "b":1, "a":[ ] }},'
            f'"output":{{"z":1, "a":2}},"status":"COMPLETED","webhook":"{HOOK}"}}'
        ).encode()
    )


async def bodies_of_every_end(world: TestWorld) -> list[dict[str, object]]:
    await end(world)
    await end(world, error="boom")
    _, job = await world.running(JOB)
    await world.endpoint.cancel(job.id)
    await world.endpoint.cancel((await world.endpoint.submit(JOB)).id)
    _, job = await world.running(JOB)
    await world.endpoint.work.report(job.id, TimedOut("job timed out"))
    bodies = await settled(world)
    assert all(body.pop("input") == {"b": 1, "a": []} and body.pop("webhook") == HOOK for body in bodies)
    assert all(list(body) == sorted(body) and body.pop("id") for body in bodies)
    return bodies


@both_profiles
async def test_every_end_calls_with_the_status_and_without_the_worker(profile):
    ran = {"delayTime": 0, "executionTime": 0}
    bodies = await bodies_of_every_end(make_world(profile, workers_max=10))
    assert sorted(bodies, key=len) == [
        {"status": "CANCELLED"},
        {**ran, "status": "CANCELLED"},
        {**ran, "output": {"z": 1, "a": 2}, "status": "COMPLETED"},
        {**ran, "error": "job timed out", "status": "TIMED_OUT"},
        {**ran, "error": "boom", "output": {"half": 1}, "status": "FAILED"},
    ]


@pytest.mark.parametrize(
    ("switch", "statuses"),
    [
        ("webhook_on_cancelled", ["COMPLETED", "FAILED", "TIMED_OUT"]),
        ("webhook_on_timed_out", ["CANCELLED", "CANCELLED", "COMPLETED", "FAILED"]),
    ],
)
async def test_ends_that_are_switched_off_do_not_call(switch: str, statuses: list[str]):
    bodies = await bodies_of_every_end(make_world(workers_max=10, **{switch: False}))
    assert [body["status"] for body in bodies] == statuses


async def test_a_second_try_shows_in_the_body():
    world = make_world()
    worker, job = await world.running(JOB)
    await world.endpoint.work.worker_gone(worker)
    assert await settled(world) == []
    await take_now(world, await world.worker())
    await world.endpoint.work.report(job.id, Completed(2))
    (body,) = await settled(world)
    assert (body["retries"], body["status"]) == (1, "COMPLETED")


async def test_the_body_is_frozen_when_the_job_ends():
    world = make_world(post=refusing())
    job = await end(world)
    await world.endpoint.status(job.id, ttl=6_000)
    await world.advance(60_000)
    assert await is_gone(world, job.id)
    assert len(world.post.calls) == 3
    assert len(set(world.post.calls)) == 1


# Ends that do not call


async def test_a_job_without_a_webhook_calls_nobody():
    world = make_world()
    await end(world, Submission(b'{"a":1}'))
    assert await settled(world) == []


async def test_what_is_no_end_calls_nobody():
    world = make_world()
    _, job = await world.running(JOB)
    await world.endpoint.work.report(job.id, Progressed(job.lease, b"1"))
    await world.endpoint.work.report(job.id, Emitted(job.lease, (b"1",)))
    await world.endpoint.status(job.id, ttl=1_000)
    assert await settled(world) == []


async def test_a_purged_job_calls_nobody():
    world = make_world()
    await world.endpoint.submit(JOB)
    assert await world.endpoint.purge() == 1
    assert await settled(world) == []


@pytest.mark.parametrize("running", [False, True])
async def test_a_job_deleted_by_its_ttl_calls_nobody(passing: Passing, running: bool):
    world = passing.world()
    short = JOB._replace(ttl=10_000)
    job = (await world.running(short))[1] if running else await world.endpoint.submit(short)
    await passing.by(10_000)
    assert await is_gone(world, job.id)
    assert await settled(world) == []


async def test_a_queued_job_whose_ttl_times_it_out_calls_as_documented(passing: Passing):
    world = passing.world("documented")
    await world.endpoint.submit(JOB)
    await passing.by(DAY)
    (body,) = await settled(world)
    assert (body["status"], body["error"]) == ("TIMED_OUT", "job timed out")


@pytest.mark.parametrize(("profile", "status"), [("observed", "FAILED"), ("documented", "TIMED_OUT")])
async def test_a_run_above_its_limit_calls(passing: Passing, profile, status: str):
    world = passing.world(profile)
    await world.running(JOB._replace(execution_timeout=5_000))
    await passing.by(60_000)
    (body,) = await settled(world)
    assert (body["status"], body["executionTime"]) == (status, 5_000)


async def test_the_end_of_the_retention_calls_nobody_again():
    world = make_world()
    await end(world)
    await world.advance(DAY)
    assert len(await settled(world)) == 1


async def test_a_host_that_failed_just_now_rests_and_is_then_called_for_all_that_came_meanwhile():
    world = make_world(post=RecordingPost(lambda url, body: "down"), webhook_retry_delays=())

    async def end_one() -> None:
        job = await world.endpoint.submit(Submission(b'{"a":1}', webhook="http://dead/"))
        await world.endpoint.cancel(job.id)
        await world.emulator.timeline.settle()

    await end_one()
    assert len(world.post.calls) == 1
    for _ in range(6):
        await end_one()
    await world.advance(REST - 1)
    assert len(world.post.calls) == 1
    await world.advance(1)
    await world.emulator.timeline.settle()
    assert len(world.post.calls) == 7


async def test_many_calls_that_need_no_waiting_leave_turns_to_others():
    world = make_world(rate_limits=False)
    jobs = [await world.endpoint.submit(JOB) for _ in range(500)]
    for job in jobs:
        await world.endpoint.cancel(job.id)
    most, before = 0, len(world.post.calls)
    while len(world.post.calls) < len(jobs):
        await asyncio.sleep(0)
        most, before = max(most, len(world.post.calls) - before), len(world.post.calls)
    assert most <= 250
