"""Stream chunks: each once, in order, leftovers with the first terminal status."""

from __future__ import annotations

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Cancelled, Completed, Emitted, Failed, JobStatus, TimedOut
from runpod_emulator.core.time.waiting import Caller

from tests.core.passing_time import Passing
from tests.core.steps import started, take_now, turns
from tests.worlds import TestWorld, make_world

RUNNING = JobStatus.IN_PROGRESS


async def emit(world: TestWorld, job, *chunks: bytes) -> bool:
    return await world.endpoint.work.report(job.id, Emitted(job.lease, chunks))


async def read(world: TestWorld, job_id: str, caller: Caller | None = None):
    """A reader that has asked and waits, if there is nothing yet."""
    return await started(world.endpoint.next_chunks(job_id, world.emulator.timeline.now() + 9_500, caller))


async def test_each_chunk_is_read_once_and_in_order():
    world = make_world()
    _, job = await world.running()
    await emit(world, job, b"1", b"2")
    await emit(world, job, b"3")
    assert await (await read(world, job.id)) == (RUNNING, [b"1", b"2", b"3"])
    await emit(world, job, b"4")
    assert await (await read(world, job.id)) == (RUNNING, [b"4"])


async def test_an_empty_stream_is_held_until_there_is_a_chunk():
    world = make_world()
    _, job = await world.running()
    reader = await read(world, job.id)
    await turns()
    assert not reader.done()
    await emit(world, job, b"1", b"2")
    assert await reader == (RUNNING, [b"1", b"2"])


async def test_an_empty_stream_is_held_no_longer_than_the_wait(passing: Passing):
    world = passing.world()
    _, job = await world.running()
    reader = await read(world, job.id)
    await passing.by(9_499)
    await world.endpoint.health()
    await turns()
    assert not reader.done()
    await passing.by(1)
    await world.endpoint.health()
    assert await reader == (RUNNING, [])


ENDS = {
    "COMPLETED": lambda job: Completed(job.lease, b"[]"),
    "FAILED": lambda job: Failed("boom", None, job.lease),
    "TIMED_OUT": lambda job: TimedOut("late"),
    "CANCELLED": lambda job: Cancelled(),
}


@pytest.mark.parametrize("end", ENDS)
async def test_leftovers_come_with_the_first_terminal_status_then_nothing_at_once(end: str):
    world = make_world()
    _, job = await world.running()
    await emit(world, job, b"1", b"2")
    assert await world.endpoint.work.report(job.id, ENDS[end](job))
    assert await (await read(world, job.id)) == (JobStatus(end), [b"1", b"2"])
    for _ in range(3):
        reader = await read(world, job.id)
        assert reader.done()
        assert reader.result() == (JobStatus(end), [])


@pytest.mark.parametrize("end", ENDS)
async def test_the_end_of_the_job_ends_the_hold(end: str):
    world = make_world()
    _, job = await world.running()
    reader = await read(world, job.id)
    await world.endpoint.work.report(job.id, ENDS[end](job))
    assert await reader == (JobStatus(end), [])


@pytest.mark.one_step
async def test_a_chunk_and_the_end_in_one_step_are_one_answer():
    world = make_world()
    _, job = await world.running()
    reader = await read(world, job.id)
    await emit(world, job, b"1")
    await emit(world, job, b"2")
    await world.endpoint.work.report(job.id, Completed(job.lease))
    assert await reader == (JobStatus.COMPLETED, [b"1", b"2"])


async def test_of_two_readers_each_chunk_goes_to_one():
    world = make_world()
    _, job = await world.running()
    first, second = await read(world, job.id), await read(world, job.id)
    await emit(world, job, b"1")
    await turns()
    assert first.result() == (RUNNING, [b"1"])
    assert not second.done()
    await emit(world, job, b"2")
    assert await second == (RUNNING, [b"2"])


async def test_two_readers_both_hear_of_the_end():
    world = make_world()
    _, job = await world.running()
    readers = [await read(world, job.id) for _ in range(2)]
    await emit(world, job, b"1")
    await world.endpoint.work.report(job.id, Completed(job.lease))
    assert [await reader for reader in readers] == [(JobStatus.COMPLETED, [b"1"]), (JobStatus.COMPLETED, [])]


async def test_a_reader_who_left_consumes_nothing():
    world = make_world()
    _, job = await world.running()
    caller = Caller()
    reader = await read(world, job.id, caller)
    caller.hang_up()
    assert await reader == (RUNNING, [])
    await emit(world, job, b"1")
    assert await (await read(world, job.id)) == (RUNNING, [b"1"])


async def test_a_reader_who_left_after_the_chunk_woke_it_consumes_nothing():
    world = make_world()
    _, job = await world.running()
    caller = Caller()
    gone, other = await read(world, job.id, caller), await read(world, job.id)
    await emit(world, job, b"1")
    caller.hang_up()
    assert await gone == (RUNNING, [])
    assert await other == (RUNNING, [b"1"])


async def test_a_reader_who_left_before_asking_consumes_nothing():
    world = make_world()
    _, job = await world.running()
    await emit(world, job, b"1")
    caller = Caller()
    caller.hang_up()
    assert await (await read(world, job.id, caller)) == (RUNNING, [])
    assert await (await read(world, job.id)) == (RUNNING, [b"1"])


async def test_a_start_does_not_end_the_hold_unless_asked():
    for wakes in (False, True):
        world = make_world(stream_wakes_on_status=wakes)
        job = await world.endpoint.submit(Submission(b"{}"))
        reader = await read(world, job.id)
        await take_now(world, await world.worker())
        await turns()
        assert reader.done() is wakes
        if wakes:
            assert reader.result() == (RUNNING, [])
        world.emulator.hang_up()


async def test_chunks_of_one_job_do_not_reach_another():
    world = make_world()
    _, job = await world.running()
    _, other = await world.running()
    reader = await read(world, other.id)
    await emit(world, job, b"1")
    await turns()
    assert not reader.done()
    await emit(world, other, b"2")
    assert await reader == (RUNNING, [b"2"])


async def test_unread_chunks_of_a_lost_run_are_dropped():
    world = make_world()
    worker, job = await world.running()
    await emit(world, job, b'"old"')
    await world.endpoint.work.worker_gone(worker)
    reader = await read(world, job.id)
    assert not reader.done()
    (again,) = await take_now(world, await world.worker())
    assert not await emit(world, job, b'"late"')
    await emit(world, again, b'"new"')
    assert await reader == (RUNNING, [b'"new"'])


async def test_chunks_after_the_end_are_refused():
    world = make_world()
    _, job = await world.running()
    await world.endpoint.work.report(job.id, Completed(job.lease))
    assert not await emit(world, job, b"1")
    assert await (await read(world, job.id)) == (JobStatus.COMPLETED, [])


async def test_reading_chunks_leaves_the_result_alone():
    world = make_world()
    _, job = await world.running()
    await emit(world, job, b"1")
    await world.endpoint.work.report(job.id, Completed(job.lease, b"[1]"))
    before = await world.endpoint.status(job.id)
    await (await read(world, job.id))
    assert await world.endpoint.status(job.id) == before
    assert before.output == b"[1]"
