"""When another worker starts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed
from runpod_emulator.core.settings import Span

from tests.core.passage import Passing
from tests.core.steps import beside, both_profiles, finish, take_now, world_with
from tests.worlds import TestWorld, make_world

COUNT = {"scaler": "REQUEST_COUNT"}
DELAY = {"scaler": "QUEUE_DELAY"}
JOB = Submission(b'{"a":1}')
LOW = Submission(b'{"a":1}', low_priority=True)


async def submit(world: TestWorld, *submissions: Submission) -> list[str]:
    return [(await world.endpoint.submit(submission)).id for submission in submissions]


def started(world: TestWorld) -> int:
    return len(world.launcher.started)


# Requests count


async def test_each_waiting_job_without_a_slot_starts_a_worker_up_to_the_maximum():
    world = make_world(**COUNT)
    counts = []
    for _ in range(5):
        await submit(world, JOB)
        counts.append(started(world))
    assert counts == [1, 2, 3, 3, 3]


async def test_free_slots_are_used_before_another_worker_starts():
    world = make_world(**COUNT)
    await world.worker(concurrency=3)
    await submit(world, JOB, JOB, JOB)
    assert started(world) == 1
    await submit(world, JOB)
    assert started(world) == 2


async def test_a_job_taken_leaves_the_others_to_the_remaining_slots():
    world = make_world(**COUNT)
    worker = await world.worker()
    await submit(world, JOB)
    assert started(world) == 1
    await take_now(world, worker)
    assert started(world) == 1
    await submit(world, JOB)
    assert started(world) == 2


async def test_several_jobs_may_share_one_start():
    world = make_world(**COUNT, scaler_requests=4, paused_endpoint="queue", workers_max=0)
    await submit(world, *[JOB] * 8)
    world.endpoint.fleet.settings = dataclasses.replace(world.endpoint.settings, workers_max=10)
    await world.endpoint.work.worker_gone("nobody")
    assert started(world) == 2


async def test_jobs_that_come_one_by_one_share_a_start_as_well():
    world = make_world(**COUNT, scaler_requests=4, workers_max=10)
    await submit(world, *[JOB] * 8)
    assert started(world) == 2


# Queue delay


async def test_the_first_worker_starts_at_once_and_each_further_one_after_the_delay(passing: Passing):
    world = passing.world(**DELAY, workers_max=3)
    await submit(world, *[JOB] * 5)
    assert started(world) == 1
    for count in (1, 2):
        await passing.by(3_999)
        await world.endpoint.health()
        assert started(world) == count
        await passing.by(1)
        await world.endpoint.health()
        assert started(world) == count + 1
    await passing.by(60_000)
    await world.endpoint.health()
    assert started(world) == 3


async def test_a_shortage_that_ends_before_the_delay_starts_nobody(passing: Passing):
    world = passing.world(**DELAY)
    await submit(world, JOB, JOB)
    (worker,) = world.launcher.started
    await passing.by(3_000)
    await world.endpoint.work.worker_ready(worker, 2)
    await take_now(world, worker, most=2)
    await passing.by(2_000)
    await world.endpoint.health()
    assert started(world) == 1


async def test_a_new_shortage_waits_the_whole_delay_again(passing: Passing):
    world = passing.world(**DELAY)
    worker = await world.worker()
    await submit(world, JOB, JOB)
    await passing.by(3_000)
    (first,) = await take_now(world, worker)
    await world.endpoint.work.report(first.id, Completed(first.lease))
    (second,) = await take_now(world, worker)
    await submit(world, JOB)
    await passing.by(3_999)
    await world.endpoint.health()
    assert started(world) == 1
    await passing.by(1)
    await world.endpoint.health()
    assert started(world) == 2
    assert second.worker == worker


@pytest.mark.parametrize("way_out", ["cancel", "purge"])
async def test_jobs_that_left_the_queue_start_nobody_after_the_delay(way_out: str):
    world = make_world(**DELAY)
    jobs = await submit(world, JOB, JOB, JOB)
    if way_out == "purge":
        await world.endpoint.purge()
    else:
        for job in jobs:
            await world.endpoint.cancel(job)
    await world.advance(60_000)
    assert started(world) == 1


async def test_jobs_that_expired_in_the_queue_start_nobody_after_the_delay():
    world = make_world(**DELAY, scaler_delay=11_000)
    short = Submission(b'{"a":1}', ttl=10_000)
    await submit(world, short, short)
    await world.advance(60_000)
    assert started(world) == 1


# Both


SCALERS = pytest.mark.parametrize("scaler", [COUNT, DELAY], ids=["requests", "delay"])


@SCALERS
async def test_a_low_priority_job_never_starts_a_worker(scaler: dict[str, Any]):
    world = make_world(**scaler)
    await submit(world, *[LOW] * 5)
    await world.advance(60_000)
    assert world.launcher.started == []
    assert (await world.endpoint.health()).queued == 5


@SCALERS
@pytest.mark.parametrize(
    ("order", "taken"), [("behind", "normal, second, low, last"), ("fifo", "low, normal, second, last")]
)
async def test_a_worker_that_is_there_takes_jobs_of_low_priority_in_their_turn(
    scaler: dict[str, Any], order: str, taken: str
):
    world = make_world(**scaler, low_priority_order=order)
    low, normal, second, last = await submit(world, LOW, JOB, JOB, LOW)
    (worker, *_) = world.launcher.started
    await world.endpoint.work.worker_ready(worker, 4)
    names = {low: "low", normal: "normal", second: "second", last: "last"}
    assert ", ".join(names[job.id] for job in await take_now(world, worker, most=4)) == taken


@SCALERS
async def test_a_normal_job_goes_before_those_of_low_priority_which_start_no_worker_beside_it(
    scaler: dict[str, Any],
):
    """The recorded complaint: its worker and three more were taken by the others, and it waited 8 s."""
    world = make_world(**scaler)
    *_, normal = await submit(world, LOW, LOW, LOW, LOW, JOB)
    (worker,) = world.launcher.started
    await world.endpoint.work.worker_ready(worker, 1)
    (job,) = await take_now(world, worker)
    assert job.id == normal
    await world.advance(60_000)
    await world.endpoint.work.report(job.id, Completed(job.lease))
    for _ in range(4):
        (job,) = await take_now(world, worker)
        assert job.low_priority
        await world.endpoint.work.report(job.id, Completed(job.lease))
    assert started(world) == 1


async def test_a_job_of_low_priority_that_comes_back_stays_behind_the_others():
    world = make_world(**COUNT)
    worker = await world.worker()
    first, second = await submit(world, LOW, LOW)
    assert [job.id for job in await take_now(world, worker)] == [first]
    (normal,) = await submit(world, JOB)
    await world.endpoint.work.worker_gone(worker)
    other = await world.worker()
    assert [job.id for job in await take_now(world, other, most=3)] == [normal, first, second]


async def test_a_low_priority_job_in_the_only_slot_does_not_starve_a_normal_one():
    world = make_world(**COUNT, low_priority_order="fifo")
    worker = await world.worker()
    await submit(world, LOW, JOB)
    assert started(world) == 1
    await take_now(world, worker)
    assert started(world) == 2


@SCALERS
@both_profiles
async def test_with_a_maximum_of_zero_nothing_ever_starts(profile, scaler: dict[str, Any]):
    world = make_world(profile, paused_endpoint="queue", **(scaler | {"workers_max": 0}))
    (job,) = await submit(world, JOB)
    await world.endpoint.workforce.first_worker()
    await world.advance(3_600_000)
    assert world.launcher.started == []
    assert (await world.endpoint.status(job)).status.value == "IN_QUEUE"


@SCALERS
async def test_the_minimum_is_brought_up_with_the_first_look_at_the_queue(scaler: dict[str, Any]):
    world = make_world(**scaler, workers_min=2)
    await world.endpoint.work.worker_gone("nobody")
    assert started(world) == 2


@SCALERS
async def test_the_minimum_is_restored_when_a_kept_worker_is_lost(scaler: dict[str, Any]):
    world = make_world(**scaler, workers_min=1)
    worker = await world.worker()
    await world.endpoint.work.worker_gone(worker)
    assert started(world) == 2


async def test_a_worker_that_could_not_start_is_tried_again_after_the_back_off(passing: Passing):
    world = passing.world()
    await submit(world, JOB)
    for attempt, wait in enumerate((1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000), 1):
        assert started(world) == attempt
        await world.endpoint.work.worker_broken(world.launcher.started[-1], "no such module")
        assert (await world.endpoint.health()).workers.unhealthy == 1
        await passing.by(wait - 1)
        await submit(world, LOW)
        assert started(world) == attempt
        await passing.by(1)
        await world.endpoint.health()
    assert started(world) == 8
    assert (await world.endpoint.health()).workers.unhealthy == 0


async def test_a_broken_worker_leaves_the_jobs_waiting():
    world = make_world()
    (job,) = await submit(world, JOB)
    for _ in range(4):
        await world.endpoint.work.worker_broken(world.launcher.started[-1], "no such module")
        await world.advance(30_000)
    assert (await world.endpoint.status(job)).status.value == "IN_QUEUE"


async def test_nobody_is_tried_again_for_jobs_that_were_purged_meanwhile():
    world = make_world()
    await submit(world, JOB)
    await world.endpoint.work.worker_broken(world.launcher.started[-1], "no such module")
    await world.endpoint.purge()
    await world.advance(60_000)
    assert started(world) == 1


@SCALERS
async def test_a_stopped_autoscaler_starts_nothing_more(scaler: dict[str, Any]):
    world = make_world(**scaler, workers_min=1)
    await submit(world, JOB, JOB)
    before = started(world)
    world.endpoint.autoscaler.stop()
    world.endpoint.autoscaler.start_one()
    await submit(world, JOB)
    await world.endpoint.work.worker_broken(world.launcher.started[-1], "no such module")
    await world.advance(60_000)
    assert started(world) == before


async def test_workers_scale_down_to_zero_and_up_again(passing: Passing):
    world = passing.world()
    _, job = await world.running()
    await world.endpoint.work.report(job.id, Completed(job.lease))
    await passing.by(5_000)
    assert sum((await world.endpoint.health()).workers) == 0
    assert world.launcher.stopped == world.launcher.started[:1]
    await submit(world, JOB)
    assert started(world) == 2


# Two endpoints of one emulator


async def test_each_endpoint_follows_its_own_scaler():
    counting = world_with(scaler="REQUEST_COUNT", workers_max=9)
    delaying = beside(counting, scaler="QUEUE_DELAY", workers_max=9)
    for world in (counting, delaying):
        await submit(world, *[JOB] * 4)
    assert (started(counting), started(delaying)) == (4, 1)
    await counting.advance(4_000)
    assert (started(counting), started(delaying)) == (4, 2)


async def test_each_endpoint_counts_requests_in_its_own_portions():
    world = world_with(**COUNT, workers_max=9, scaler_requests=2)
    other = beside(world, **COUNT, workers_max=9, scaler_requests=5)
    for each in (world, other):
        await submit(each, *[JOB] * 11)
    assert (started(world), started(other)) == (6, 3)


async def test_each_endpoint_waits_its_own_delay():
    world = world_with(**DELAY, scaler_delay=1_000)
    other = beside(world, **DELAY, scaler_delay=2_500)
    for each in (world, other):
        await submit(each, *[JOB] * 5)
    counts = []
    for _ in range(5):
        await world.advance(500)
        counts.append((started(world), started(other)))
    assert counts == [(1, 1), (2, 1), (2, 1), (3, 1), (3, 2)]


async def test_each_endpoint_keeps_its_own_minimum_and_maximum():
    world = world_with(workers_min=1, workers_max=1)
    other = beside(world, workers_min=2, workers_max=4)
    for each in (world, other):
        await submit(each, *[JOB] * 9)
    assert (started(world), started(other)) == (1, 4)


# Simulated delays


@SCALERS
async def test_a_worker_that_is_simulated_to_come_up_is_not_started_twice(scaler: dict[str, Any]):
    world = world_with(**scaler, throttle=Span(1_000, 1_000), cold_start=Span(1_000, 1_000), scaler_delay=300)
    await submit(world, JOB)
    for _ in range(40):
        await world.advance(100)
        await world.endpoint.work.worker_gone("nobody")
    assert (started(world), len(world.endpoint.fleet.workers)) == (1, 1)


async def test_the_minimum_is_restored_with_simulated_delays():
    world = world_with(workers_min=1, cold_start=Span(1_000, 1_000))
    world.endpoint.autoscaler.start_one(at_once=True)
    await world.endpoint.work.worker_ready(world.launcher.started[0], 1)
    await world.endpoint.work.worker_gone(world.launcher.started[0])
    await world.advance(999)
    assert started(world) == 1
    await world.advance(1)
    assert started(world) == 2


async def test_one_started_at_once_is_still_within_the_maximum():
    world = world_with(workers_max=1, cold_start=Span(1_000, 1_000))
    for _ in range(3):
        world.endpoint.autoscaler.start_one(at_once=True)
    assert started(world) == 1


# The worker that tries new code


async def test_a_candidate_starts_beyond_the_maximum_and_without_simulated_delays():
    world = world_with(workers_max=1, throttle=Span(9, 9), cold_start=Span(9, 9))
    world.endpoint.autoscaler.start_one(at_once=True)
    candidate = world.endpoint.autoscaler.start_candidate()
    assert world.launcher.started[1:] == [candidate]
    assert world.endpoint.fleet.alive == 2


async def test_a_candidate_does_not_wait_for_a_back_off():
    world = world_with()
    world.endpoint.autoscaler.start_one()
    await world.endpoint.work.worker_broken(world.launcher.started[0], "broken")
    world.endpoint.autoscaler.start_one()
    assert started(world) == 1
    assert world.endpoint.autoscaler.start_candidate() == world.launcher.started[1]


def test_a_stopped_autoscaler_starts_no_candidate():
    world = world_with()
    world.endpoint.autoscaler.stop()
    assert world.endpoint.autoscaler.start_candidate() is None
    assert world.launcher.started == []


@pytest.mark.one_step
async def test_a_scaler_delay_of_zero_does_not_spin_while_none_may_start():
    world = world_with(**DELAY, scaler_delay=0)
    await submit(world, JOB)
    await world.endpoint.work.worker_broken(world.launcher.started[0], "broken")
    finish(world.endpoint.submit(JOB))
    finish(world.emulator.timeline.catch_up())
    assert started(world) == 1


async def test_a_job_that_came_just_before_its_worker_would_have_idled_out_keeps_it():
    world = world_with()
    await world.worker()
    await world.advance(4_999)
    await submit(world, JOB)
    await world.advance(60_000)
    assert (world.launcher.stopped, started(world)) == ([], 1)


@pytest.mark.one_step
async def test_webhooks_of_one_moment_go_out_in_the_order_of_their_jobs_whatever_their_priority():
    world = make_world(purged_job="cancelled")
    hooks = [submission._replace(webhook="http://127.0.0.1:9/x") for submission in (LOW, JOB, LOW, JOB)]
    jobs = await submit(world, *hooks)
    await world.endpoint.purge()
    owed = await world.emulator.store.deliveries.claim(world.clock.now(), 9, None)
    assert [delivery.job for delivery in owed] == jobs


# In words


async def said(world: TestWorld, *jobs: int) -> str:
    return world.endpoint.autoscaler.words(*jobs) if jobs else await world.endpoint.work.demand.words()


async def test_what_is_said_of_jobs_by_their_number():
    world = make_world(**COUNT)
    told = [await said(world)]
    for _ in range(4):
        await submit(world, JOB)
        told.append(await said(world))
    await world.endpoint.work.worker_ready(world.launcher.started[0], 1)
    await take_now(world, world.launcher.started[0])
    assert [*told, await said(world)] == [
        "0 wanted: no job waits; max 3",
        "1 wanted: 1 job waits, 1 per worker; max 3",
        "2 wanted: 2 jobs wait, 1 per worker; max 3",
        "3 wanted: 3 jobs wait, 1 per worker; max 3",
        "4 wanted: 4 jobs wait, 1 per worker; max 3, all are there",
        "4 wanted: 3 jobs wait, 1 runs, 1 per worker; max 3, all are there",
    ]


async def test_what_is_said_where_there_is_room():
    world = world_with(workers_min=1)
    await world.worker(concurrency=3)
    assert await said(world) == "1 wanted: no job waits; min 1, max 3"
    await submit(world, JOB, JOB)
    assert await said(world) == "no more wanted: 2 jobs wait, 3 slots are free; min 1, max 3"


async def test_what_is_said_of_a_delay():
    world = make_world(**DELAY)
    assert await said(world) == "no more wanted: no job waits, no slot is free; max 3"
    await submit(world, JOB, JOB)
    assert await said(world) == "1 more wanted in 4 s: 2 jobs wait, 1 slot is free; max 3"
    await world.advance(1_500)
    assert await said(world) == "1 more wanted in 2.5 s: 2 jobs wait, 1 slot is free; max 3"


async def test_what_keeps_workers_from_starting_is_said():
    world = make_world(**COUNT)
    await submit(world, JOB)
    await world.endpoint.work.worker_broken(world.launcher.started[0], "no luck")
    assert (
        await said(world)
        == "1 wanted: 1 job waits, 1 per worker; max 3, none starts for a while, for the last one could not"
    )
    world.endpoint.autoscaler.stop()
    assert await said(world) == "1 wanted: 1 job waits, 1 per worker; max 3, nothing starts any more"
    paused = world_with(workers_max=0)
    assert await said(paused, 2, 0) == "2 wanted: 2 jobs wait, 1 per worker; max 0, it is paused"
    elsewhere = world_with(workers_min=0, starts_workers=False)
    assert await said(elsewhere, 2, 1) == "2 jobs wait, 1 runs; its workers are started elsewhere"
