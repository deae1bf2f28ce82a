"""Faults around the verbs, on a virtual clock: what clients see, and that the table decides."""

from __future__ import annotations

import asyncio
import json

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, JobStatus
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.script import Ending, Scene, Script

from tests.core.faulty_worlds import WORK, Mocked, fault_of, script
from tests.core.steps import is_gone
from tests.worlds import make_world

USUAL = [(0, "Submitted"), (0, "Taken"), (WORK, "Completed")]


async def test_without_faults_nothing_differs():
    mocked = Mocked()
    assert await mocked.history() == USUAL
    assert not mocked.endpoint.work.hooks.runs
    mocked.expect_sound()


# Jobs that come in


async def test_a_lost_job_has_an_id_and_was_never_there():
    mocked = Mocked()
    mocked.fault(FaultKind.LOST_JOB, times=1)
    job = await mocked.submit()
    assert job.status is JobStatus.IN_QUEUE
    with pytest.raises(JobNotFound):
        await mocked.endpoint.status(job.id)
    await mocked.world.advance(100_000)
    assert [type(one.event).__name__ for one in mocked.heard] == ["Submitted", "Forgotten"]
    assert await mocked.history() == USUAL
    mocked.expect_sound()


async def test_a_job_of_runsync_is_not_lost():
    mocked = Mocked()
    fault = mocked.fault(FaultKind.LOST_JOB)
    assert await mocked.history(sync=True, milliseconds=10_000) == USUAL
    assert fault.asked == 0


async def test_a_stuck_job_waits_for_ever_while_others_run():
    mocked = Mocked()
    mocked.fault(FaultKind.STUCK_IN_QUEUE, times=1)
    stuck = await mocked.submit()
    assert await mocked.history() == USUAL
    assert (await mocked.endpoint.status(stuck.id)).status is JobStatus.IN_QUEUE
    assert (await mocked.endpoint.health()).queued == 1
    assert (await mocked.endpoint.cancel(stuck.id)).status is JobStatus.CANCELLED


async def test_a_stuck_job_stays_though_its_script_would_let_it_go():
    mocked = Mocked()
    (stub,) = mocked.emulator.stubs
    (only,) = stub.scripts
    stub.scripts = (type(only)(only.ending, only.output, in_queue=only.before_end),)
    mocked.fault(FaultKind.STUCK_IN_QUEUE)
    assert await mocked.history() == [(0, "Submitted")]


async def test_an_output_is_gone_early():
    mocked = Mocked()
    mocked.fault(FaultKind.OUTPUT_GONE_EARLY, delay=2_000, times=1)
    assert await mocked.history() == [
        (0, "Submitted"), (0, "Shortened"), (0, "Taken"), (WORK, "Completed"), (WORK + 2_000, "Forgotten"),
    ]  # fmt: skip
    assert await mocked.history() == USUAL


@pytest.mark.parametrize(("late", "end"), [(0, 6_000), (4_000, 10_000)])
async def test_an_execution_timeout_is_noticed_late(late: int, end: int):
    mocked = Mocked(script(Ending.NEVER))
    if late:
        mocked.fault(FaultKind.LATE_TIMEOUT, delay=late)
    assert await mocked.history(execution_timeout=6_000) == [(0, "Submitted"), (0, "Taken"), (end, "Failed")]
    assert mocked.heard[-1].job.error == "executionTimeout exceeded"


async def test_a_job_without_a_limit_gets_none():
    mocked = Mocked()
    fault = mocked.fault(FaultKind.LATE_TIMEOUT, delay=1)
    assert (await mocked.submit(execution_timeout=0)).execution_timeout == 0
    assert fault.asked == 0


# Jobs that go out


async def test_a_job_is_executed_twice_and_the_second_report_is_refused():
    mocked = Mocked(script(chunks=2))
    refused = []
    report = mocked.endpoint.work.report

    async def reported(job_id, event):
        counts = await report(job_id, event)
        refused.append((type(event).__name__, counts))
        return counts

    mocked.endpoint.work.report = reported
    mocked.fault(FaultKind.EXECUTED_TWICE, times=1)
    job = await mocked.submit()
    await mocked.world.advance(100)
    assert mocked.endpoint.fleet.counts().running == 2
    await mocked.world.advance(100_000)
    assert [type(one.event).__name__ for one in mocked.heard] == [
        "Submitted",
        "Taken",
        "Emitted",
        "Emitted",
        "Completed",
    ]
    assert sorted(refused) == sorted(
        [("Emitted", True), ("Emitted", False)] * 2 + [("Completed", True), ("Completed", False)]
    )
    assert (await mocked.endpoint.next_chunks(job.id, 0))[1] == [b'"chunk"'] * 2
    assert not mocked.endpoint.work.stray_runs.workers
    mocked.expect_sound()


async def test_a_second_execution_needs_a_second_worker():
    mocked = Mocked(workers=1)
    mocked.fault(FaultKind.EXECUTED_TWICE)
    assert await mocked.history() == USUAL
    assert not mocked.endpoint.work.hooks.runs


