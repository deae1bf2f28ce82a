"""Places for processes between the worlds of one server, whose workers have the same ids: they have one seed."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

from tests.core.fleet.test_capacity import busy, completed
from tests.core.steps import beside
from tests.worlds import TestWorld, make_world

JOB = Submission(b'{"a":1}')


def worlds(limit: int, count: int = 2) -> list[TestWorld]:
    """Worlds with one limit and one seed."""
    capacity = Capacity(limit)
    return [make_world(capacity=capacity) for _ in range(count)]


async def test_a_place_goes_to_the_worker_of_the_same_id_in_another_world():
    first, second = worlds(limit=1)
    holder, job = await busy(first)
    await second.endpoint.submit(JOB)
    (waiting,) = second.endpoint.fleet.workers
    assert waiting == holder and second.launcher.started == []
    await completed(first, job)
    assert second.launcher.started == [waiting]


async def test_the_limit_holds_over_all_worlds():
    first, second, third = worlds(limit=1, count=3)
    await busy(first)
    for world in (second, third):
        await world.endpoint.submit(JOB)
    await second.endpoint.work.worker_gone(next(iter(second.endpoint.fleet.workers)))
    assert [len(world.launcher.started) for world in (first, second, third)] == [1, 0, 0]


@pytest.mark.parametrize("how", ["world", "endpoint"])
async def test_what_waited_where_nobody_is_any_more_takes_no_place(how: str):
    first, second, third = worlds(limit=1, count=3)
    _, job = await busy(first)
    for world in (second, third):
        await world.endpoint.submit(JOB)
    await (second.emulator.stop() if how == "world" else second.emulator.endpoints.remove("ep"))
    await completed(first, job)
    assert [len(world.launcher.started) for world in (second, third)] == [0, 1]


async def test_a_world_that_ends_gives_its_places_back():
    first, second = worlds(limit=1)
    await busy(first)
    await second.endpoint.submit(JOB)
    await first.emulator.stop()
    assert len(second.launcher.started) == 1
    assert not second.endpoint.fleet.give_way()
    await first.emulator.stop()


async def test_a_worker_without_a_process_takes_no_place_and_gives_none():
    first, second = worlds(limit=1)
    await busy(first)
    mock = second.emulator.endpoints.add_mock(dataclasses.replace(second.endpoint.settings, id="mock"))
    await second.endpoint.submit(JOB)
    await mock.submit(JOB)
    await asyncio.sleep(0)
    assert mock.fleet.counts().throttled == 0 and len(mock.fleet.workers) == 1
    await second.emulator.timeline.settle()
    assert (await mock.health()).failed == 1  # no stub matches
    await beside(first, "third").endpoint.submit(JOB)
    assert len(mock.fleet.workers) == 1
    await mock.submit(JOB)
    await second.emulator.timeline.settle()
    assert len(mock.fleet.workers) == 1
    await second.emulator.stop()


async def test_a_namespace_that_is_being_dropped_is_not_made_anew_by_its_workers():
    made: list[World] = []

    def make(name: str) -> World:
        made.append(make_world().emulator)
        return made[-1]

    several = Worlds(make_world().emulator, make)
    world = several.of("a")
    stop = world.stop

    async def stop_while_a_worker_polls(forgets: bool) -> None:
        several.of("a")
        await stop(forgets)

    world.stop = stop_while_a_worker_polls  # type: ignore[method-assign]
    assert await several.drop("a")
    assert (several.names, len(made)) == ([], 1)
    assert several.of("a") is not world
