"""An endpoint that is taken away leaves nothing behind, but for what it owes to webhooks."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import ConfigurationError, EndpointNotFound, JobNotFound
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, JobStatus
from runpod_emulator.core.platform import DAY
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.time.clock import AutoClock
from runpod_emulator.core.time.waiting import Caller

from tests.core.steps import answer, beside, started, turns
from tests.worlds import RecordingPost, TestWorld, make_world

JOB = Submission(b'{"a":1}')


async def in_state(world: TestWorld, status: JobStatus) -> Job:
    """A job of the endpoint in this state."""
    if status is JobStatus.IN_QUEUE:
        return await world.endpoint.submit(JOB)
    _, job = await world.running(JOB)
    if status is JobStatus.COMPLETED:
        await world.endpoint.work.report(job.id, Completed(job.lease))
    elif status is JobStatus.FAILED:
        await world.endpoint.work.report(job.id, Failed("x", None, job.lease))
    elif status is JobStatus.CANCELLED:
        await world.endpoint.cancel(job.id)
    return job


@pytest.mark.parametrize("status", [status for status in JobStatus if status is not JobStatus.TIMED_OUT])
async def test_no_deadline_of_its_jobs_is_left(status: JobStatus):
    world = make_world()
    gone = beside(world, "b")
    await in_state(gone, status)
    await world.emulator.endpoints.remove("b")
    await world.advance(8 * DAY)
    assert (await world.endpoint.health()).queued == 0
    assert await world.emulator.deadlines.first_due() is None


async def test_added_again_it_begins_anew():
    world = make_world()
    gone = beside(world, "b")
    for status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.IN_PROGRESS, JobStatus.IN_QUEUE):
        job = await in_state(gone, status)
    await world.emulator.endpoints.remove("b")
    again = beside(world, "b")
    assert (await again.endpoint.health())[:5] == (0, 0, 0, 0, 0)
    assert await again.endpoint.requests(0, 10) == ([], 0)
    assert list(world.emulator.history.jobs("b")) == []
    with pytest.raises(JobNotFound):
        await again.endpoint.status(job.id)


async def test_added_again_it_has_counted_no_request():
    world = make_world(purge_rate=1)
    admitted = 0
    for _ in range(2):
        endpoint = beside(world, "b").endpoint
        with await endpoint.limits.admit(Operation.PURGE, world.clock.now()):
            admitted += 1
        await world.emulator.endpoints.remove("b")
    assert admitted == 2


async def test_the_jobs_of_others_stay():
    world = make_world()
    beside(world, "b")
    job = await in_state(world, JobStatus.COMPLETED)
    await world.emulator.endpoints.remove("b")
    assert (await world.endpoint.status(job.id)).status is JobStatus.COMPLETED
    assert list(world.emulator.history.jobs()) == [("ep", job.id)]


async def test_its_webhooks_are_owed_all_the_same():
    post = RecordingPost(lambda url, body: "answered 500" if len(post.calls) == 1 else "")
    world = make_world(post=post, webhook_on_cancelled=True)
    gone = beside(world, "b")
    await gone.endpoint.submit(JOB._replace(webhook="http://127.0.0.1:9/hook"))
    await world.emulator.endpoints.remove("b")
    await world.advance(DAY)
    await world.emulator.timeline.settle()
    assert [url for url, _ in post.calls] == ["http://127.0.0.1:9/hook"] * 2


async def test_who_waits_for_one_of_its_jobs_sees_how_it_ended():
    world = make_world()
    gone = beside(world, "b")
    job = await in_state(gone, JobStatus.IN_PROGRESS)
    waits = await started(gone.endpoint.wait(job.id, None))
    streams = await started(gone.endpoint.next_chunks(job.id, None))
    await gone.endpoint.work.report(job.id, Emitted(job.lease, (b"1",)))
    assert (await answer(streams)) == (JobStatus.IN_PROGRESS, [b"1"])
    streams = await started(gone.endpoint.next_chunks(job.id, None))
    await world.emulator.endpoints.remove("b")
    assert (await answer(waits)).status is JobStatus.CANCELLED
    assert (await answer(streams)) == (JobStatus.CANCELLED, [])


async def test_what_was_not_read_yet_is_read_as_it_is_taken_away():
    world = make_world()
    gone = beside(world, "b")
    job = await in_state(gone, JobStatus.IN_PROGRESS)
    await gone.endpoint.work.report(job.id, Emitted(job.lease, (b"1",)))
    streams = asyncio.ensure_future(gone.endpoint.next_chunks(job.id, None))
    await asyncio.sleep(0)
    await world.emulator.endpoints.remove("b")
    assert (await answer(streams))[1] == [b"1"]


async def test_a_request_that_found_it_just_before_makes_no_job():
    world = make_world()
    gone = beside(world, "b")
    await world.emulator.endpoints.remove("b")
    with pytest.raises(EndpointNotFound):
        await gone.endpoint.submit(JOB)


async def test_a_worker_that_still_polls_it_gets_no_job_of_the_next_one():
    world = make_world()
    gone = beside(world, "b")
    held = await started(gone.endpoint.polling.take("far", 1, False, world.emulator.timeline.now() + 9_000, Caller()))
    await world.emulator.endpoints.remove("b")
    assert await answer(held) == []
    again = beside(world, "b")
    job = await again.endpoint.submit(JOB)
    await turns()
    assert (await again.endpoint.status(job.id)).status is JobStatus.IN_QUEUE


async def test_removed_twice_at_once():
    world = make_world()
    beside(world, "b")
    outcomes = await asyncio.gather(*(world.emulator.endpoints.remove("b") for _ in range(2)), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, EndpointNotFound) for outcome in outcomes)
    assert list(world.emulator.endpoints) == ["ep"]


async def test_an_automatic_clock_waits_for_nobody_to_read_its_results():
    world = make_world(clock=AutoClock())
    gone = beside(world, "b")
    await in_state(gone, JobStatus.COMPLETED)
    assert world.emulator.unread
    await world.emulator.endpoints.remove("b")
    assert not world.emulator.unread


async def test_its_id_is_free_at_once():
    world = make_world()
    with pytest.raises(ConfigurationError):
        beside(world, "ep")
    await world.emulator.endpoints.remove("ep")
    beside(world, "ep")
