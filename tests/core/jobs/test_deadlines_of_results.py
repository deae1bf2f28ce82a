"""How long a result is kept, and who notices a deadline that has passed."""

from __future__ import annotations

import logging

import pytest
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Completed, Failed, Job, JobStatus, Progressed
from runpod_emulator.core.platform import HOUR, MINUTE, SECOND

from tests.core.jobs.test_deadlines import JOB, with_limit
from tests.core.passing_time import Passing
from tests.core.steps import both_profiles, is_gone, take_now
from tests.worlds import TestWorld, make_world

# Retention and ?ttl


ENDINGS = pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])


async def ended(world: TestWorld, ending: str, sync: bool = False) -> str:
    _, job = await world.running(JOB._replace(sync=sync))
    if ending == "cancelled":
        await world.endpoint.cancel(job.id)
    else:
        report = Completed(job.lease, b"1") if ending == "completed" else Failed("boom", None, job.lease)
        assert await world.endpoint.work.report(job.id, report)
    return job.id


@both_profiles
@pytest.mark.parametrize(("sync", "kept"), [(False, 30 * MINUTE), (True, MINUTE)])
@ENDINGS
async def test_a_result_is_kept_for_its_retention(passing: Passing, profile, sync: bool, kept: int, ending: str):
    world = passing.world(profile)
    job = await ended(world, ending, sync)
    await passing.by(kept - 1)
    assert (await world.endpoint.status(job)).status.value == ending.upper()
    await passing.by(1)
    assert await is_gone(world, job)
    for verb in (world.endpoint.cancel, world.endpoint.retry):
        with pytest.raises(JobNotFound):
            await verb(job)


@pytest.mark.parametrize(
    ("rule", "wait", "kept"),
    [
        ("fixed", 200 * SECOND, MINUTE), ("fixed", None, MINUTE), ("extended", None, MINUTE),
        ("extended", 30 * SECOND, MINUTE), ("extended", 200 * SECOND, 200 * SECOND),
        ("extended", 900 * SECOND, 5 * MINUTE),
    ],
)  # fmt: skip
async def test_a_wait_may_lengthen_the_life_of_a_result(passing: Passing, rule: str, wait: int | None, kept: int):
    world = passing.world(runsync_wait_retention=rule)
    _, job = await world.running(JOB._replace(sync=True, wait=wait))
    await world.endpoint.work.report(job.id, Completed(job.lease))
    await passing.by(kept - 1)
    assert not await is_gone(world, job.id)
    await passing.by(1)
    assert await is_gone(world, job.id)


@pytest.mark.parametrize(
    ("rule", "ttl", "kept"),
    [
        ("ignored", 20 * SECOND, 30 * MINUTE), ("deleted", 20 * SECOND, 10 * SECOND),
        ("deleted", 2 * HOUR, 30 * MINUTE),
    ],
)  # fmt: skip
@ENDINGS
async def test_the_ttl_may_delete_a_result(passing: Passing, rule: str, ttl: int, kept: int, ending: str):
    world = passing.world(ended_ttl=rule)
    _, job = await world.running(JOB._replace(ttl=ttl))
    await passing.by(10 * SECOND)
    if ending == "cancelled":
        await world.endpoint.cancel(job.id)
    else:
        report = Completed(job.lease, b"1") if ending == "completed" else Failed("boom", None, job.lease)
        assert await world.endpoint.work.report(job.id, report)
    await passing.by(kept - 1)
    assert not await is_gone(world, job.id)
    await passing.by(1)
    assert await is_gone(world, job.id)


async def test_a_job_that_its_ttl_has_ended_is_kept_to_be_seen(passing: Passing):
    world = passing.world(ended_ttl="deleted", queued_ttl_end="timed_out", paused_endpoint="queue", workers_max=0)
    job = await world.endpoint.submit(JOB._replace(ttl=20 * SECOND))
    await passing.by(20 * SECOND + 30 * MINUTE - 1)
    assert (await world.endpoint.status(job.id)).status is JobStatus.TIMED_OUT
    await passing.by(1)
    assert await is_gone(world, job.id)


async def test_retention_counts_from_the_end_that_was_noticed_late(passing: Passing):
    world = passing.world(settings=with_limit(5 * SECOND))
    _, job = await world.running()
    await passing.by(5 * SECOND + 30 * MINUTE - 1)
    assert (await world.endpoint.status(job.id)).status is JobStatus.FAILED
    await passing.by(1)
    assert await is_gone(world, job.id)


async def test_deadlines_that_passed_unnoticed_all_happened_in_their_order(passing: Passing):
    world = passing.world(settings=with_limit(5 * SECOND))
    _, job = await world.running()
    await passing.by(5 * SECOND + 30 * MINUTE)
    assert await is_gone(world, job.id)
    assert (await world.endpoint.health())[:5] == (0, 0, 0, 1, 0)


