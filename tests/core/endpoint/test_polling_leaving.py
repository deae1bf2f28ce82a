"""How workers over HTTP leave, are replaced, and hang up."""

from __future__ import annotations

import dataclasses

import pytest
from runpod_emulator.core.endpoint.polling import GOODBYES
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.time.waiting import Caller

from tests.core.polls import HOLD, LEASE, Polls, own_polls, polls
from tests.core.steps import started, turns
from tests.worlds import make_world

# Leaving


async def test_a_dismissed_worker_has_its_polls_answered_at_once() -> None:
    here = polls()
    await here.take("w1")
    jobs, stops = await here.open_take("w1"), await here.open_stops("w1")
    here.polling.dismiss("w1")
    await turns()
    assert jobs.done() and jobs.result() == []
    assert stops.done() and stops.result() == []
    job = await here.submit()
    assert await (await started(here.polling.take("w1", 1, True, here.now() + HOLD, Caller()))) == []
    assert await (await started(here.polling.stops("w1", here.now() + HOLD, Caller()))) == []
    assert await here.status(job) is JobStatus.IN_QUEUE


async def test_a_worker_that_must_leave_as_it_comes_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    here = own_polls()
    ready = here.endpoint.work.worker_ready

    async def ready_and_in_the_way(worker: str, concurrency: int) -> None:
        await ready(worker, concurrency)
        here.polling.dismiss(worker)  # another endpoint's worker waits for its process place

    monkeypatch.setattr(here.endpoint.work, "worker_ready", ready_and_in_the_way)
    poll = await started(here.polling.take("w1", 1, True, here.now() + HOLD, Caller()))
    assert poll.done() and poll.result() == []


async def test_a_dismissed_worker_that_goes_on_polling_does_not_spin() -> None:
    here = polls()
    await here.take("w1")
    here.polling.dismiss("w1")
    for _ in range(GOODBYES):
        assert await (await started(here.polling.take("w1", 1, True, here.now() + HOLD, Caller()))) == []
    late = await here.open_take("w1")
    await here.submit()
    await turns()
    assert not late.done()
    await here.advance(HOLD)
    assert late.result() == []


async def test_a_worker_that_leaves_for_long_is_not_called_silent(caplog: pytest.LogCaptureFixture) -> None:
    here = polls()
    await here.take("w1")
    here.polling.dismiss("w1")
    await here.advance(2 * LEASE)
    assert not caplog.messages


async def test_a_dismissed_worker_ends_what_it_has() -> None:
    here = polls()
    job = await here.holding("w1")
    here.polling.dismiss("w1")
    assert await here.completes("w1", job.id)
    assert await here.status(job.id) is JobStatus.COMPLETED


@pytest.mark.parametrize("polled", [True, False], ids=["polled before", "never polled"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "gone"])
async def test_a_dismissed_worker_that_polls_on_is_not_welcomed_again(known: bool, polled: bool) -> None:
    here = own_polls(workers_max=1)
    await here.submit()
    (worker,) = here.world.launcher.started
    if polled:
        (job,) = await here.take(worker)
        await here.completes(worker, job.id)
    here.polling.dismiss(worker)
    if not known:
        await here.endpoint.work.worker_gone(worker)
    before = await here.workers()
    await here.submit()
    poll = await started(here.polling.take(worker, 1, True, here.now() + HOLD, Caller()))
    assert poll.done() and poll.result() == []
    assert await here.workers() == before | ({"initializing": 1} if not known else {})
    assert not any(not one.ours for one in here.endpoint.fleet.workers.values())


async def test_a_worker_of_ours_that_asked_for_it_is_replaced() -> None:
    here = own_polls()
    await here.submit()
    (worker,) = here.world.launcher.started
    (job,) = await here.take(worker)
    poll, stops = await here.open_take(worker), await here.open_stops(worker)
    await here.completes(worker, job.id)
    here.endpoint.work.refresh(worker)
    await turns()
    assert here.world.launcher.replaced == [worker]
    assert poll.done() and stops.done()


