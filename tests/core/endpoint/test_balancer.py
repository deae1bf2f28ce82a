"""Which worker answers a load-balanced request, and how long the request waits for one."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.core.balancer_errors import AffinityGone, NoWorkerInTime, NoWorkers
from runpod_emulator.core.endpoint.balancer import Affinity, Seat, affinity_of
from runpod_emulator.core.time.waiting import Caller

from tests.core.balanced import balanced_world
from tests.core.steps import turns

# Choosing


async def test_a_request_goes_to_the_worker_with_the_fewest_in_flight():
    world = balanced_world()
    first, second, third = await world.up(3)
    seats = [await world.seat() for _ in range(7)]
    assert world.held == {first: 3, second: 2, third: 2}
    await world.balancer.release(seats[0])
    await world.balancer.release(seats[3])
    assert (await world.seat()).worker == first


async def test_equals_take_turns_though_each_request_ends_before_the_next():
    world = balanced_world()
    await world.up(3)
    chosen = []
    for _ in range(9):
        seat = await world.seat()
        await world.balancer.release(seat)
        chosen.append(seat.worker)
    assert len(set(chosen[:3])) == 3 and chosen == chosen[:3] * 3


async def test_the_seed_says_which_of_equals_begins():
    places = []
    for seed in range(10):
        world = balanced_world(seed=seed)
        workers = await world.up(3)
        places.append(workers.index((await world.seat()).worker))
    assert set(places) == {0, 1, 2}


async def test_a_seat_names_the_workers_address_and_a_request_of_its_own():
    world = balanced_world()
    await world.up()
    seats = [await world.seat() for _ in range(3)]
    assert {seat.address for seat in seats} == {f"http://{seats[0].worker}"}
    assert len({seat.request for seat in seats}) == 3 and all(seat.request for seat in seats)


async def test_a_seat_that_is_released_twice_frees_nothing_else():
    world = balanced_world()
    (worker,) = await world.up()
    seat, other = await world.seat(), await world.seat()
    for _ in range(2):
        await world.balancer.release(seat)
    assert world.held[worker] == 1
    await world.balancer.release(other)
    assert world.held[worker] == 0


# Waiting


async def test_a_request_brings_up_a_worker_and_waits_for_its_health():
    world = balanced_world()
    task = await world.ask()
    assert len(world.launcher.started) == 1 and not task.done()
    world.balancer.worker_starting(world.launcher.started[0])
    await world.advance(60_000)
    assert not task.done()
    await world.healthy(world.launcher.started[0])
    assert (await world.seated(task)).worker == world.launcher.started[0]
    assert len(world.launcher.started) == 1


@pytest.mark.parametrize("limit", [120_000, 7_000])
async def test_without_a_worker_in_time_the_request_is_refused(limit: int):
    world = balanced_world(balancer_wait=limit)
    task = await world.ask()
    await world.advance(limit - 1)
    assert not task.done()
    await world.advance(1)
    with pytest.raises(NoWorkerInTime, match="timed out waiting for worker"):
        await task
    assert NoWorkerInTime.status == 400


async def test_all_that_wait_are_let_in_by_the_first_worker():
    world = balanced_world(workers_max=1)
    tasks = [await world.ask() for _ in range(5)]
    await world.healthy(world.launcher.started[0])
    assert {(await world.seated(task)).worker for task in tasks} == {world.launcher.started[0]}
    assert world.held == {world.launcher.started[0]: 5}


async def test_with_no_workers_allowed_a_request_is_refused_at_once():
    world = balanced_world(workers_max=0)
    task = await world.ask()
    with pytest.raises(NoWorkers, match="no workers available"):
        await task
    assert world.launcher.started == []


async def test_a_caller_who_leaves_while_waiting_gets_no_seat_and_holds_none():
    world = balanced_world()
    task = await world.ask()
    world.callers[task].hang_up()
    await turns()
    assert await task is None
    await world.healthy(world.launcher.started[0])
    assert world.held == {world.launcher.started[0]: 0}
    assert world.balancer._waiting == 0


async def test_a_caller_who_left_before_he_asked_gets_no_seat():
    world = balanced_world()
    (worker,) = await world.up()
    caller = Caller()
    caller.hang_up()
    assert await world.balancer.admit(Affinity(), caller) is None
    assert world.held == {worker: 0}


async def test_a_worker_whose_only_caller_left_idles_out():
    world = balanced_world(idle_timeout=5_000)
    task = await world.ask()
    world.callers[task].hang_up()
    await turns()
    await world.healthy(world.launcher.started[0])
    await world.advance(5_000)
    assert world.launcher.stopped == world.launcher.started


async def test_the_end_of_the_server_ends_every_wait():
    world = balanced_world()
    task = await world.ask()
    world.emulator.hang_up()
    await turns()
    assert await task is None


# Affinity


@pytest.mark.parametrize(
    ("header", "affinity"),
    [
        ("", Affinity()),
        ("  ", Affinity()),
        ("w1", Affinity("w1")),
        ("strict w1", Affinity("w1", strict=True)),
        ("strict-resume w1", Affinity("w1", strict=True, resume=True)),
        ("  strict   w1 ", Affinity("w1", strict=True)),
        ("strict", Affinity("strict")),
    ],
)
def test_what_the_header_asks_for(header: str, affinity: Affinity):
    assert affinity_of(header) == affinity


async def test_a_preferred_worker_answers_even_if_it_has_more_to_do():
    world = balanced_world()
    first, _ = await world.up(2)
    assert [(await world.seat(first)).worker for _ in range(3)] == [first] * 3
    assert [(await world.seat(f"strict {first}")).worker for _ in range(2)] == [first] * 2


async def test_a_preferred_worker_that_is_not_there_is_no_reason_to_wait():
    world = balanced_world()
    first, _ = await world.up(2)
    assert (await world.seat("nobody")).worker == first
    other = balanced_world("other", beside=world)
    (theirs,) = await other.up()
    assert (await world.seat(theirs)).worker != theirs


@pytest.mark.parametrize("wish", ["strict nobody", "strict-resume nobody"])
async def test_a_strict_wish_for_a_worker_that_never_was_fails_at_once(wish: str):
    world = balanced_world()
    await world.up()
    task = await world.ask(wish)
    with pytest.raises(AffinityGone, match="affinity_worker_gone"):
        await task


@pytest.mark.parametrize("wish", ["strict", "strict-resume"])
async def test_a_worker_of_another_endpoint_never_matches(wish: str):
    world = balanced_world(idle_timeout=1_000)
    other = balanced_world("other", beside=world)
    await world.up()
    (theirs,) = await other.up()
    with pytest.raises(AffinityGone):
        await (await world.ask(f"{wish} {theirs}"))
    await world.advance(5_000)
    assert other.launcher.stopped == [theirs]
    with pytest.raises(AffinityGone):
        await (await world.ask(f"{wish} {theirs}"))


async def test_a_strict_wish_for_a_worker_that_comes_up_waits_up_to_five_minutes():
    world = balanced_world(init_timeout=0)
    waiting = await world.ask()
    (worker,) = world.launcher.started
    strict = await world.ask(f"strict {worker}")
    await world.advance(299_999)
    assert waiting.done() and not strict.done()
    await world.advance(1)
    with pytest.raises(NoWorkerInTime):
        await strict
    with pytest.raises(NoWorkerInTime):
        await waiting


async def test_a_strict_wish_is_met_once_the_worker_is_up_and_not_by_another():
    world = balanced_world()
    await world.ask()
    await world.ask()
    slow = world.launcher.started[0]
    strict = await world.ask(f"strict {slow}")
    fast = next(one for one in world.launcher.started if one != slow)
    await world.healthy(fast)
    await turns()
    assert not strict.done()
    await world.healthy(slow)
    assert (await world.seated(strict)).worker == slow


async def test_a_strict_wish_ends_when_its_worker_dies_meanwhile():
    world = balanced_world()
    await world.ask()
    (worker,) = world.launcher.started
    strict = await world.ask(f"strict {worker}")
    await world.balancer.worker_gone(worker)
    await turns()
    with pytest.raises(AffinityGone):
        await strict


async def test_a_scaled_down_worker_is_gone_for_strict_and_resumed_for_strict_resume():
    world = balanced_world(idle_timeout=5_000)
    (worker,) = await world.up()
    await world.advance(5_000)
    assert world.launcher.stopped == [worker]
    with pytest.raises(AffinityGone):
        await (await world.ask(f"strict {worker}"))
    started = len(world.launcher.started)
    resumed = await world.ask(f"strict-resume {worker}")
    assert world.launcher.started[started:] == [worker], "the same one again, and no other"
    again = await world.ask(f"strict {worker}")
    await world.healthy(worker, "http://elsewhere")
    for task in (resumed, again):
        seat = await world.seated(task)
        assert (seat.worker, seat.address) == (worker, "http://elsewhere")


async def test_a_worker_is_resumed_as_soon_as_there_is_a_place_for_it():
    world = balanced_world(idle_timeout=5_000, workers_max=1)
    (worker,) = await world.up()
    await world.advance(5_000)
    (other,) = await world.up()
    resumed = await world.ask(f"strict-resume {worker}")
    await world.advance(60_000)
    assert not resumed.done()
    await world.balancer.worker_gone(other)
    await turns()
    assert worker in world.coming
    await world.healthy(worker)
    assert (await world.seated(resumed)).worker == worker


async def test_a_resumed_worker_that_does_not_come_up_is_tried_again():
    world = balanced_world(idle_timeout=5_000, init_timeout=10_000)
    (worker,) = await world.up()
    await world.advance(5_000)
    resumed = await world.ask(f"strict-resume {worker}")
    await world.advance(60_000)
    assert world.launcher.started.count(worker) > 2
    assert not resumed.done()
    await world.healthy(worker)
    assert (await world.seated(resumed)).worker == worker


@pytest.mark.parametrize("wish", ["strict", "strict-resume"])
async def test_a_worker_that_died_is_gone_for_good(wish: str):
    world = balanced_world()
    worker, _ = await world.up(2)
    await world.balancer.worker_gone(worker)
    with pytest.raises(AffinityGone):
        await (await world.ask(f"{wish} {worker}"))


async def test_a_strict_wish_brings_up_no_other_worker():
    world = balanced_world(scaler_requests=1)
    first = await world.ask()
    (worker,) = world.launcher.started
    await world.ask(f"strict {worker}")
    await world.ask(f"strict {worker}")
    assert world.launcher.started == [worker]
    await world.healthy(worker)
    assert (await world.seated(first)).worker == worker


async def test_those_who_wait_are_refused_when_no_workers_are_allowed_any_more():
    world = balanced_world()
    task = await world.ask()
    await world.emulator.endpoints.configure("lb", workers_max=0)
    await turns()
    with pytest.raises(NoWorkers):
        await _at_once(task)


async def test_those_who_wait_are_let_go_when_the_endpoint_is_taken_away():
    world = balanced_world()
    task = await world.ask()
    await world.emulator.endpoints.remove("lb")
    await turns()
    assert task.done()


async def _at_once(task: asyncio.Task[Seat | None]) -> Seat | None:
    assert task.done(), "it still waits"
    return await task
