"""Workers that come over HTTP: how they come, and show that they live."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.time.waiting import Caller

from tests.core.polls import HOLD, LEASE, own_polls, polls
from tests.core.steps import started, turns

# Coming


async def test_an_unknown_worker_is_welcome_and_appears_in_health() -> None:
    here = polls()
    assert await here.workers() == {}
    assert await here.take("w1") == []
    assert await here.workers() == {"idle": 1}
    assert (await here.endpoint.health()).workers.ready == 1
    await here.take("w2")
    assert await here.workers() == {"idle": 2}


async def test_a_new_worker_gets_the_job_that_waits() -> None:
    here = polls()
    job = await here.submit()
    (taken,) = await here.take("w1")
    assert (taken.id, taken.worker, taken.status) == (job, "w1", JobStatus.IN_PROGRESS)
    assert taken.lease_until == here.now() + LEASE
    assert await here.workers() == {"running": 1}


async def test_a_held_poll_gets_the_job_that_comes() -> None:
    here = polls()
    first, second = await here.open_take("w1"), await here.open_take("w2")
    job = await here.submit()
    await turns()
    assert [taken.id for taken in first.result()] == [job]
    assert not second.done()
    await here.advance(HOLD)
    assert await second == []


async def test_workers_from_elsewhere_do_not_count_against_the_maximum() -> None:
    here = own_polls(workers_max=1)
    for worker in ("w1", "w2", "w3"):
        await here.holding(worker)
    assert here.endpoint.fleet.alive == 1  # the one that the first job asked for
    assert len(here.world.launcher.started) == 1
    assert await here.workers() == {"initializing": 1, "running": 3}


async def test_workers_from_elsewhere_do_not_idle_out() -> None:
    here = own_polls(workers_max=1, idle_timeout=5_000)
    for _ in range(6):
        poll = await here.open_take("w1")
        await here.advance(HOLD)
        assert await poll == []
    assert here.world.launcher.stopped == []
    assert await here.workers() == {"idle": 1}


async def test_an_endpoint_for_workers_from_elsewhere_starts_none() -> None:
    here = polls(workers_min=2)
    await here.submit()
    await here.advance(60_000)
    assert here.world.launcher.started == []


async def test_a_worker_of_ours_is_ready_with_its_first_poll() -> None:
    here = own_polls()
    await here.submit()
    (worker,) = here.world.launcher.started
    assert await here.workers() == {"initializing": 1}
    assert len(await here.take(worker)) == 1
    assert await here.workers() == {"running": 1}


async def test_who_polls_for_stops_before_jobs_is_answered_at_once() -> None:
    here = polls()
    assert await here.polling.stops("w1", here.now() + HOLD, Caller()) == []
    assert await here.workers() == {}


# Batches


async def test_a_batch_holds_what_waits() -> None:
    here = polls()
    ids = [await here.submit() for _ in range(5)]
    assert [job.id for job in await here.take("w1", most=3)] == ids[:3]
    assert await here.workers() == {"running": 1}
    assert here.endpoint.fleet.workers["w1"].free_slots == 0
    assert [job.id for job in await here.take("w1", most=3)] == ids[3:]
    assert (await here.endpoint.health()).running == 5
    assert here.endpoint.fleet.workers["w1"].free_slots == 1


async def test_a_held_batch_is_answered_with_the_first_job() -> None:
    here = polls()
    poll = await here.open_take("w1", most=3)
    job = await here.submit()
    await turns()
    assert [taken.id for taken in poll.result()] == [job]


async def test_each_job_of_a_batch_ends_by_itself() -> None:
    here = polls()
    first, second = [await here.submit(), await here.submit()]
    await here.take("w1", most=2)
    assert await here.completes("w1", first)
    assert await here.status(second) is JobStatus.IN_PROGRESS
    assert await here.workers() == {"running": 1}
    assert await here.fails("w1", second)
    assert await here.workers() == {"idle": 1}


# Signs of life


async def test_a_ping_creates_nobody() -> None:
    here = polls()
    await here.polling.ping("w1", [])
    assert await here.workers() == {}


async def test_a_ping_revives_nobody() -> None:
    here = polls()
    job = await here.holding("w1")
    await here.endpoint.work.worker_gone("w1")
    await here.polling.ping("w1", [job.id])
    assert await here.workers() == {}
    assert await here.status(job.id) is JobStatus.IN_QUEUE


async def test_a_ping_does_not_bring_a_starting_worker_up() -> None:
    here = own_polls()
    await here.submit()
    (worker,) = here.world.launcher.started
    await here.polling.ping(worker, [])
    assert await here.workers() == {"initializing": 1}


async def test_a_ping_renews_the_listed_jobs_only() -> None:
    here = polls()
    kept, dropped = [await here.submit(), await here.submit()]
    await here.take("w1", most=2)
    for _ in range(4):
        await here.advance(10_000)
        await here.polling.ping("w1", [kept, "nonsense"])
    assert await here.status(kept) is JobStatus.IN_PROGRESS
    lost = await here.endpoint.status(dropped)
    assert (lost.status, lost.retries) == (JobStatus.IN_QUEUE, 1)


async def test_a_ping_renews_no_job_of_another_worker() -> None:
    here = polls()
    job = await here.holding("w1")
    await here.take("w2")
    await here.advance(20_000)
    await here.polling.ping("w2", [job.id])
    assert (await here.endpoint.status(job.id)).lease_until == job.lease_until
    await here.polling.ping("w1", [job.id])
    assert (await here.endpoint.status(job.id)).lease_until == here.now() + LEASE


@pytest.mark.parametrize(
    ("profile", "end", "error"),
    [
        ("observed", JobStatus.FAILED, "job timed out after 1 retries"),
        ("documented", JobStatus.TIMED_OUT, "job timed out"),
    ],
)
async def test_a_lease_that_runs_out_is_tried_once_more_and_then_the_job_ends(
    profile: Any, end: JobStatus, error: str
) -> None:
    here = polls(profile=profile)
    job = await here.holding("w1")
    await here.advance(LEASE - 1)
    assert await here.status(job.id) is JobStatus.IN_PROGRESS
    await here.advance(1)
    again = await here.endpoint.status(job.id)
    assert (again.status, again.retries, again.worker) == (JobStatus.IN_QUEUE, 1, None)
    (taken,) = await here.take("w2")
    assert taken.id == job.id
    await here.advance(LEASE)
    over = await here.endpoint.status(job.id)
    assert (over.status, over.retries) == (end, 1)
    assert error in (over.error or "")


async def test_a_silent_worker_leaves_health(caplog: pytest.LogCaptureFixture) -> None:
    here = polls()
    await here.take("w1")
    await here.advance(LEASE - 1)
    assert await here.workers() == {"idle": 1}
    with caplog.at_level(logging.WARNING, "runpod_emulator.worker"):
        await here.advance(1)
    assert await here.workers() == {}
    assert "ep#1: the worker has fallen silent" in caplog.text


@pytest.mark.parametrize("kind", ["take", "stops"])
async def test_a_worker_with_a_held_poll_is_not_silent(kind: str) -> None:
    here = polls()
    await here.take("w1")
    poll = await (here.open_take("w1", hold=100_000) if kind == "take" else here.open_stops("w1", hold=100_000))
    await here.advance(99_999)
    assert await here.workers() == {"idle": 1}
    await here.advance(1)
    assert await poll == []
    await here.advance(LEASE - 1)
    assert await here.workers() == {"idle": 1}
    await here.advance(1)
    assert await here.workers() == {}


async def test_whatever_a_worker_says_is_a_sign_of_life() -> None:
    here = polls()
    job = await here.holding("w1")
    for say in (
        lambda: here.polling.ping("w1", [job.id]),
        lambda: here.progresses("w1", job.id),
        lambda: here.emits("w1", job.id, b"1"),
        lambda: here.completes("w1", "unknown"),
        lambda: here.stops("w1"),
    ):
        await here.advance(LEASE - 1)
        await here.polling.ping("w1", [job.id])
        await here.advance(LEASE - 2)
        await say()
        await here.advance(2)
        assert "w1" in here.endpoint.fleet.workers
        await here.polling.ping("w1", [job.id])


async def test_a_worker_of_ours_that_falls_silent_is_replaced() -> None:
    here = own_polls(workers_min=1, workers_max=1, idle_timeout=1_000_000)
    await here.submit()
    (worker,) = here.world.launcher.started
    await here.take(worker)
    await here.advance(LEASE)
    assert here.world.launcher.replaced == [worker]


# A worker that says it holds nothing


async def test_an_idle_poll_frees_the_worker_of_a_job_that_it_dropped() -> None:
    here = polls()
    await here.holding("w1", input=b"{}")
    assert await here.workers() == {"running": 1}
    poll = await here.open_take("w1", idle=True)
    assert await here.workers() == {"idle": 1}
    worker = here.endpoint.fleet.workers["w1"]
    assert (worker.concurrency, worker.free_slots) == (1, 1)
    assert (await here.endpoint.health()).running == 1
    job = await here.submit()
    await turns()
    assert [taken.id for taken in poll.result()] == [job]


async def test_a_busy_poll_frees_nobody() -> None:
    here = polls()
    await here.holding("w1")
    await here.open_take("w1", idle=False)
    assert await here.workers() == {"running": 1}


async def test_a_dropped_job_fails_when_its_lease_ran_out_twice() -> None:
    here = polls()
    job = await here.submit(b"{}")
    began = here.now()
    polls_open: list[asyncio.Task[list[Job]]] = []
    while await here.status(job) in (JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS):
        assert here.now() < began + 200_000
        await here.polling.ping("w1", [])
        if not polls_open or polls_open[-1].done():
            until = here.now() + HOLD
            polls_open.append(await started(here.polling.take("w1", 1, True, until, Caller())))
        await here.advance(500)
    over = await here.endpoint.status(job)
    assert (over.status, over.error) == (JobStatus.FAILED, "job timed out after 1 retries")
    assert over.ended_at is not None
    assert over.ended_at - began == 2 * LEASE