async def test_a_worker_from_elsewhere_that_asks_to_be_replaced_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    world = make_world()
    world.endpoint = world.emulator.endpoints.add_remote(dataclasses.replace(world.endpoint.settings, id="far"))
    here = Polls(world)
    job = await here.holding("w1")
    poll = await here.open_take("w1")
    await here.completes("w1", job.id)
    here.endpoint.work.refresh("w1")
    await turns()
    assert poll.done() and poll.result() == []
    assert "worker w1 asked to be replaced by a fresh one: restart it where it was started" in caplog.text
    assert await here.workers() == {"idle": 1}


@pytest.mark.parametrize("over", ["reported", "cancelled", "lost"])
async def test_a_worker_that_retires_keeps_its_other_jobs(over: str) -> None:
    here = polls()
    retired: list[str] = []
    ids = [await here.submit() for _ in range(2)]
    await here.take("w1", most=2)
    await here.completes("w1", ids[0])
    poll, stops = await here.open_take("w1"), await here.open_stops("w1")
    here.polling.retire("w1", lambda: retired.append("w1"))
    await turns()
    assert poll.done() and poll.result() == []
    assert not stops.done()  # what it still has may have to stop
    await here.submit()
    poll = await here.open_take("w1")  # held, so that it is not asked for again and again
    assert retired == []
    if over == "reported":
        assert await here.completes("w1", ids[1])
    elif over == "cancelled":
        await here.endpoint.cancel(ids[1])
        assert await stops == [ids[1]]
    else:
        await here.advance(LEASE)
    assert retired == ["w1"]
    here.polling.dismiss("w1")
    await turns()
    assert poll.done() and poll.result() == []


async def test_a_worker_without_jobs_retires_at_once() -> None:
    here = polls()
    retired: list[str] = []
    job = await here.holding("w1")
    await here.completes("w1", job.id)
    here.polling.retire("w1", lambda: retired.append("w1"))
    assert retired == ["w1"]


# Hanging up


async def test_a_poll_that_was_hung_up_gets_no_job() -> None:
    here = polls()
    caller = Caller()
    poll = await here.open_take("w1", caller=caller)
    caller.hang_up()
    job = await here.submit()
    assert await poll == []
    assert await here.status(job) is JobStatus.IN_QUEUE


@pytest.mark.one_step
async def test_a_poll_that_is_hung_up_as_its_job_comes_passes_it_on() -> None:
    here = polls()
    caller = Caller()
    first, second = await here.open_take("w1", caller=caller), await here.open_take("w2")
    job = await here.submit()
    caller.hang_up()
    await turns()
    assert first.done() and first.result() == []
    assert second.done() and [taken.id for taken in second.result()] == [job]


async def test_a_poll_that_was_hung_up_before_it_began_gets_no_job() -> None:
    here = polls()
    job = await here.submit()
    caller = Caller()
    caller.hang_up()
    assert await here.polling.take("w1", 1, False, here.now() + HOLD, caller) == []
    assert await here.status(job) is JobStatus.IN_QUEUE


async def test_a_stop_whose_poll_was_hung_up_is_said_to_the_next() -> None:
    here = polls()
    job = await here.holding("w1")
    caller = Caller()
    poll = await here.open_stops("w1", caller=caller)
    caller.hang_up()
    assert await poll == []
    await here.endpoint.cancel(job.id)
    assert await here.stops("w1") == [job.id]


async def test_when_the_emulator_stops_every_poll_is_answered() -> None:
    here = polls()
    await here.take("w1")
    jobs, stops = await here.open_take("w1"), await here.open_stops("w1")
    here.world.emulator.hang_up()
    assert await jobs == []
    assert await stops == []
    assert await here.polling.take("w1", 1, True, here.now() + HOLD, Caller()) == []
    assert await here.polling.stops("w1", here.now() + HOLD, Caller()) == []
