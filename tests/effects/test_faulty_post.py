"""Webhook calls that go wrong on purpose: what the receiver gets, and when."""

from __future__ import annotations

import json

import pytest
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.settings import Span

from tests.core.faulty_worlds import fault_of
from tests.effects import test_webhooks as usual
from tests.worlds import TestWorld, make_world


async def end(world: TestWorld) -> Job:
    """A job that has ended; the sender knows."""
    job = await usual.end(world)
    await world.emulator.timeline.settle()
    return job


async def calls(world: TestWorld, milliseconds: int = 0) -> list[str]:
    """Ids of the jobs whose calls were made, once that time has passed."""
    await world.advance(milliseconds)
    await world.emulator.timeline.settle()
    return [json.loads(body)["id"] for _, body in world.post.calls]


async def test_a_late_call_comes_late_and_delays_no_other():
    world = make_world()
    world.emulator.faults.add(fault_of(FaultKind.WEBHOOK_LATE, delay=60_000, calls=frozenset(range(1, 9))))
    late = [(await end(world)).id for _ in range(8)]
    on_time = (await end(world)).id
    assert await calls(world) == [on_time]
    assert await calls(world, 59_999) == [on_time]
    assert sorted(await calls(world, 1)) == sorted([on_time, *late])
    assert len(await calls(world, 100_000)) == 9


async def test_a_lost_call_is_tried_again_twice_and_then_delivered():
    world = make_world()
    rule = world.emulator.faults.add(fault_of(FaultKind.WEBHOOK_LOST, times=2))
    job = await end(world)
    assert await calls(world, 19_999) == []
    assert await calls(world, 1) == [job.id]
    assert (rule.asked, rule.struck) == (3, 2)
    assert await world.emulator.store.deliveries.next_due() is None


async def test_a_call_that_is_always_lost_is_given_up():
    world = make_world()
    rule = world.emulator.faults.add(fault_of(FaultKind.WEBHOOK_LOST))
    await end(world)
    assert await calls(world, 1_000_000) == []
    assert rule.struck == 3


@pytest.mark.parametrize(("count", "expected"), [(None, 2), (1, 2), (3, 4)])
async def test_a_call_is_made_again(count: int | None, expected: int):
    world = make_world()
    world.emulator.faults.add(fault_of(FaultKind.WEBHOOK_DUPLICATE, count=count, times=1))
    job = await end(world)
    assert await calls(world) == [job.id] * expected
    assert len({body for _, body in world.post.calls}) == 1
    other = await end(world)
    assert await calls(world) == [job.id] * expected + [other.id]


async def test_a_call_is_overtaken_by_the_next():
    world = make_world()
    world.emulator.faults.add(fault_of(FaultKind.WEBHOOK_OUT_OF_ORDER, delay=60_000))
    first, second = await end(world), await end(world)
    assert await calls(world) == [second.id, first.id]
    third = await end(world)
    assert await calls(world, 1_000) == [second.id, first.id]
    fourth = await end(world)
    assert await calls(world) == [second.id, first.id, fourth.id, third.id]


async def test_a_call_that_nothing_overtakes_comes_in_the_end():
    world = make_world()
    world.emulator.faults.add(fault_of(FaultKind.WEBHOOK_OUT_OF_ORDER, delay=5_000))
    job = await end(world)
    assert await calls(world, 4_999) == []
    assert await calls(world, 1) == [job.id]
    assert await calls(world, 100_000) == [job.id]


async def test_a_call_that_is_held_back_is_made_though_the_faults_are_gone():
    world = make_world()
    world.emulator.faults.add(fault_of(FaultKind.WEBHOOK_OUT_OF_ORDER, delay=5_000))
    first = await end(world)
    world.emulator.faults.clear()
    second = await end(world)
    assert await calls(world) == [second.id, first.id]


async def test_another_endpoints_calls_are_left_alone():
    world = make_world()
    world.emulator.faults.add(Fault("", FaultKind.WEBHOOK_LOST, endpoint="other"))
    job = await end(world)
    assert await calls(world) == [job.id]


async def test_the_same_seed_loses_the_same_calls():
    async def run() -> list[int]:
        world = make_world(webhook_retry_delays=())
        world.emulator.faults.add(Fault("", FaultKind.WEBHOOK_LOST, probability=0.5))
        made = []
        for _ in range(30):
            await end(world)
            made.append(len(await calls(world, 100)))
        return made

    first = await run()
    assert first == await run()
    assert 5 < first[-1] < 25


async def test_delays_of_a_range_follow_the_seed():
    world = make_world()
    world.emulator.faults.add(Fault("", FaultKind.WEBHOOK_LATE, delay=Span(1_000, 9_000)))
    job = await end(world)
    assert await calls(world, 999) == []
    assert await calls(world, 8_001) == [job.id]
