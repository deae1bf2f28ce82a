"""Jobs that are taken from a worker over HTTP: it is told, and what it still says does not count."""

from __future__ import annotations

import logging

import pytest
from runpod_emulator.core.endpoint.polling import SAY_AGAIN
from runpod_emulator.core.jobs.job import JobStatus

from tests.core.polls import ENDINGS, LEASE, Polls, every_ending, polls
from tests.core.steps import turns

# Stops


@every_ending
async def test_a_job_that_is_over_is_told_to_its_worker_at_once(ending: str) -> None:
    policy, end, status = ENDINGS[ending]
    here = polls()
    job = await here.holding("w1", **policy)
    poll = await here.open_stops("w1", hold=100_000)
    await end(here, job.id)
    await turns()
    assert poll.done() and poll.result() == [job.id]
    assert await here.status(job.id) is status
    assert await here.workers() == {"idle": 1}


@every_ending
async def test_a_stop_is_said_again_until_a_ping_no_longer_lists_the_job(ending: str) -> None:
    policy, end, _ = ENDINGS[ending]
    here = polls()
    job = await here.holding("w1", **policy)
    await end(here, job.id)
    assert await here.stops("w1") == [job.id]
    for _ in range(3):
        assert await here.stops("w1") == []
        await here.advance(SAY_AGAIN - 1)
        assert await here.stops("w1") == []
        await here.advance(1)
        assert await here.stops("w1") == [job.id]
        await here.polling.ping("w1", [job.id])
    await here.polling.ping("w1", [])
    await here.advance(SAY_AGAIN)
    assert await here.stops("w1") == []


async def test_a_held_poll_says_a_stop_again_when_a_second_is_over() -> None:
    here = polls()
    job = await here.holding("w1")
    await here.endpoint.cancel(job.id)
    assert await here.stops("w1") == [job.id]
    poll = await here.open_stops("w1")
    await here.advance(SAY_AGAIN - 1)
    assert not poll.done()
    await here.advance(1)
    assert poll.done() and poll.result() == [job.id]


@pytest.mark.parametrize("report", ["completes", "fails"])
@every_ending
async def test_a_stop_is_not_said_again_once_the_refused_report_came(ending: str, report: str) -> None:
    policy, end, status = ENDINGS[ending]
    here = polls()
    job = await here.holding("w1", **policy)
    await end(here, job.id)
    assert await here.stops("w1") == [job.id]
    assert not await getattr(here, report)("w1", job.id)
    assert await here.status(job.id) is status
    await here.advance(SAY_AGAIN)
    assert await here.stops("w1") == []
    assert here.polling.obeyed("w1", job.id)


async def test_progress_does_not_mean_that_a_worker_obeyed() -> None:
    here = polls()
    job = await here.holding("w1")
    await here.endpoint.cancel(job.id)
    assert not await here.progresses("w1", job.id)
    assert not await here.emits("w1", job.id, b"1")
    assert await here.stops("w1") == [job.id]
    assert not here.polling.obeyed("w1", job.id)


async def test_several_jobs_are_stopped_in_one_answer() -> None:
    here = polls()
    ids = [await here.submit() for _ in range(3)]
    await here.take("w1", most=3)
    for job in ids[:2]:
        await here.endpoint.cancel(job)
    assert sorted(await here.stops("w1")) == sorted(ids[:2])
    assert await here.completes("w1", ids[2])


async def test_a_waiting_job_that_is_cancelled_concerns_no_worker() -> None:
    here = polls()
    await here.take("w1")
    job = await here.submit()
    await here.endpoint.cancel(job)
    assert await here.stops("w1") == []


async def test_a_job_that_ended_by_its_report_is_not_stopped() -> None:
    here = polls()
    job = await here.holding("w1")
    await here.completes("w1", job.id)
    await here.endpoint.cancel(job.id)
    assert await here.stops("w1") == []


# A job that was taken from its worker


async def timed_out_and_retried(here: Polls, worker: str = "w1") -> str:
    """A waiting job that `worker` has not let go of."""
    job = await here.holding(worker, execution_timeout=5_000)
    await here.advance(5_000)
    await here.endpoint.retry(job.id)
    return job.id


async def test_another_worker_gets_the_job() -> None:
    here = polls()
    job = await timed_out_and_retried(here)
    assert await here.take("w1") == []
    assert [taken.id for taken in await here.take("w2")] == [job]


