"""Code that cannot be started: the last good worker stays, and what lifts that."""

from __future__ import annotations

from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed

from tests.core.endpoint.test_endpoint_health import counters
from tests.core.fleet.test_release import broken, minimum, reload
from tests.core.steps import answer, beside, started, take_now, world_with

JOB = Submission(b'{"a":1}')


@pytest.mark.parametrize("way", ["broken", "gone", "overdue", "unfit"])
async def test_code_that_cannot_be_started_is_told_apart(way: str):
    world = world_with(init_timeout=2_000)
    old = await world.worker()
    task, candidate = await reload(world)
    if way == "broken":
        await world.endpoint.work.worker_broken(candidate, "SyntaxError")
    elif way == "gone":
        await world.endpoint.work.worker_gone(candidate)
    elif way == "unfit":
        await world.endpoint.work.worker_unhealthy(candidate, "no GPU")
    else:
        await world.advance(2_000)
        assert world.launcher.stopped == [candidate]
    assert await answer(task) is False
    assert old in world.endpoint.fleet.workers and old not in world.launcher.stopped


async def test_with_broken_code_the_last_good_worker_stays_past_its_idle_timeout():
    world = world_with()
    old = [await world.worker(), await world.worker()]
    await broken(world)
    assert await counters(world) == "idle 2, ready 2, unhealthy 1"
    await world.advance(3_600_000)
    assert world.launcher.stopped == old[:1]
    assert await counters(world) == "idle 1, ready 1, unhealthy 1"


async def test_with_broken_code_the_last_good_worker_does_every_job():
    world = world_with()
    old = await world.worker()
    await broken(world)
    for _ in range(3):
        await world.endpoint.submit(JOB)
    await world.advance(600_000)
    assert len(world.launcher.started) == 2, "the good one and the one that tried"
    for _ in range(3):
        (job,) = await take_now(world, old)
        await world.endpoint.work.report(job.id, Completed(job.lease))
        await world.advance(600_000)
    assert world.launcher.stopped == []
    assert (await world.endpoint.health()).completed == 3


async def test_with_broken_code_not_even_the_minimum_is_restored():
    world = world_with(workers_min=2)
    first, second = await minimum(world)
    await broken(world)
    await world.endpoint.work.worker_gone(first)
    await world.advance(600_000)
    assert len(world.launcher.started) == 3
    assert second in world.endpoint.fleet.workers


async def test_with_broken_code_the_last_good_worker_does_not_give_way():
    world = world_with(limit=1)
    old, job = await world.running()
    other = beside(world)
    world.endpoint.shared.capacity.limit = 2
    await broken(world)
    await world.endpoint.work.report(job.id, Completed(job.lease))
    await other.endpoint.submit(JOB)
    await other.endpoint.submit(JOB)
    await world.advance(60_000)
    assert (world.launcher.stopped, len(other.launcher.started)) == ([], 1)
    assert old in world.endpoint.fleet.workers


async def test_when_the_last_good_worker_dies_the_code_is_tried_again_after_the_back_off():
    world = world_with()
    old, _ = await world.running()
    await broken(world)
    await world.advance(400)
    await world.endpoint.work.worker_gone(old)
    await world.advance(599)
    assert len(world.launcher.started) == 2
    await world.advance(1)
    assert len(world.launcher.started) == 3
    await world.endpoint.work.worker_broken(world.launcher.started[-1], "SyntaxError")
    await world.advance(1_999)
    assert len(world.launcher.started) == 3
    await world.advance(1)
    assert len(world.launcher.started) == 4


async def test_when_the_last_good_worker_dies_long_after_the_code_is_tried_again_at_once():
    world = world_with(workers_min=1)
    old = await world.worker()
    await broken(world)
    await world.advance(60_000)
    await world.endpoint.work.worker_gone(old)
    assert len(world.launcher.started) == 3


async def test_without_a_good_worker_one_tries_broken_code_and_no_more():
    world = world_with()
    await broken(world)
    for _ in range(5):
        await world.endpoint.submit(JOB)
    await world.advance(1_000)
    assert len(world.launcher.started) == 2
    assert await counters(world) == "queued 5, initializing 1"


async def test_code_that_is_mended_replaces_the_last_good_worker():
    world = world_with()
    old = await world.worker()
    await broken(world)
    task, candidate = await reload(world)
    assert await counters(world) == "idle 1, initializing 1, ready 1", "the broken one is out of sight"
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert world.launcher.stopped[-1] == old  # before it, the broken one
    await world.advance(1_000)
    for _ in range(5):
        await world.endpoint.submit(JOB)
    assert len(world.launcher.started) == 5


async def test_mended_code_does_not_wait_for_the_back_off_of_broken_code():
    world = world_with()
    for _ in range(6):
        await broken(world)
    task, candidate = await reload(world)
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    for _ in range(3):
        await world.endpoint.submit(JOB)
    await world.advance(4_000)
    assert len(world.launcher.started) > 7


async def test_a_reload_does_not_wait_for_the_back_off_of_the_one_before():
    world = world_with()
    for _ in range(4):
        await broken(world)
    assert len(world.launcher.started) == 4


@pytest.mark.parametrize("settings", [{}, {"workers_min": 1}], ids=["none", "one"])
async def test_the_last_good_worker_stays_while_new_code_is_tried(settings: dict[str, Any]):
    world = world_with(**settings)
    old = await world.worker()
    task, candidate = await reload(world)
    await world.advance(6_000)
    await world.endpoint.work.worker_broken(candidate, "SyntaxError")
    assert await answer(task) is False
    assert world.launcher.stopped == []
    assert old in world.endpoint.fleet.workers


async def test_code_that_is_good_at_a_later_try_lifts_the_restriction():
    world = world_with()
    await broken(world)
    for _ in range(5):
        await world.endpoint.submit(JOB)
    await world.advance(1_000)
    assert len(world.launcher.started) == 2
    await world.endpoint.work.worker_ready(world.launcher.started[-1], 1)
    await take_now(world, world.launcher.started[-1])
    assert len(world.launcher.started) == 4


async def test_with_a_maximum_of_zero_new_code_starts_nobody():
    world = world_with(workers_max=0)
    await started(world.endpoint.workforce.reload())
    assert world.launcher.started == []
