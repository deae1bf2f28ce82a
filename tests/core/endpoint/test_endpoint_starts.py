"""The first worker of an endpoint, and workers that are not ready in time."""

from __future__ import annotations

import dataclasses
import logging

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.settings import Span

from tests.core.endpoint.test_endpoint_health import counters
from tests.core.passing_time import Passing
from tests.core.steps import answer, beside, finish, seen, started, take_now, world_with
from tests.worlds import TestWorld

JOB = Submission(b'{"a":1}')
SLOW = {"throttle": Span(1_000, 1_000), "cold_start": Span(2_000, 2_000)}


async def first(world: TestWorld) -> None:
    """The import check of a world whose workers come up well."""
    check = await started(world.endpoint.workforce.first_worker())
    for worker in list(world.launcher.started):
        assert not check.done()
        await world.endpoint.work.worker_ready(worker, 1)
    await answer(check)


# The first worker


@pytest.mark.parametrize(("least", "expected"), [(0, 1), (1, 1), (3, 3)])
async def test_the_minimum_is_brought_up_at_once_and_always_one(least: int, expected: int):
    world = world_with(workers_min=least, **SLOW)
    await first(world)
    assert len(world.launcher.started) == expected


async def test_one_of_the_first_workers_that_cannot_start_is_a_mistake():
    world = world_with(workers_min=2)
    check = await started(world.endpoint.workforce.first_worker())
    await world.endpoint.work.worker_ready(world.launcher.started[0], 1)
    await world.endpoint.work.worker_broken(world.launcher.started[1], "no such module")
    with pytest.raises(ConfigurationError, match="no such module"):
        await answer(check)


async def test_a_flaw_is_told_whole_once_and_then_in_short(caplog: pytest.LogCaptureFixture):
    world = world_with()
    workforce = world.endpoint.workforce
    workforce.begin()
    flaw = "handler h.py could not be started:\nSyntaxError: x"
    for _ in range(3):
        workforce.autoscaler.start_one(at_once=True)
        await world.endpoint.work.worker_broken(world.launcher.started[-1], flaw)
    assert [record.getMessage().splitlines()[0] for record in caplog.records] == [
        "handler h.py could not be started:",
        "ep: still broken: SyntaxError: x; no job waits",
    ]
    workforce.fleet.version += 1
    workforce.autoscaler.start_one(at_once=True)
    await world.endpoint.work.worker_broken(world.launcher.started[-1], flaw)
    assert caplog.records[-1].getMessage() == "ep: still broken: SyntaxError: x; no job waits"
    assert len(caplog.records) == 3


async def test_without_simulated_delays_the_first_worker_stays_for_the_first_job():
    world = world_with()
    await first(world)
    assert await counters(world) == "idle 1, ready 1"
    assert world.launcher.stopped == []


@pytest.mark.parametrize(
    ("simulated", "delay"),
    [
        ({"throttle": Span(1_000, 1_000)}, 1_000),
        ({"cold_start": Span(2_000, 2_000)}, 2_000),
        (SLOW, 3_000),
    ],
    ids=["throttle", "cold start", "both"],
)
async def test_where_delays_are_simulated_the_first_job_meets_them(passing: Passing, simulated, delay: int):
    world = passing.world(settings=lambda settings: dataclasses.replace(settings, **simulated))
    await first(world)
    assert await counters(world) == ""
    assert world.launcher.stopped == world.launcher.started
    job = await world.endpoint.submit(JOB)
    await passing.by(delay)
    await world.endpoint.health()
    assert len(world.launcher.started) == 2
    await world.endpoint.work.worker_ready(world.launcher.started[1], 1)
    await take_now(world, world.launcher.started[1])
    assert (await seen(world, job.id))["delayTime"] == delay


async def test_where_delays_are_simulated_the_minimum_stays():
    world = world_with(workers_min=2, **SLOW)
    await first(world)
    assert await counters(world) == "idle 2, ready 2"
    await world.advance(60_000)
    assert world.launcher.stopped == []


@pytest.mark.one_step
async def test_a_first_worker_that_has_a_job_already_stays():
    world = world_with(**SLOW)
    await world.endpoint.submit(Submission(b'{"a":1}', low_priority=True))
    check = await started(world.endpoint.workforce.first_worker())
    (worker,) = world.launcher.started
    await world.endpoint.work.worker_ready(worker, 1)
    assert finish(world.take(worker)), "before the check goes on"
    await answer(check)
    assert worker in world.endpoint.fleet.workers