async def test_a_ttl_asked_for_while_running_counts_from_the_end(passing: Passing):
    world = passing.world()
    _, job = await world.running()
    await world.endpoint.status(job.id, ttl=6 * SECOND)
    await passing.by(MINUTE)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    await passing.by(6 * SECOND - 1)
    assert not await is_gone(world, job.id)
    await passing.by(1)
    assert await is_gone(world, job.id)


@ENDINGS
async def test_a_ttl_asked_for_after_the_end_counts_from_the_call(passing: Passing, ending: str):
    world = passing.world()
    job = await ended(world, ending)
    await passing.by(MINUTE)
    await world.endpoint.status(job, ttl=6 * SECOND)
    await passing.by(6 * SECOND - 1)
    assert not await is_gone(world, job)
    await passing.by(1)
    assert await is_gone(world, job)


async def test_a_ttl_never_lengthens_a_life(passing: Passing):
    world = passing.world()
    job = await ended(world, "completed", sync=True)
    await world.endpoint.status(job, ttl=HOUR)
    await world.endpoint.status(job, ttl=6 * SECOND)
    await world.endpoint.status(job, ttl=30 * SECOND)
    await passing.by(6 * SECOND)
    assert await is_gone(world, job)


async def test_a_ttl_does_not_shorten_the_wait_in_the_queue(passing: Passing):
    world = passing.world(paused_endpoint="queue", workers_max=0)
    job = await world.endpoint.submit(JOB)
    await world.endpoint.status(job.id, ttl=1)
    await passing.by(HOUR)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE


# Who notices


VERBS = {
    "status": lambda world, job: world.endpoint.status(job.id),
    "wait": lambda world, job: world.endpoint.wait(job.id, world.emulator.timeline.now() + 1),
    "next_chunks": lambda world, job: world.endpoint.next_chunks(job.id, world.emulator.timeline.now() + 1),
    "cancel": lambda world, job: world.endpoint.cancel(job.id),
    "retry": lambda world, job: world.endpoint.retry(job.id),
    "submit": lambda world, job: world.endpoint.submit(JOB),
    "purge": lambda world, job: world.endpoint.purge(),
    "health": lambda world, job: world.endpoint.health(),
    "requests": lambda world, job: world.endpoint.requests(0, 10),
    "worker_ready": lambda world, job: world.endpoint.work.worker_ready("w9", 1),
    "worker_broken": lambda world, job: world.endpoint.work.worker_broken("w9", "broken"),
    "worker_gone": lambda world, job: world.endpoint.work.worker_gone("w9"),
    "report": lambda world, job: world.endpoint.work.report(job.id, Progressed(job.lease, b"1")),
    "refuse": lambda world, job: world.endpoint.work.refuse("w9", job.id, job.lease),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_whichever_verb_comes_first_notices_a_passed_limit(passing: Passing, verb: str):
    world = passing.world(settings=with_limit(5 * SECOND))
    ends: list[tuple[str, int]] = []
    world.emulator.store.news.transitions.append(
        lambda news: news.ended and ends.append((news.job.status.value, news.at))
    )
    _, job = await world.running()
    await passing.by(HOUR - 30 * MINUTE)
    await VERBS[verb](world, job)
    assert ends == [("FAILED", job.taken_at + 5 * SECOND)]


async def test_a_take_notices_that_the_first_in_line_has_expired(passing: Passing):
    world = passing.world()
    worker = await world.worker()
    await world.endpoint.submit(JOB._replace(ttl=10 * SECOND))
    later = await world.endpoint.submit(JOB)
    await passing.by(10 * SECOND)
    assert [job.id for job in await world.take(worker, most=2)] == [later.id]


@pytest.mark.one_step
@pytest.mark.parametrize("verb", ["health", "requests", "report"])
async def test_a_verb_sees_every_deadline_that_passed_however_many(verb: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR)
    world = make_world(rate_limits=False, settings=with_limit(5 * SECOND))
    for _ in range(1_100):
        await world.endpoint.submit(JOB)
    jobs = await take_now(world, await world.worker(concurrency=1_100), most=1_100)
    world.clock.move_to(world.clock.now() + 5 * SECOND)
    if verb == "health":
        assert (await world.endpoint.health())[:5] == (0, 0, 0, 1_100, 0)
    elif verb == "requests":
        listed, _ = await world.endpoint.requests(0, 2_000)
        assert {job.status for job in listed} == {JobStatus.FAILED}
    else:
        reports = [
            await world.endpoint.work.report(job.id, Completed(job.lease)) for job in sorted(jobs, key=by_id)[-2:]
        ]
        assert reports == [False, False]


def by_id(job: Job) -> str:
    return job.id
