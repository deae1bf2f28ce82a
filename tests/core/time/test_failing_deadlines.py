"""One deadline that fails is logged once, and stops no other."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable

import pytest
from runpod_emulator.core.endpoint import engine as engine_module
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Event, Job, JobStatus
from runpod_emulator.core.mocks.script import Ending, Pause, Script
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.platform import DAY, SECOND, Platform
from runpod_emulator.core.settings import EndpointSettings, Span
from runpod_emulator.core.time.waiting import Caller, Waiter
from runpod_emulator.effects.faulty_post import FaultyPost

from tests.core.passing_time import Passing
from tests.core.steps import beside, is_gone, started, turns
from tests.worlds import TestWorld, make_world

JOB = Submission(b'{"a":1}')
BAD = Submission(b'{"bad":1}')
EVENT = engine_module.deadline_event


def failing(job: Job, platform: Platform) -> Event:
    """The event of a deadline, of a job that has none."""
    if b"bad" in job.input:
        raise ArithmeticError("this deadline fails")
    return EVENT(job, platform)


async def queued(world: TestWorld, submission: Submission) -> Job:
    return await world.endpoint.submit(submission._replace(ttl=60 * SECOND))


async def held(world: TestWorld, submission: Submission) -> Job:
    world.emulator.stub(Stub("held", (Script(Ending.NEVER, in_queue=Pause(Span(SECOND, SECOND))),)))
    return await world.endpoint.submit(submission._replace(ttl=60 * SECOND))


async def running(world: TestWorld, submission: Submission) -> Job:
    return (await world.running(submission._replace(execution_timeout=60 * SECOND)))[1]


async def silent(world: TestWorld, submission: Submission) -> Job:
    worker, job = await world.running(submission)
    await world.endpoint.work.refuse(worker, job.id, job.lease)
    return job


async def ended(world: TestWorld, submission: Submission) -> Job:
    _, job = await world.running(submission)
    await world.endpoint.work.report(job.id, Completed(job.lease))
    await world.endpoint.status(job.id, ttl=60 * SECOND)
    return job


@pytest.mark.parametrize("state", [queued, held, running, silent, ended])
async def test_of_a_job(
    passing: Passing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    state: Callable[[TestWorld, Submission], Awaitable[Job]],
):
    monkeypatch.setattr(engine_module, "deadline_event", failing)
    world = passing.world(settings=lambda settings: dataclasses.replace(settings, workers_max=9), platform_retries=0)
    bad, good = await state(world, BAD), await state(world, JOB)
    other = beside(world, "other")
    with caplog.at_level(logging.ERROR, "runpod_emulator"):
        await passing.by(61 * SECOND)
        await other.endpoint.health()
        assert await is_gone(world, good.id) or (await world.endpoint.status(good.id)).status is JobStatus.FAILED
        await passing.by(DAY)
        await other.endpoint.health()
    logged = [record.getMessage() for record in caplog.records if record.exc_info]
    assert logged == [f"a deadline of ep/{bad.id} failed"]


async def test_of_a_job_at_the_head_of_the_queue(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine_module, "deadline_event", failing)
    world = make_world()
    worker = await world.worker()
    await queued(world, BAD)
    await world.advance(61 * SECOND)
    job = await world.endpoint.submit(JOB)
    assert [one.id for one in await world.take(worker)] == [job.id]


async def test_of_an_endpoint_that_is_gone(caplog: pytest.LogCaptureFixture):
    world = make_world()
    gone = beside(world, "b")
    await queued(gone, JOB)
    del world.emulator.endpoints.queues["b"]
    await world.advance(DAY)
    assert (await world.endpoint.health()).queued == 0
    assert await world.emulator.deadlines.first_due() is None


# Timers


def fail(*args: object, **more: object) -> None:
    raise ArithmeticError("this timer fails")


async def long_poll(world: TestWorld) -> None:
    """A client waits for a job."""
    job = await world.endpoint.submit(JOB._replace(ttl=DAY))
    await started(world.endpoint.wait(job.id, world.emulator.timeline.now() + SECOND))


async def scaling(world: TestWorld) -> None:
    """Jobs wait for a second worker."""
    await world.endpoint.configure(dataclasses.replace(world.endpoint.settings, scaler="QUEUE_DELAY", scaler_delay=1))
    for _ in range(9):
        await world.endpoint.submit(JOB)


async def broken(world: TestWorld) -> None:
    """A worker that could not start is tried again."""
    world.endpoint.workforce.begin()
    await turns()
    world.endpoint.autoscaler.start_one()
    await world.endpoint.work.worker_broken(world.launcher.started[-1], "broken")


async def idle(world: TestWorld) -> None:
    """A worker idles."""
    await world.worker()


async def arrival(world: TestWorld) -> None:
    """A worker comes up for ever."""
    world.endpoint.autoscaler.start_one()


async def silence(world: TestWorld) -> None:
    """A worker that came over HTTP falls silent."""
    await started(world.endpoint.polling.take("far", 1, False, world.emulator.timeline.now(), Caller()))


async def webhook(world: TestWorld) -> None:
    """A webhook call was refused, and is made again."""
    world.post.answer = lambda url, body: "answered 500"
    _, job = await world.running(JOB._replace(webhook="http://127.0.0.1:9/bad"))
    await world.endpoint.work.report(job.id, Completed(job.lease))
    await world.emulator.timeline.settle()


@pytest.mark.parametrize(
    ("arrange", "owner", "step"),
    [
        (long_poll, lambda world: Waiter, "end"),
        (scaling, lambda world: world.endpoint.autoscaler, "start_one"),
        (broken, lambda world: world.endpoint.autoscaler, "balance"),
        (idle, lambda world: world.endpoint.fleet, "dismiss"),
        (arrival, lambda world: world.endpoint.fleet, "failed"),
        (silence, lambda world: world.endpoint.work, "worker_gone"),
        (webhook, lambda world: FaultyPost, "pass_on"),
        (webhook, lambda world: FaultyPost, "send"),
        (webhook, lambda world: world.post, "send"),
    ],
)
async def test_of_any_other_kind(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    arrange: Callable[[TestWorld], Awaitable[None]],
    owner: Callable[[TestWorld], object],
    step: str,
):
    def settings(settings: EndpointSettings) -> EndpointSettings:
        return dataclasses.replace(settings, init_timeout=10 * SECOND)

    world = make_world(settings=settings)
    await arrange(world)
    monkeypatch.setattr(owner(world), step, fail)
    other = beside(world, "other")
    job = await other.endpoint.submit(JOB._replace(ttl=HOURS))
    notes: list[int] = []
    world.emulator.timeline.at(world.emulator.timeline.now() + HOURS, lambda: notes.append(1))
    with caplog.at_level(logging.ERROR, "runpod_emulator"):
        await world.advance(HOURS)
        await world.emulator.timeline.settle()
    assert notes and await is_gone(other, job.id)
    failures = [record for record in caplog.records if record.exc_info]
    assert 1 <= len(failures) <= 3
    assert all(record.exc_info and record.exc_info[0] is ArithmeticError for record in failures)


HOURS = 10 * 3_600 * SECOND


@pytest.mark.parametrize("step", ["pass_on", "send"])
async def test_a_webhook_call_that_fails_inside_is_an_attempt_and_delays_no_other(
    monkeypatch: pytest.MonkeyPatch, step: str
):
    whole = getattr(FaultyPost, step)

    def for_bad(self: FaultyPost, delivery, *more):
        return fail() if "bad" in delivery.url else whole(self, delivery, *more)

    monkeypatch.setattr(FaultyPost, step, for_bad)
    world = make_world()
    for name in ("bad", "good"):
        _, job = await world.running(JOB._replace(webhook=f"http://127.0.0.1:9/{name}"))
        await world.endpoint.work.report(job.id, Completed(job.lease))
    await world.emulator.timeline.settle()
    await world.advance(DAY)
    tried = [(attempt.delivery.url[-4:].strip("/"), attempt.problem) for attempt in world.emulator.attempts]
    assert tried.count(("good", "")) == 1
    assert tried.count(("bad", "ArithmeticError: this timer fails")) == 3
    assert not await world.emulator.store.deliveries.owes()