async def test_a_range_from_zero_is_a_simulated_delay():
    world = world_with(cold_start=Span(0, 10))
    await first(world)
    assert await counters(world) == ""


async def test_the_first_workers_of_several_endpoints_share_a_place_one_after_the_other():
    world = world_with(limit=1)
    other = beside(world)
    checks = [await started(each.endpoint.workforce.first_worker()) for each in (world, other)]
    assert other.launcher.started == []
    await world.endpoint.work.worker_ready(world.launcher.started[0], 1)
    await answer(checks[0])
    await world.advance(100)
    await other.endpoint.work.worker_ready(other.launcher.started[0], 1)
    await answer(checks[1])
    assert world.launcher.stopped == world.launcher.started


async def test_the_import_check_ends_with_the_server():
    world = world_with()
    check = await started(world.endpoint.workforce.first_worker())
    world.emulator.hang_up()
    await answer(check)


# Overdue workers


async def test_a_worker_that_is_not_ready_in_time_is_ended_and_another_tried_after_the_back_off(passing: Passing):
    world = passing.world(settings=lambda settings: dataclasses.replace(settings, init_timeout=7_000))
    await world.endpoint.submit(JOB)
    (worker,) = world.launcher.started
    await passing.by(6_999)
    assert await counters(world) == "queued 1, initializing 1"
    assert world.launcher.stopped == []
    await passing.by(1)
    assert await counters(world) == "queued 1, unhealthy 1"
    assert world.launcher.stopped == [worker]
    assert world.endpoint.fleet.workers[worker].reason == (
        "endpoint ep: the worker was not ready within 7 s (init_timeout)"
    )
    await passing.by(999)
    assert await counters(world) == "queued 1, unhealthy 1"
    await passing.by(1)
    assert await counters(world) == "queued 1, initializing 1"
    assert len(world.launcher.started) == 2


async def test_workers_that_are_overdue_again_and_again_are_tried_less_and_less_often():
    world = world_with(init_timeout=100)
    begin = world.clock.now()
    await world.endpoint.submit(JOB)
    launches = []
    for _ in range(4):
        launches.append(world.clock.now() - begin)
        seen_before = len(world.launcher.started)
        while len(world.launcher.started) == seen_before:
            due = await world.emulator.timeline.next_due()
            await world.advance(due - world.clock.now())
    assert launches == [0, 1_100, 3_200, 7_300]


async def test_simulated_delays_do_not_make_a_worker_overdue():
    world = world_with(init_timeout=500, **SLOW)
    await world.endpoint.submit(JOB)
    await world.advance(3_499)
    assert await counters(world) == "queued 1, initializing 1"
    await world.advance(1)
    assert await counters(world) == "queued 1, unhealthy 1"


async def test_a_time_to_be_ready_of_zero_is_for_ever():
    world = world_with(init_timeout=0)
    await world.endpoint.submit(Submission(b'{"a":1}', ttl=604_800_000))
    await world.advance(600_000_000)
    assert await counters(world) == "queued 1, initializing 1"


async def test_a_first_worker_that_is_not_ready_in_time_is_a_mistake(caplog: pytest.LogCaptureFixture):
    world = world_with(init_timeout=1_500)
    check = await started(world.endpoint.workforce.first_worker())
    with caplog.at_level(logging.ERROR):
        await world.advance(1_500)
    with pytest.raises(ConfigurationError, match=r"ep: the worker was not ready within 1\.5 s \(init_timeout\)"):
        await answer(check)
    assert caplog.messages == [], "who reads the exception is not told twice"


async def test_an_overdue_worker_after_the_import_check_is_told_in_the_log(caplog: pytest.LogCaptureFixture):
    world = world_with(init_timeout=1_500)
    await first(world)
    world.endpoint.autoscaler.start_one()
    with caplog.at_level(logging.ERROR):
        await world.advance(1_500)
    assert caplog.messages == ["endpoint ep: the worker was not ready within 1.5 s (init_timeout)"]


async def test_the_end_of_an_overdue_workers_process_changes_nothing():
    world = world_with(init_timeout=500)
    await world.endpoint.submit(JOB)
    await world.advance(500)
    await world.endpoint.work.worker_gone(world.launcher.started[0])
    await world.advance(999)
    assert len(world.launcher.started) == 1
    await world.advance(1)
    assert len(world.launcher.started) == 2