async def test_the_jobs_behind_it_are_not_held_up() -> None:
    here = polls()
    job = await timed_out_and_retried(here)
    next_one = await here.submit()
    assert [taken.id for taken in await here.take("w1", most=2)] == [next_one]
    assert await here.status(job) is JobStatus.IN_QUEUE


async def test_its_only_worker_gets_it_once_a_ping_no_longer_lists_it() -> None:
    here = polls()
    job = await timed_out_and_retried(here)
    assert await here.take("w1") == []
    await here.polling.ping("w1", [job])
    assert await here.take("w1") == []
    await here.polling.ping("w1", [])
    assert [taken.id for taken in await here.take("w1")] == [job]


async def test_its_only_worker_gets_it_once_the_refused_report_came() -> None:
    here = polls()
    job = await timed_out_and_retried(here)
    assert not await here.completes("w1", job)
    assert await here.status(job) is JobStatus.IN_QUEUE
    assert [taken.id for taken in await here.take("w1")] == [job]


@pytest.mark.parametrize("let_go", ["ping", "report"])
async def test_a_held_poll_gets_it_as_soon_as_its_worker_let_go(let_go: str) -> None:
    here = polls()
    job = await timed_out_and_retried(here)
    poll = await here.open_take("w1")
    await (here.polling.ping("w1", []) if let_go == "ping" else here.completes("w1", job))
    await turns()
    assert poll.done() and [taken.id for taken in poll.result()] == [job]


async def test_its_lost_lease_bars_the_worker_too() -> None:
    here = polls()
    job = await here.holding("w1")
    poll = await here.open_take("w1", hold=LEASE + 1)
    await here.advance(LEASE)
    assert (await here.endpoint.status(job.id)).retries == 1
    assert not poll.done()
    assert await here.stops("w1") == [job.id]
    assert not await here.completes("w1", job.id)
    await turns()
    assert poll.done() and [taken.id for taken in poll.result()] == [job.id]


@pytest.mark.parametrize(
    "how",
    [
        "lost",
        "retried",
    ],
)
async def test_a_barred_worker_that_waits_first_does_not_keep_the_job_from_the_next(how: str) -> None:
    here = polls()
    job = await here.holding("w1", **({"execution_timeout": 5_000} if how == "retried" else {}))
    if how == "retried":
        await here.advance(5_000)
    first, second = await here.open_take("w1", hold=100_000), await here.open_take("w2", hold=100_000)
    await (here.endpoint.retry(job.id) if how == "retried" else here.advance(LEASE))
    await turns()
    assert not first.done()
    assert second.done() and [taken.id for taken in second.result()] == [job.id]


async def test_a_restarted_worker_is_not_barred() -> None:
    here = polls()
    job = await timed_out_and_retried(here)
    await here.endpoint.work.worker_gone("w1")
    assert [taken.id for taken in await here.take("w1")] == [job]


# Reports that come too late


async def test_the_first_run_can_not_end_the_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator.worker")
    here = polls()
    job = await here.holding("w1")
    await here.advance(LEASE)
    await here.take("w2")
    assert not await here.completes("w1", job.id, b'"old"')
    assert not await here.emits("w1", job.id, b'"old"')
    assert f"w1/{job.id}: its Completed came too late and does not count" in caplog.text
    assert await here.completes("w2", job.id, b'"new"')
    assert (await here.endpoint.status(job.id)).output == b'"new"'


async def test_a_second_report_does_not_count() -> None:
    here = polls()
    job = await here.holding("w1")
    assert await here.completes("w1", job.id)
    assert not await here.fails("w1", job.id)
    assert await here.status(job.id) is JobStatus.COMPLETED


async def test_a_worker_that_never_had_the_job_can_not_end_it() -> None:
    here = polls()
    job = await here.holding("w1")
    await here.take("w2")
    for stranger in ("w2", "w3"):
        assert not await here.completes(stranger, job.id)
    assert await here.status(job.id) is JobStatus.IN_PROGRESS
    waiting = await here.submit()
    assert not await here.completes("w1", waiting)
    assert not await here.completes("w1", "unknown")


@pytest.mark.parametrize("end", ["completes", "fails"])
async def test_progress_after_the_end_is_ignored(end: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator.worker")
    here = polls()
    job = await here.holding("w1")
    assert await here.progresses("w1", job.id, b"10")
    assert (await here.endpoint.status(job.id)).output == b"10"
    assert await getattr(here, end)("w1", job.id)
    ended = await here.endpoint.status(job.id)
    caplog.clear()
    assert not await here.progresses("w1", job.id, b"20")
    assert await here.endpoint.status(job.id) == ended
    assert caplog.text == ""
