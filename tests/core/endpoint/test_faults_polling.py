"""Faults of endpoints whose workers come over HTTP: there a report carries no lease."""

from __future__ import annotations

import pytest
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.mocks.fault_kinds import FaultKind

from tests.core.faulty_worlds import fault_of
from tests.core.polls import LEASE, Polls, polls

PAIR = ("w1", "w2")


async def doubled(here: Polls) -> str:
    """A job that two workers run; the first has it for its own."""
    here.world.emulator.faults.add(fault_of(FaultKind.EXECUTED_TWICE, times=1))
    job = await here.holding("w1")
    (copy,) = await here.take("w2")
    assert (copy.id, copy.input) == (job.id, job.input)
    return job.id


async def test_a_second_worker_runs_the_job_and_is_refused() -> None:
    here = polls()
    job = await doubled(here)
    assert await here.workers() == {"running": 2}
    assert not await here.emits("w2", job, b"1")
    assert not await here.completes("w2", job, b'"second"')
    assert await here.workers() == {"running": 1, "idle": 1}
    assert await here.completes("w1", job, b'"first"')
    assert (await here.endpoint.status(job)).output == b'"first"'


async def test_the_second_result_does_not_count_though_it_comes_after_the_end() -> None:
    here = polls()
    job = await doubled(here)
    assert await here.completes("w1", job, b'"first"')
    assert not await here.completes("w2", job, b'"second"')
    assert (await here.endpoint.status(job)).output == b'"first"'
    assert await here.workers() == {"idle": 2}


async def test_a_ghost_does_not_get_the_job_for_its_own_until_it_has_reported() -> None:
    here = polls()
    job = await doubled(here)
    await here.endpoint.work.worker_gone("w1")
    assert await here.status(job) is JobStatus.IN_QUEUE
    assert await here.take("w2") == []
    held = await here.open_take("w2")
    assert not await here.completes("w2", job)
    (again,) = await held
    assert (again.id, again.lease, again.worker) == (job, 2, "w2")
    assert await here.completes("w2", job)


async def test_a_worker_that_says_it_is_idle_is_no_ghost() -> None:
    here = polls()
    job = await doubled(here)
    await here.endpoint.work.worker_gone("w1")
    (again,) = await here.take("w2", idle=True)
    assert (again.id, again.lease) == (job, 2)
    assert await here.workers() == {"running": 1}


async def test_a_ghost_that_leaves_takes_nothing_with_it() -> None:
    here = polls()
    job = await doubled(here)
    await here.endpoint.work.worker_gone("w2")
    assert await here.status(job) is JobStatus.IN_PROGRESS
    assert await here.completes("w1", job)
    assert not here.endpoint.work.stray_runs.workers


async def test_a_ghost_is_told_to_stop_when_its_time_is_over() -> None:
    here = polls(execution_timeout=5_000)
    job = await doubled(here)
    await here.advance(5_000)
    assert await here.status(job) is JobStatus.FAILED
    assert [await here.stops(worker) for worker in PAIR] == [[job], [job]]
    assert not here.endpoint.work.stray_runs.workers


async def test_a_zombie_over_http() -> None:
    here = polls()
    here.world.emulator.faults.add(fault_of(FaultKind.ZOMBIE, delay=2_000, times=1))
    job = await here.holding("w1")
    await here.advance(2_000)
    assert await here.status(job.id) is JobStatus.IN_QUEUE
    assert await here.stops("w1") == []
    (again,) = await here.take("w2")
    assert (again.id, again.lease) == (job.id, 2)
    assert not await here.completes("w1", job.id, b'"late"')
    assert await here.completes("w2", job.id, b'"true"')
    assert (await here.endpoint.status(job.id)).output == b'"true"'
    assert await here.workers() == {"idle": 2}


async def test_a_worker_elsewhere_is_lost_without_being_killed() -> None:
    here = polls()
    here.world.emulator.faults.add(fault_of(FaultKind.WORKER_CRASH, delay=2_000, times=1))
    job = await here.holding("w1")
    await here.advance(2_000)
    assert await here.workers() == {}
    assert await here.status(job.id) is JobStatus.IN_QUEUE
    assert not await here.completes("w1", job.id)
    assert [again.id for again in await here.take("w1", idle=True)] == [job.id]


async def test_a_dropped_report_of_a_worker_over_http() -> None:
    here = polls()
    here.world.emulator.faults.add(fault_of(FaultKind.DROPPED_REPORT, times=1))
    job = await here.holding("w1")
    assert not await here.completes("w1", job.id)
    await here.polling.ping("w1", [])
    assert await here.status(job.id) is JobStatus.IN_PROGRESS
    assert await here.workers() == {"idle": 1}
    await here.take("w2")
    await here.advance(LEASE)
    assert await here.status(job.id) is JobStatus.IN_QUEUE


@pytest.mark.parametrize("idle", [False, True])
async def test_a_late_report_of_a_worker_over_http(idle: bool) -> None:
    here = polls()
    here.world.emulator.faults.add(fault_of(FaultKind.LATE_REPORT, delay=2_000))
    job = await here.holding("w1")
    assert await here.completes("w1", job.id)
    assert await here.take("w1", idle=idle) == []
    assert await here.status(job.id) is JobStatus.IN_PROGRESS
    await here.advance(2_000)
    assert await here.status(job.id) is JobStatus.COMPLETED
    assert await here.workers() == {"idle": 1}