async def test_a_worker_crashes_after_a_while_and_the_job_is_tried_again():
    mocked = Mocked()
    mocked.fault(FaultKind.WORKER_CRASH, delay=2_000, times=1)
    assert await mocked.history() == [
        (0, "Submitted"), (0, "Taken"), (2_000, "Requeued"), (2_000, "Taken"), (2_000 + WORK, "Completed"),
    ]  # fmt: skip
    mocked.expect_sound()


@pytest.mark.parametrize(
    ("kind", "how"),
    [(FaultKind.WORKER_CRASH, "(worker_crash) ended it"), (FaultKind.ZOMBIE, "(zombie) has it given up")],
)
async def test_a_worker_that_a_fault_has_ended_says_which(kind: FaultKind, how: str):
    mocked = Mocked()
    fault = mocked.fault(kind, delay=2_000, times=1)
    await mocked.history()
    worker = next(one.job.worker for one in mocked.heard if type(one.event).__name__ == "Taken")
    arrival = mocked.endpoint.fleet.arrivals.of(str(worker))
    assert arrival is not None and arrival.gone == f"fault {fault.id} {how}"


async def test_a_crash_that_comes_after_the_end_harms_nobody():
    mocked = Mocked()
    mocked.fault(FaultKind.WORKER_CRASH, delay=WORK + 1)
    assert await mocked.history() == USUAL


async def test_a_worker_crashes_in_the_middle_of_a_stream():
    mocked = Mocked(script(chunks=3))
    mocked.fault(FaultKind.WORKER_CRASH, count=2, times=1)
    assert await mocked.history() == [
        (0, "Submitted"), (0, "Taken"), (1_000, "Emitted"), (2_000, "Emitted"), (2_000, "Requeued"), (2_000, "Taken"),
        (3_000, "Emitted"), (4_000, "Emitted"), (5_000, "Emitted"), (5_000 + WORK, "Completed"),
    ]  # fmt: skip


async def test_a_crash_in_the_middle_of_a_burst_cuts_it():
    world = make_world()
    world.emulator.faults.add(fault_of(FaultKind.WORKER_CRASH, count=2))
    worker, job = await world.running()
    assert await world.endpoint.work.report(job.id, Emitted(1, (b"1", b"2", b"3")))
    assert world.launcher.replaced == [worker]
    assert not await world.endpoint.work.report(job.id, Completed(1, b"4"))
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    _, chunks = await world.endpoint.next_chunks(job.id, 0)
    assert chunks == [b"1", b"2"]


async def test_a_job_whose_workers_always_crash_fails():
    mocked = Mocked()
    mocked.fault(FaultKind.WORKER_CRASH, delay=10)
    assert (await mocked.history())[-1] == (20, "Failed")
    assert mocked.heard[-1].job.error == "job timed out after 1 retries"


# Reports


async def test_a_dropped_report_is_never_heard_of_and_the_job_is_tried_again():
    mocked = Mocked()
    mocked.fault(FaultKind.DROPPED_REPORT, times=1)
    lease = mocked.emulator.platform.worker_lease
    assert await mocked.history() == [
        (0, "Submitted"), (0, "Taken"), (WORK, "Renewed"), (WORK + lease, "Requeued"), (WORK + lease, "Taken"),
        (2 * WORK + lease, "Completed"),
    ]  # fmt: skip
    mocked.expect_sound()


async def test_a_late_report_ends_the_job_late():
    mocked = Mocked()
    mocked.fault(FaultKind.LATE_REPORT, delay=3_000, times=1)
    assert await mocked.history() == [*USUAL[:2], (WORK + 3_000, "Completed")]
    assert await mocked.history() == USUAL


async def test_a_late_report_may_come_too_late():
    mocked = Mocked()
    mocked.fault(FaultKind.LATE_REPORT, delay=3_000, times=1)
    job = await mocked.submit()
    await mocked.world.advance(WORK + 1)
    await mocked.endpoint.cancel(job.id)
    await mocked.world.advance(10_000)
    assert (await mocked.endpoint.status(job.id)).status is JobStatus.CANCELLED
    mocked.expect_sound()


@pytest.mark.parametrize("delay", [0, 2_000])
async def test_a_repeated_report_counts_once(delay: int):
    mocked = Mocked()
    fault = mocked.fault(FaultKind.REPEATED_REPORT, delay=delay, count=3)
    assert await mocked.history() == USUAL
    assert fault.struck == 1
    mocked.expect_sound()


async def test_a_report_that_is_repeated_later_does_not_end_a_job_that_was_retried():
    world = make_world()
    world.emulator.faults.add(fault_of(FaultKind.REPEATED_REPORT, delay=1_000))
    worker, job = await world.running()
    assert await world.endpoint.work.report(job.id, Failed("once", None, 1))
    await world.endpoint.retry(job.id)
    (again,) = await world.take(worker)
    await world.advance(5_000)
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    assert again.lease == 2


