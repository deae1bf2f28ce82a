"""What happens while a verb waits for the store: nothing is lost, and nobody decides on what is no longer so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import EmulatorError, EndpointNotFound, NotCancellable, NotRetryable, QueueFull
from runpod_emulator.core.jobs.job import Completed, Emitted, Event, Failed, Forgotten, Job, JobStatus
from runpod_emulator.core.jobs.store import Change, Written
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.script import Ending, Pause, Script
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.time.waiting import Caller

from tests import worlds
from tests.core.endpoint.test_faults_histories import doings, faults, live, scripts
from tests.core.faulty_worlds import Mocked, exactly, fault_of
from tests.core.steps import answer, started, take_now, turns
from tests.stores.yielding import YieldingStore
from tests.worlds import TestWorld, make_world

JOB = Submission(b'{"a":1}')
LATER = 10_000


@pytest.fixture(autouse=True)
def suspending() -> Iterator[None]:
    worlds.STORE = YieldingStore
    yield
    worlds.STORE = None


def after(world: TestWorld, call: str, happens: Callable[[], Awaitable[object]]) -> None:
    """Let this happen when the next such call of the store is done, and its caller has no answer yet."""
    store = world.emulator.store
    assert isinstance(store, YieldingStore)
    store.after[call] = happens


async def leave(caller: Caller) -> None:
    caller.hang_up()


async def test_a_caller_who_leaves_as_its_job_is_claimed_gives_it_back():
    world = make_world()
    job = await world.endpoint.submit(JOB)
    behind = await world.endpoint.submit(JOB)
    worker, other = await world.worker(), await world.worker()
    caller = Caller()
    after(world, "claim", lambda: leave(caller))
    assert await world.endpoint.work.take(worker, 1, None, caller) == []
    waits = await world.endpoint.status(job.id)
    assert (waits.status, waits.retries, waits.worker, waits.taken_at) == (JobStatus.IN_QUEUE, 0, None, None)
    assert not world.endpoint.fleet.workers[worker].jobs
    assert world.launcher.stopped_jobs == []
    assert (await world.endpoint.health()).retried == 0
    await world.advance(1_000)
    assert [taken.id for taken in await take_now(world, other, 2)] == [job.id, behind.id]
    taken = await world.endpoint.status(job.id)
    assert taken.taken_at is not None and taken.taken_at - taken.submitted_at == 1_000


async def test_a_job_that_is_given_back_wakes_who_waits():
    world = make_world()
    await world.endpoint.submit(JOB)
    worker, other = await world.worker(), await world.worker()
    caller = Caller()
    after(world, "claim", lambda: leave(caller))
    leaver = await started(world.endpoint.work.take(worker, 1, None, caller))
    waiter = await started(world.endpoint.work.take(other, 1, None, Caller()))
    assert await answer(leaver) == []
    assert len(await answer(waiter)) == 1


async def test_a_job_that_comes_after_an_empty_claim_is_taken():
    world = make_world()
    worker = await world.worker()
    after(world, "claim", lambda: world.endpoint.submit(JOB))
    taking = await started(world.endpoint.work.take(worker, 1, None, Caller()))
    assert len(await answer(taking)) == 1


async def test_an_end_that_comes_as_a_reader_looks_wakes_it():
    world = make_world()
    _, job = await world.running()
    after(world, "get", lambda: world.endpoint.work.report(job.id, Completed(1, b"1")))
    reading = await started(world.endpoint.wait(job.id, world.clock.now() + LATER))
    assert (await answer(reading)).status is JobStatus.COMPLETED


async def test_an_end_that_comes_as_a_stream_is_read_wakes_its_reader():
    world = make_world()
    _, job = await world.running()
    after(world, "unread", lambda: world.endpoint.work.report(job.id, Completed(1, b"1")))
    reading = await started(world.endpoint.next_chunks(job.id, world.clock.now() + LATER))
    assert await answer(reading) == (JobStatus.COMPLETED, [])


async def test_a_reader_who_leaves_as_chunks_are_read_loses_none_of_them():
    world = make_world()
    _, job = await world.running()
    later = world.clock.now() + LATER
    await world.endpoint.work.report(job.id, Emitted(1, (b"1", b"2")))
    caller = Caller()
    after(world, "unread", lambda: leave(caller))
    assert (await world.endpoint.next_chunks(job.id, later, caller))[1] == []
    await world.endpoint.work.report(job.id, Emitted(1, (b"3",)))
    assert (await world.endpoint.next_chunks(job.id, later))[1] == [b"1", b"2", b"3"]


async def test_chunks_of_a_reader_who_left_are_for_the_next_one():
    world = make_world()
    _, job = await world.running()
    later = world.clock.now() + LATER
    caller = Caller()
    waiting = [await started(world.endpoint.next_chunks(job.id, later, one)) for one in (caller, Caller())]
    after(world, "unread", lambda: leave(caller))
    await world.endpoint.work.report(job.id, Emitted(1, (b"1",)))
    await turns()
    assert sorted(chunks for task in waiting if task.done() for _, chunks in [task.result()]) == [[], [b"1"]]


async def test_chunks_of_a_run_that_is_over_do_not_come_back():
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.report(job.id, Emitted(1, (b"1",)))
    caller = Caller()

    async def lose() -> None:
        caller.hang_up()
        await world.endpoint.work.worker_gone(worker)

    after(world, "unread", lose)
    await world.endpoint.next_chunks(job.id, world.clock.now() + LATER, caller)
    assert (await world.endpoint.next_chunks(job.id, world.clock.now()))[1] == []


@pytest.mark.parametrize("readers", [2, 5])
async def test_each_chunk_goes_to_one_of_those_who_read_at_once_and_in_order(readers: int):
    for seed in range(20):
        worlds.STORE = lambda: YieldingStore(seed, 4)  # noqa: B023
        world = make_world()
        _, job = await world.running()
        got: list[bytes] = []

        async def read(world: TestWorld = world, job: Job = job, got: list[bytes] = got) -> None:
            status = JobStatus.IN_PROGRESS
            while not status.terminal:
                status, chunks = await world.endpoint.next_chunks(job.id, world.clock.now() + LATER)
                got += chunks

        reading = [asyncio.ensure_future(read()) for _ in range(readers)]
        chunks = [b"%d" % number for number in range(30)]
        for number in range(0, 30, 3):
            await world.endpoint.work.report(job.id, Emitted(1, tuple(chunks[number : number + 3])))
        await world.endpoint.work.report(job.id, Completed(1, b"1"))
        await asyncio.gather(*reading)
        assert sorted(got, key=int) == chunks


async def test_what_was_read_of_a_run_that_is_over_takes_nothing_from_the_next():
    world = make_world()
    worker, job = await world.running()
    await world.endpoint.work.report(job.id, Emitted(1, (b"old",)))

    async def run_again() -> None:
        await world.endpoint.work.report(job.id, Failed("boom", None, 1))
        await world.endpoint.retry(job.id)
        await world.take(worker)
        await world.endpoint.work.report(job.id, Emitted(2, (b"new",)))

    after(world, "unread", run_again)
    assert await world.endpoint.next_chunks(job.id, world.clock.now()) == (JobStatus.IN_PROGRESS, [b"new"])


async def test_a_job_that_ends_as_it_is_cancelled_has_ended():
    world = make_world()
    _, job = await world.running()
    after(world, "get", lambda: world.endpoint.work.report(job.id, Completed(1, b"1")))
    assert (await world.endpoint.cancel(job.id)).status is JobStatus.COMPLETED


async def test_a_job_that_ends_as_it_is_cancelled_cannot_be():
    world = make_world(cancel_terminal="reject")
    _, job = await world.running()
    after(world, "get", lambda: world.endpoint.work.report(job.id, Completed(1, b"1")))
    with pytest.raises(NotCancellable):
        await world.endpoint.cancel(job.id)


async def test_a_purge_leaves_what_is_taken_meanwhile():
    world = make_world()
    jobs = [await world.endpoint.submit(JOB) for _ in range(3)]
    worker = await world.worker()
    after(world, "queued", lambda: world.take(worker))
    assert await world.endpoint.purge() == 2
    assert (await world.endpoint.status(jobs[0].id)).status is JobStatus.IN_PROGRESS


async def test_a_purge_goes_on_when_a_job_is_gone():
    world = make_world()
    jobs = [await world.endpoint.submit(JOB) for _ in range(2)]
    after(world, "queued", lambda: world.endpoint.change(jobs[0].id, Forgotten()))
    assert await world.endpoint.purge() == 1


@pytest.mark.parametrize("event", [Completed(1, b"1"), Forgotten()])
async def test_an_endpoint_closes_though_a_job_ends_meanwhile(event: Event):
    world = make_world()
    _, job = await world.running()
    other = await world.endpoint.submit(JOB)
    after(world, "recent", lambda: world.endpoint.change(job.id, event))
    await world.endpoint.close()
    assert (await world.endpoint.status(other.id)).status is JobStatus.CANCELLED


async def test_a_job_that_is_handed_in_as_its_endpoint_is_taken_away_is_not_left_behind():
    world = make_world()
    after(world, "next_place", lambda: world.emulator.endpoints.remove("ep"))
    with pytest.raises(EndpointNotFound):
        await world.endpoint.submit(JOB)
    assert await world.emulator.store.recent("ep", 0, 9) == ([], 0)
    assert await world.emulator.deadlines.first_due() is None


@pytest.mark.parametrize("call", ["recent", "update"])
async def test_no_job_comes_in_while_an_endpoint_closes(call: str):
    world = make_world()
    failed = (await world.running())[1]
    await world.endpoint.work.report(failed.id, Failed("boom", None, 1))
    await world.endpoint.submit(JOB)

    async def come_in() -> None:
        for coming in (world.endpoint.submit(JOB), world.endpoint.retry(failed.id)):
            with pytest.raises(EndpointNotFound):
                await coming
        refused.append(1)

    refused: list[int] = []
    after(world, call, come_in)
    await world.endpoint.close()
    assert refused and (await world.endpoint.health()).queued == 0


async def test_a_job_whose_endpoint_is_taken_away_right_behind_it_was_made():
    world = make_world()
    world.emulator.faults.add(fault_of(FaultKind.OUTPUT_GONE_EARLY, 5_000))
    after(world, "create", lambda: world.emulator.endpoints.remove("ep"))
    assert (await world.endpoint.submit(JOB)).status is JobStatus.IN_QUEUE
    assert await world.emulator.store.recent("ep", 0, 9) == ([], 0)


async def test_the_queue_limit_holds_though_many_come_at_once():
    world = make_world(workers_max=1, queue_limit_floor=3, queue_limit_per_worker=1)
    outcomes = await asyncio.gather(*(world.endpoint.submit(JOB) for _ in range(9)), return_exceptions=True)
    assert Counter(type(outcome) for outcome in outcomes) == {Job: 4, QueueFull: 5}
    assert (await world.endpoint.health()).queued == 4


async def test_a_job_that_was_refused_gives_its_run_back():
    world = make_world(workers_max=1, queue_limit_floor=0, queue_limit_per_worker=0)
    held = Script(Ending.NEVER, in_queue=Pause(exactly(1_000)))
    world.emulator.stub(Stub("held", (held, held, Script(Ending.NEVER))))
    outcomes = await asyncio.gather(*(world.endpoint.submit(JOB) for _ in range(2)), return_exceptions=True)
    assert Counter(type(outcome) for outcome in outcomes) == {Job: 1, QueueFull: 1}
    await world.advance(1_000)
    assert await world.take(await world.worker())
    assert (await world.endpoint.submit(JOB)).held  # it plays what the refused one would have played


async def failed_job(world: TestWorld) -> tuple[Job, Stub]:
    """A job that has failed, and the stub that holds its runs back, the first of which it was."""
    held = Script(Ending.NEVER, in_queue=Pause(exactly(1_000)))
    stub = Stub("held", (held,))
    world.emulator.stub(stub)
    job = await world.endpoint.submit(JOB)
    await world.advance(1_000)
    await world.take(await world.worker())
    await world.endpoint.work.report(job.id, Failed("boom", None, 1))
    return job, stub


async def next_run(world: TestWorld) -> int:
    script = (await world.endpoint.submit(JOB)).script
    assert script is not None
    return script.run


async def test_of_two_who_retry_a_job_at_once_one_is_refused_and_uses_up_nothing_of_its_stub():
    for seed in range(9):
        worlds.STORE = lambda: YieldingStore(seed, 4)  # noqa: B023
        world = make_world()
        job, stub = await failed_job(world)
        outcomes = await asyncio.gather(*(world.endpoint.retry(job.id) for _ in range(2)), return_exceptions=True)
        assert Counter(type(outcome) for outcome in outcomes) == {Job: 1, NotRetryable: 1}
        assert stub.matched == 2
        assert [outcome.script.run for outcome in outcomes if isinstance(outcome, Job) and outcome.script] == [2]
        assert await next_run(world) == 3


class Asking(YieldingStore):
    """A store whose next update finds that another write came first, and asks again."""

    write: Callable[[], Awaitable[object]] | None = None

    async def update(self, endpoint: str, job: str, change: Change, patient: bool = False) -> Written:
        write, self.write = self.write, None
        if write is not None:
            change(await self.get(endpoint, job))
            await write()
        return await super().update(endpoint, job, change, patient)


@pytest.mark.parametrize("by", ["another retry", "its end"])
async def test_a_retry_that_a_write_comes_before_gives_its_run_back(by: str):
    store = Asking()
    world = make_world(store=store)
    job, _ = await failed_job(world)
    is_retried = by == "another retry"
    store.write = lambda: world.endpoint.retry(job.id) if is_retried else world.endpoint.change(job.id, Forgotten())
    with pytest.raises(EmulatorError):
        await world.endpoint.retry(job.id)
    if is_retried:
        again = (await world.endpoint.status(job.id)).script
        assert again is not None and again.run == 3
    assert [await next_run(world) for _ in range(2)] == [2, 4 if is_retried else 3]


async def test_a_deadline_that_is_set_as_the_store_is_asked_for_the_next_is_met():
    world = make_world()
    _, job = await world.running(JOB._replace(execution_timeout=20_000))

    async def at_the_second() -> None:
        after(world, "first_due", lambda: world.endpoint.submit(JOB._replace(ttl=5_000)))

    after(world, "first_due", at_the_second)  # the first asks for what is due now, the second for what comes next
    timeline = world.emulator.timeline
    world.clock.move_to(world.clock.now() + 1)
    timeline.at(world.clock.now(), lambda: None)
    await timeline.present()
    world.clock.move_to(world.clock.now() + 6_000)
    assert (await world.endpoint.health()).queued == 0
    assert (await world.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(st.lists(faults(), max_size=4), scripts, doings, st.integers(0, 1 << 30), st.integers(1, 4))
async def test_however_steps_interleave_the_table_decides(rules, plays, doings, seed, most):
    worlds.STORE = lambda: YieldingStore(seed, most)
    await live(Mocked(*plays, workers=3, concurrency=2, rate_limits=False), rules, doings)
