"""How many workers a load-balancing endpoint has, and what becomes of those that are ill, old or dead."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.core.balancer_errors import AffinityGone
from runpod_emulator.core.endpoint.balancer import Seat
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.time.clock import AutoClock
from runpod_emulator.core.time.waiting import Caller

from tests.core.balanced import NO_WISH, balanced_world
from tests.core.steps import answer, started, turns

# Scaling


@pytest.mark.parametrize(
    ("share", "most", "requests", "workers"),
    [
        (1, 3, 1, 1),
        (1, 3, 2, 2),
        (1, 3, 9, 3),
        (4, 3, 4, 1),
        (4, 3, 5, 2),
        (4, 3, 9, 3),
        (4, 2, 90, 2),
        (100, 9, 50, 1),
    ],
)
async def test_requests_that_wait_bring_up_one_worker_for_each_share(
    share: int, most: int, requests: int, workers: int
):
    world = balanced_world(scaler_requests=share, workers_max=most)
    for _ in range(requests):
        await world.ask()
    assert len(world.launcher.started) == workers


@pytest.mark.parametrize(("share", "requests", "workers"), [(1, 1, 1), (1, 2, 2), (1, 5, 3), (4, 4, 1), (4, 5, 2)])
async def test_requests_in_flight_bring_up_one_worker_for_each_share(share: int, requests: int, workers: int):
    world = balanced_world(scaler_requests=share)
    await world.up()
    for _ in range(requests):
        await world.seat()
    assert len(world.launcher.started) == workers


async def test_requests_one_after_the_other_need_one_worker():
    world = balanced_world()
    await world.up()
    for _ in range(20):
        await world.balancer.release(await world.seat())
    assert len(world.launcher.started) == 1


async def test_the_first_worker_comes_up_at_once_and_stays_for_the_first_request():
    world = balanced_world()
    check = await started(world.balancer.workforce.first_worker())
    await world.healthy(world.launcher.started[0])
    await answer(check)
    assert (await world.seat()).worker == world.launcher.started[0]


async def test_a_first_worker_that_breaks_is_a_mistake():
    world = balanced_world()
    check = await started(world.balancer.workforce.first_worker())
    await world.balancer.worker_broken(world.launcher.started[0], "no such module")
    with pytest.raises(ConfigurationError, match="no such module"):
        await answer(check)


async def test_a_worker_that_breaks_is_tried_again_while_the_request_waits():
    world = balanced_world()
    task = await world.ask()
    for _ in range(3):
        await world.balancer.worker_broken(world.launcher.started[-1], "no such module")
        await world.advance(4_000)
    assert len(world.launcher.started) == 4 and not task.done()
    await world.healthy(world.launcher.started[-1])
    assert (await world.seated(task)).worker == world.launcher.started[-1]


# Idling


async def test_an_idle_worker_ends_after_its_idle_timeout_and_traffic_begins_it_anew():
    world = balanced_world(idle_timeout=5_000)
    (worker,) = await world.up()
    await world.advance(4_000)
    seat = await world.seat()
    await world.advance(60_000)
    assert world.launcher.stopped == []
    await world.balancer.release(seat)
    await world.advance(4_999)
    assert world.launcher.stopped == []
    await world.advance(1)
    assert world.launcher.stopped == [worker]


async def test_a_websocket_keeps_no_worker_but_what_it_says_does():
    world = balanced_world(idle_timeout=5_000)
    (worker,) = await world.up()
    await world.advance(4_000)
    seat = await world.seat(counts=False)
    assert (seat.worker, seat.request, world.held) == (worker, "", {worker: 0})
    assert await world.counters() == "idle 1, ready 1"
    for _ in range(3):
        await world.advance(4_000)
        world.balancer.fleet.touch(worker)
    await world.advance(4_999)
    assert world.launcher.stopped == []
    await world.balancer.release(seat)
    await world.advance(4_999)
    assert world.launcher.stopped == [], "its end is traffic too"
    await world.advance(1)
    assert world.launcher.stopped == [worker]


async def test_a_websocket_that_counts_keeps_its_worker():
    world = balanced_world(idle_timeout=5_000)
    (worker,) = await world.up()
    seat = await world.seat(counts=True)
    await world.advance(3_600_000)
    assert world.held == {worker: 1} and world.launcher.stopped == []
    await world.balancer.release(seat)
    await world.advance(5_000)
    assert world.launcher.stopped == [worker]


async def test_touching_a_busy_or_unknown_worker_is_harmless():
    world = balanced_world(idle_timeout=5_000)
    (worker,) = await world.up()
    seat = await world.seat()
    world.balancer.fleet.touch(worker)
    world.balancer.fleet.touch("nobody")
    await world.advance(60_000)
    assert world.held == {worker: 1}
    await world.balancer.release(seat)
    await world.balancer.release(Seat("nobody", "http://nobody", ""))
    await world.balancer.release(Seat("nobody", "http://nobody", "request-9"))


# Illness


async def test_an_ill_worker_gets_no_requests_until_it_is_well_again():
    world = balanced_world()
    first, second = await world.up(2)
    await world.balancer.worker_ill(first, "its health check fails")
    assert await world.counters() == "idle 1, ready 1, unhealthy 1"
    assert {(await world.seat()).worker for _ in range(3)} == {second}
    await world.healthy(first)
    assert (await world.seat()).worker == first


async def test_an_ill_worker_answers_what_it_holds():
    world = balanced_world(workers_max=1)
    (worker,) = await world.up()
    seat, other = await world.seat(), await world.seat()
    await world.balancer.worker_ill(worker, "its health check fails")
    await world.balancer.release(seat)
    assert (world.held, await world.counters()) == ({worker: 1}, "unhealthy 1")
    await world.healthy(worker)
    assert await world.counters() == "ready 1, running 1"
    await world.balancer.release(other)
    assert await world.counters() == "idle 1, ready 1"


async def test_a_request_waits_for_the_only_worker_to_be_well_again():
    world = balanced_world(workers_max=1)
    (worker,) = await world.up()
    await world.balancer.worker_ill(worker, "its health check fails")
    task = await world.ask(f"strict {worker}")
    await world.advance(500)
    await world.healthy(worker)
    assert (await world.seated(task)).worker == worker


async def test_an_ill_worker_is_replaced_for_a_request_that_comes_at_once():
    world = balanced_world()
    (worker,) = await world.up()
    await world.balancer.worker_ill(worker, "its health check fails")
    task = await world.ask()
    await world.advance(60_000)
    assert len(world.launcher.started) == 2
    await world.healthy(world.launcher.started[1])
    assert (await world.seated(task)).worker == world.launcher.started[1]


async def test_with_an_automatic_clock_there_is_time_for_an_ill_worker_to_be_well_again():
    world = balanced_world(clock=AutoClock(), real=True, workers_max=1)
    (worker,) = await world.up()
    await world.balancer.worker_ill(worker, "its health check fails")
    caller = Caller()
    caller.hurries = True
    task = await started(world.balancer.admit(NO_WISH, caller))
    await turns(50)
    await world.healthy(worker)
    assert (await world.seated(task)).worker == worker


async def test_an_ill_worker_of_the_minimum_is_replaced():
    world = balanced_world(workers_min=1)
    (worker,) = await world.up()
    await world.balancer.worker_ill(worker, "its health check fails")
    await world.advance(60_000)
    assert len(world.launcher.started) == 2


async def test_an_ill_worker_is_not_stopped_while_it_answers():
    world = balanced_world()
    (worker,) = await world.up()
    await world.seat()
    await world.balancer.worker_ill(worker, "its health check fails")
    await world.advance(2_000)
    await world.ask()
    assert len(world.launcher.started) > 1
    assert world.launcher.stopped == []


async def test_virtual_time_goes_on_after_an_ill_worker_with_a_request_was_buried():
    world = balanced_world(real=True)
    (worker,) = await world.up()
    seat = await world.seat()
    await world.balancer.worker_ill(worker, "its health check fails")
    world.clock.move_to(world.clock.now() + 2_000)
    world.balancer.autoscaler.start_one()
    await world.healthy(world.coming[0])
    await world.balancer.release(seat)
    await world.advance(1)


async def test_an_ill_worker_keeps_its_place_while_its_process_lives():
    world = balanced_world(limit=1)
    (worker,) = await world.up()
    other = balanced_world("other", beside=world)
    await world.balancer.worker_ill(worker, "its health check fails")
    await other.ask()
    assert other.launcher.started == [] or worker in world.launcher.stopped


async def test_a_worker_that_is_ill_before_it_was_healthy_is_still_coming_up():
    world = balanced_world()
    await world.ask()
    await world.balancer.worker_ill(world.launcher.started[0], "its health check answers 500")
    assert await world.counters() == "initializing 1"


# Death


async def test_a_worker_that_dies_with_requests_in_flight_is_replaced_for_the_next():
    world = balanced_world()
    (worker,) = await world.up()
    seats = [await world.seat(), await world.seat()]
    await world.balancer.worker_gone(worker)
    assert worker not in world.held
    for seat in seats:
        await world.balancer.release(seat)
    task = await world.ask()
    await world.healthy(world.launcher.started[-1])
    assert (await world.seated(task)).worker != worker


async def test_virtual_time_stands_while_a_worker_answers_and_goes_on_when_it_dies():
    world = balanced_world(real=True, workers_max=1)
    (worker,) = await world.up()
    seat = await world.seat()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(world.emulator.timeline.settle(), 0.01)
    await world.balancer.worker_gone(worker)
    await world.balancer.release(seat)
    await asyncio.wait_for(world.emulator.timeline.settle(), 1)


async def test_a_dead_worker_of_the_minimum_is_replaced_at_once():
    world = balanced_world(workers_min=1)
    (worker,) = await world.up()
    await world.balancer.worker_gone(worker)
    assert len(world.launcher.started) == 2


# New code


async def test_outdated_workers_answer_what_they_hold_and_then_end():
    world = balanced_world(scaler_requests=4)
    idle, busy = await world.up(2)
    seats = [await world.seat(idle), await world.seat(busy), await world.seat(busy)]
    await world.balancer.release(seats[0])
    reload = await started(world.balancer.workforce.reload())
    new = world.coming[0]
    assert (await world.seat()).worker == idle
    assert not reload.done() and world.launcher.stopped == []
    await world.healthy(new)
    assert await answer(reload) is True
    assert world.launcher.retired == [idle, busy]
    assert {(await world.seat()).worker for _ in range(4)} == {new}
    await world.balancer.release(seats[1])
    assert world.launcher.stopped == []
    await world.balancer.release(seats[2])
    assert world.launcher.stopped == [busy]


async def test_a_strict_wish_for_an_outdated_worker_waits_and_is_told_when_it_ends():
    world = balanced_world()
    (old,) = await world.up()
    seat = await world.seat()
    reload = await started(world.balancer.workforce.reload())
    await world.healthy(world.coming[-1])
    assert await answer(reload) is True
    task = await world.ask(f"strict {old}")
    assert not task.done() or task.exception() is not None
    await world.balancer.release(seat)
    await turns()
    assert isinstance(task.exception(), AffinityGone)


async def test_while_new_code_is_broken_the_old_worker_goes_on():
    world = balanced_world()
    (old,) = await world.up()
    reload = await started(world.balancer.workforce.reload())
    await world.balancer.worker_broken(world.coming[0], "SyntaxError")
    assert await answer(reload) is False
    await world.advance(600_000)
    assert (await world.seat()).worker == old


async def test_a_worker_that_was_ill_during_a_reload_does_not_come_back_with_old_code():
    world = balanced_world()
    (old,) = await world.up()
    reload = await started(world.balancer.workforce.reload())
    await world.balancer.worker_ill(old, "its health check fails")
    await world.healthy(world.coming[0])
    assert await answer(reload) is True
    await world.healthy(old)
    assert old not in {(await world.seat()).worker for _ in range(4)}


# Counters and limits


async def test_the_counters_follow_a_worker_from_its_start_to_its_end():
    world = balanced_world(workers_max=1)
    task = await world.ask()
    (worker,) = world.launcher.started
    assert await world.counters() == "initializing 1"
    world.balancer.worker_starting(worker)
    assert await world.counters() == "running 1", "up and not healthy, as was observed"
    await world.healthy(worker)
    seat = await world.seated(task)
    assert await world.counters() == "ready 1, running 1"
    await world.balancer.release(seat)
    assert await world.counters() == "idle 1, ready 1"
    health = await world.balancer.health()
    assert (health.queued, health.running, health.completed, health.failed, health.retried) == (0, 0, 0, 0, 0)
    await world.balancer.worker_gone(worker)
    assert await world.counters() == ""


async def test_a_place_is_shared_with_other_endpoints():
    world = balanced_world(limit=1)
    other = balanced_world("other", beside=world)
    (mine,) = await world.up()
    seat = await world.seat()
    task = await other.ask()
    assert other.launcher.started == [] and await other.counters() == "throttled 1"
    await world.balancer.release(seat)
    assert world.launcher.stopped == [mine]
    assert len(other.launcher.started) == 1
    await other.healthy(other.launcher.started[0])
    await other.seated(task)


async def test_an_endpoint_that_is_taken_away_gives_its_places_back():
    world = balanced_world(limit=1, workers_min=1)
    await world.up()
    await world.emulator.endpoints.remove("lb")
    other = balanced_world("other", beside=world)
    await other.ask()
    assert len(other.launcher.started) == 1