async def test_a_job_completes_without_its_output():
    mocked = Mocked()
    mocked.fault(FaultKind.EMPTY_OUTPUT, times=1)
    assert await mocked.history() == USUAL
    assert mocked.heard[-1].job.output is None
    await mocked.history()
    assert json.loads(mocked.heard[-1].job.output or b"") == "done"


async def test_a_failure_keeps_its_error():
    mocked = Mocked(script(Ending.ERROR))
    fault = mocked.fault(FaultKind.EMPTY_OUTPUT)
    await mocked.history()
    assert (mocked.heard[-1].job.status, mocked.heard[-1].job.error) == (JobStatus.FAILED, "no luck")
    assert fault.asked == 0


async def test_a_stream_ends_empty_as_a_whole():
    mocked = Mocked(script(chunks=3))
    mocked.fault(FaultKind.EMPTY_STREAM, times=1)
    history = await mocked.history()
    assert history == [(0, "Submitted"), (0, "Taken"), (3_000 + WORK, "Completed")]
    assert len(await mocked.history()) == 6


async def test_a_report_that_is_too_late_by_itself_throws_no_dice():
    world = make_world()
    fault = world.emulator.faults.add(fault_of(FaultKind.DROPPED_REPORT))
    _, job = await world.running()
    assert not await world.endpoint.work.report(job.id, Completed(7, b"1"))
    assert not await world.endpoint.work.report("unknown", Completed(1, b"1"))
    assert fault.asked == 0


# Workers that come up


@pytest.mark.parametrize(
    ("kind", "state"), [(FaultKind.THROTTLED_WORKERS, "throttled"), (FaultKind.COLD_STARTS, "initializing")]
)
async def test_workers_come_up_slowly(kind: FaultKind, state: str):
    mocked = Mocked()
    mocked.fault(kind, delay=8_000, times=1)
    job = await mocked.submit()
    await mocked.world.advance(7_999)
    assert getattr(mocked.endpoint.fleet.counts(), state) == 1
    assert (await mocked.endpoint.status(job.id)).status is JobStatus.IN_QUEUE
    await mocked.world.advance(1)
    assert (await mocked.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    await mocked.world.advance(20_000)
    assert not mocked.endpoint.fleet.workers
    assert await mocked.history() == USUAL


# Rules that end


async def test_a_forgotten_rule_ends_by_itself():
    mocked = Mocked()
    mocked.fault(FaultKind.LOST_JOB, expires_at=mocked.timeline.now() + 10_000)
    assert await is_gone(mocked.world, (await mocked.submit()).id)
    await mocked.world.advance(10_000)
    assert await mocked.history() == USUAL


async def test_the_same_seed_makes_the_same_run():
    async def run() -> list[tuple[int, str, str]]:
        mocked = Mocked(script(chunks=2), concurrency=2)
        for kind in (FaultKind.WORKER_CRASH, FaultKind.ZOMBIE, FaultKind.LATE_REPORT, FaultKind.EXECUTED_TWICE):
            mocked.fault(kind, delay=1_500, probability=0.4)
        for _ in range(20):
            await mocked.submit()
            await mocked.world.advance(700)
        await mocked.world.advance(200_000)
        mocked.expect_sound()
        return [(one.at - mocked.began, type(one.event).__name__, one.job.id) for one in mocked.heard]

    first = await run()
    assert first == await run()
    assert {"Requeued", "Completed"} <= {name for _, name, _ in first}


async def test_an_unaffected_endpoint_of_the_same_emulator_goes_on():
    mocked = Mocked()
    mocked.fault(FaultKind.LOST_JOB, endpoint="mock")
    job = await mocked.world.endpoint.submit(Submission(b'{"a":1}'))
    assert (await mocked.world.endpoint.status(job.id)).status is JobStatus.IN_QUEUE


def counted(runs: list[str]) -> Script:
    """A script without a pause that notes each of its runs."""

    def output(scene: Scene) -> bytes:
        runs.append(scene.job)
        return b'"i"'

    return Script(Ending.OUTPUT, output=output)


async def test_a_job_that_is_done_at_once_is_executed_twice_too():
    runs: list[str] = []
    mocked = Mocked(counted(runs), workers=2)
    mocked.fault(FaultKind.EXECUTED_TWICE)
    job = await mocked.submit()
    await mocked.world.advance(1_000)
    assert runs == [job.id, job.id]
    mocked.expect_sound()


@pytest.mark.one_step
async def test_many_jobs_done_at_once_leave_turns_to_others():
    runs: list[str] = []
    mocked = Mocked(counted(runs), workers=1)
    for _ in range(500):
        await mocked.submit()
    most = before = 0
    while len(runs) < 500:
        await asyncio.sleep(0)
        most, before = max(most, len(runs) - before), len(runs)
    assert most <= 100
