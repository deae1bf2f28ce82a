"""Scripted jobs: held in the queue, performed on the emulator's clock, chosen anew for each run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.jobs.store import JobStore
from runpod_emulator.core.mocks.script import Ending, Pause, Scene, Script, Step
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import Span, default_settings
from runpod_emulator.core.time.clock import AutoClock, Clock, VirtualClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.http import wire
from runpod_emulator.world.world import World

from tests import worlds
from tests.stores.counted import CountedStore
from tests.stores.yielding import YieldingStore
from tests.worlds import RecordingPost

JOB = Submission(b'{"a":1}')


def constant(value: Any) -> Callable[[Scene], bytes]:
    return lambda scene: json.dumps(value).encode()


def after(milliseconds: int, polls: int = 0) -> Pause:
    return Pause(Span(milliseconds, milliseconds), polls)


def output(value: Any = "done", **script: Any) -> Script:
    return Script(Ending.OUTPUT, output=constant(value), **script)


class Mock:
    """An emulator with the mock endpoint `ep`; `store` is that of another one."""

    def __init__(self, clock: Clock | None = None, store: JobStore | None = None, **platform: Any) -> None:
        numbers = preset("observed", **platform)
        self.post = RecordingPost()
        if store is None and worlds.STORE is not None:
            store = worlds.STORE()
        self.emulator = World(
            numbers, wire.webhook_body, clock=clock or VirtualClock(), store=store, post=self.post, seed=1,
            rate_limits=False,
        )  # fmt: skip
        if isinstance(store, YieldingStore | CountedStore):
            store.timeline = self.emulator.timeline
        self.endpoint: Endpoint = self.emulator.endpoints.add_mock(default_settings("ep", numbers))

    def play(self, *scripts: Script, **stub: Any) -> None:
        self.emulator.stub(Stub(stub.pop("id", "s"), scripts, **stub))

    async def submit(self, submission: Submission = JOB) -> str:
        return (await self.endpoint.submit(submission)).id

    async def advance(self, milliseconds: int) -> list[int]:
        return await self.emulator.timeline.advance(self.emulator.timeline.now() + milliseconds)

    async def look(self, job: str) -> Job:
        found = await self.endpoint.status(job)
        await self.endpoint.looked(job)
        return found

    async def seen(self, job: str) -> str:
        return (await self.look(job)).status.value


@pytest.fixture
async def mock() -> AsyncIterator[Mock]:
    it = Mock()
    yield it
    await it.emulator.stop()


async def test_a_script_is_performed_on_the_clock(mock: Mock):
    steps = (Step(constant(0.5), pause=after(500)), Step(constant("c"), is_chunk=True, pause=after(500)))
    mock.play(output(in_queue=after(2_000), steps=steps, before_end=after(1_000)))
    job = await mock.submit()
    seen = []
    for step in (0, 1_999, 1, 500, 500, 999, 1):
        await mock.advance(step)
        found = await mock.look(job)
        seen.append((found.status.value, found.output))
    assert seen == [
        ("IN_QUEUE", None), ("IN_QUEUE", None), ("IN_PROGRESS", None), ("IN_PROGRESS", b"0.5"), ("IN_PROGRESS", b"0.5"),
        ("IN_PROGRESS", b"0.5"), ("COMPLETED", b'"done"'),
    ]  # fmt: skip
    status, chunks = await mock.endpoint.next_chunks(job, 0)
    assert (status.value, chunks) == ("COMPLETED", [b'"c"'])


async def test_a_held_job_waits_for_its_polls_and_its_time_whichever_is_later(mock: Mock):
    mock.play(output(in_queue=after(1_000, polls=2), before_end=after(0, polls=1)))
    early, late = await mock.submit(), await mock.submit()
    assert [await mock.seen(early) for _ in range(3)] == ["IN_QUEUE"] * 3
    await mock.advance(1_000)
    assert [await mock.seen(early), await mock.seen(late), await mock.seen(late)] == [
        "IN_PROGRESS", "IN_QUEUE", "IN_QUEUE",
    ]  # fmt: skip
    await mock.advance(0)
    assert await mock.seen(early) == "COMPLETED"
    assert await mock.seen(late) == "IN_PROGRESS"


async def test_a_held_job_counts_as_queued_starts_no_worker_and_can_be_purged(mock: Mock):
    mock.play(output(in_queue=after(60_000)))
    job = await mock.submit()
    await mock.advance(1_000)
    health = await mock.endpoint.health()
    assert (health.queued, sum(health.workers)) == (1, 0)
    assert await mock.endpoint.purge() == 1
    await mock.advance(60_000)
    assert mock.emulator.history.of("ep", job)[-1].status == "GONE"


async def test_scripts_of_a_sequence_are_played_one_a_run(mock: Mock):
    mock.play(Script(Ending.ERROR, error=lambda scene: "first"), output("second"))
    job = await mock.submit()
    await mock.advance(0)
    assert (await mock.look(job)).error == "first"
    await mock.endpoint.retry(job)
    await mock.advance(0)
    assert (await mock.look(job)).output == b'"second"'


@pytest.mark.parametrize("others", [(), ("s",)])
async def test_a_stub_that_is_taken_away_or_replaced_is_played_by_the_jobs_that_it_has_matched(
    mock: Mock, others: tuple[str, ...]
):
    mock.play(output("old", in_queue=after(1_000)), output("older", in_queue=after(1_000)))
    (old,) = mock.emulator.stubs
    jobs = [await mock.submit() for _ in range(3)]
    mock.emulator.stubs.clear()
    for name in others:
        mock.play(output("new"), id=name)
    await mock.endpoint.cancel(jobs[1])
    await mock.advance(1_000)
    assert [(await mock.look(job)).output for job in jobs] == [b'"old"', None, b'"older"']
    assert old.played == 2 and not any(stub.played for stub in mock.emulator.stubs)


async def test_a_crash_loses_the_worker_and_the_job_is_tried_once_more(mock: Mock):
    mock.play(Script(Ending.CRASH), output("second"))
    job = await mock.submit()
    await mock.advance(0)
    found = await mock.look(job)
    assert (found.output, found.retries) == (b'"second"', 1)


async def test_two_crashes_fail_the_job_as_the_service_fails_it(mock: Mock):
    mock.play(Script(Ending.CRASH))
    job = await mock.submit()
    await mock.advance(0)
    found = await mock.look(job)
    assert (found.status.value, found.error) == ("FAILED", "job timed out after 1 retries")


async def test_a_timeout_strikes_when_the_script_says_so(mock: Mock):
    mock.play(Script(Ending.TIMEOUT, before_end=after(3_000)))
    job = await mock.submit()
    await mock.advance(2_999)
    assert await mock.seen(job) == "IN_PROGRESS"
    await mock.advance(1)
    assert (await mock.look(job)).error == "executionTimeout exceeded"


async def test_a_script_without_an_end_meets_the_jobs_own_limit(mock: Mock):
    mock.play(Script(Ending.NEVER))
    job = await mock.submit(JOB._replace(execution_timeout=5_000))
    await mock.advance(5_000)
    assert (await mock.look(job)).error == "executionTimeout exceeded"
    assert (await mock.endpoint.health()).workers.running == 0


async def test_a_cancelled_script_goes_no_further_and_its_worker_is_free(mock: Mock):
    mock.play(output(steps=(Step(constant(1), pause=after(1_000)),), before_end=after(1_000)))
    job = await mock.submit()
    await mock.advance(1_000)
    await mock.endpoint.cancel(job)
    await mock.advance(5_000)
    found = await mock.look(job)
    assert (found.status.value, found.output) == ("CANCELLED", None)
    events = [moment.event for moment in mock.emulator.history.of("ep", job)]
    assert events == ["Submitted", "Taken", "Progressed", "Cancelled"]


async def test_a_value_that_can_not_be_made_fails_the_job(mock: Mock):
    def broken(scene: Scene) -> bytes:
        raise RuntimeError("no such thing")

    mock.play(Script(Ending.OUTPUT, output=broken))
    job = await mock.submit()
    await mock.advance(0)
    assert (await mock.look(job)).error == "RuntimeError: no such thing"


async def test_a_job_that_no_stub_matches_fails_and_says_what_differed(mock: Mock):
    mock.play(output(), id="other", endpoint="else*", place="stubs.yaml:3")
    job = await mock.submit()
    await mock.advance(0)
    assert (await mock.look(job)).error == (
        "no stub matches this job; the nearest is other (stubs.yaml:3): endpoint: expected else*, got ep"
    )


async def test_a_reset_forgets_all_and_the_same_seed_begins_anew(mock: Mock):
    mock.play(output(before_end=after(5_000)))
    mock.emulator.stubs.keep()
    mock.play(output("later"), id="later")
    first = await mock.submit()
    await mock.advance(0)
    assert await mock.seen(first) == "COMPLETED"
    await mock.emulator.reset()
    assert await mock.submit() == first
    await mock.advance(0)
    assert await mock.seen(first) == "IN_PROGRESS", "the stub that came later is gone"
    await mock.emulator.reset()
    await mock.advance(60_000)
    assert (await mock.endpoint.health())[:5] == (0, 0, 0, 0, 0)
    assert await mock.emulator.idle()


async def test_a_day_of_scripted_jobs_is_the_same_twice():
    async def day() -> list[tuple[str, list[Any]]]:
        it = Mock()
        chance = Span(1_000, 90_000)
        it.play(output(in_queue=Pause(chance), before_end=Pause(chance)))
        for _ in range(200):
            await it.submit(JOB._replace(webhook="http://hooks/x"))
            await it.advance(60_000)
        await it.emulator.run_until_idle(86_400_000)
        told = [(job, list(it.emulator.history.of("ep", job))) for _, job in it.emulator.history.jobs()]
        assert len(it.post.calls) == 200
        await it.emulator.stop()
        return told

    assert await day() == await day()


# The automatic clock


def impatient() -> Caller:
    caller = Caller()
    caller.hurries = True
    return caller


async def test_an_automatic_clock_leaves_out_the_time_that_somebody_waits_for():
    it = Mock(AutoClock())
    it.play(output(in_queue=after(20_000), before_end=after(40_000)))
    job = await it.submit()
    now = it.emulator.timeline.now
    found = await it.endpoint.wait(job, now() + 90_000, impatient())
    assert found.status.value == "COMPLETED"
    assert 60_000 <= found.ended_at - found.submitted_at < 61_000
    await it.emulator.stop()


async def test_it_never_leaves_out_the_end_of_a_result_that_nobody_has_read():
    clock = AutoClock()
    it = Mock(clock)
    it.play(output())
    unread = await it.submit()
    await it.emulator.feeds.wait_for(it.emulator.idle, it.emulator.timeline.now() + 60_000, impatient())
    waiting = it.emulator.room.wait(("never",), it.emulator.timeline.now() + 40 * 60_000, impatient())

    task = asyncio.ensure_future(waiting)
    for _ in range(50):
        await asyncio.sleep(0)
    assert clock.skipped < 30 * 60_000 and not task.done()
    it.emulator.unread.seen(await it.endpoint.status(unread))
    await task
    assert clock.skipped >= 39 * 60_000
    await it.emulator.stop()


async def test_with_nobody_waiting_time_runs_as_real_time():
    clock = AutoClock()
    it = Mock(clock)
    it.play(output(before_end=after(60_000)))
    await it.submit()

    for _ in range(50):
        await asyncio.sleep(0)
    assert clock.skipped == 0
    await it.emulator.stop()
