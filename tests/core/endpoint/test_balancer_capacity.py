"""What a load-balanced worker takes at most: who waits, who goes to another, and who is dropped."""

from __future__ import annotations

import pytest
from runpod_emulator.core.balancer_errors import NoWorkerInTime, Overloaded

from tests.core.balanced import balanced_world


async def test_a_worker_takes_so_many_requests_and_no_more():
    world = balanced_world(worker_capacity=2, workers_max=2, scaler_requests=9)
    first, second = await world.up(2)
    seats = [await world.seat() for _ in range(4)]
    assert world.held == {first: 2, second: 2}
    with pytest.raises(Overloaded, match="no workers available"):
        await (await world.ask())
    await world.balancer.release(seats[1])
    assert (await world.seat()).worker == seats[1].worker


async def test_without_a_capacity_a_worker_takes_whatever_comes():
    world = balanced_world(workers_max=1)
    (worker,) = await world.up()
    for _ in range(100):
        await world.seat()
    assert world.held == {worker: 100}


@pytest.mark.parametrize("scaler_requests", [1, 9])
async def test_while_another_worker_may_come_a_request_waits_for_it(scaler_requests: int):
    """However many requests a worker is there for: one that waits always brings up another."""
    world = balanced_world(worker_capacity=1, workers_max=2, scaler_requests=scaler_requests)
    await world.up()
    await world.seat()
    task = await world.ask()
    assert not task.done() and len(world.coming) == 1
    (second,) = world.coming
    await world.healthy(second)
    assert (await world.seated(task)).worker == second


async def test_a_request_that_waits_takes_the_place_that_is_free_first():
    world = balanced_world(worker_capacity=1, workers_max=2)
    (first,) = await world.up()
    seat = await world.seat()
    tasks = [await world.ask() for _ in range(2)]
    await world.balancer.release(seat)
    assert (await world.seated(tasks[0])).worker == first
    assert not tasks[1].done()


async def test_of_those_who_wait_for_the_last_worker_it_takes_what_it_can_and_the_others_are_dropped():
    world = balanced_world(worker_capacity=2, workers_max=1)
    tasks = [await world.ask() for _ in range(3)]
    await world.healthy(world.launcher.started[0])
    assert {(await world.seated(task)).worker for task in tasks[:2]} == {world.launcher.started[0]}
    with pytest.raises(Overloaded):
        await tasks[2]


async def test_a_worker_that_fell_ill_leaves_hope_for_another():
    world = balanced_world(worker_capacity=1, workers_max=2)
    first, second = await world.up(2)
    await world.seat(first)
    await world.balancer.worker_ill(second, "its health check fails")
    task = await world.ask()
    assert not task.done()
    await world.healthy(second)
    assert (await world.seated(task)).worker == second


# Affinity


async def test_soft_affinity_falls_back_to_another_worker():
    world = balanced_world(worker_capacity=1, workers_max=2)
    first, second = await world.up(2)
    assert (await world.seat(first)).worker == first
    assert (await world.seat(first)).worker == second
    with pytest.raises(Overloaded):
        await (await world.ask(first))


@pytest.mark.parametrize("wish", ["strict", "strict-resume"])
async def test_strict_affinity_waits_for_its_worker(wish: str):
    world = balanced_world(worker_capacity=1, workers_max=2)
    first, _ = await world.up(2)
    seat = await world.seat(first)
    task = await world.ask(f"{wish} {first}")
    await world.advance(200_000)
    assert not task.done()
    await world.balancer.release(seat)
    assert (await world.seated(task)).worker == first


async def test_strict_affinity_waits_no_longer_than_it_may():
    world = balanced_world(worker_capacity=1, workers_max=1, balancer_strict_wait=9_000)
    (first,) = await world.up()
    await world.seat()
    task = await world.ask(f"strict {first}")
    await world.advance(8_999)
    assert not task.done()
    await world.advance(1)
    with pytest.raises(NoWorkerInTime):
        await task
    assert world.launcher.started == [first]


# Changes


async def test_a_capacity_that_is_raised_lets_in_who_waits():
    world = balanced_world(worker_capacity=1, workers_max=1)
    (first,) = await world.up()
    await world.seat()
    task = await world.ask(f"strict {first}")
    await world.emulator.endpoints.configure("lb", worker_capacity=2)
    assert (await world.seated(task)).worker == first


# WebSockets


@pytest.mark.parametrize("counts", [True, False])
async def test_a_websocket_needs_and_takes_a_place_only_if_it_counts(counts: bool):
    world = balanced_world(worker_capacity=1, workers_max=1)
    (first,) = await world.up()
    await world.seat(counts=counts)
    assert world.held == {first: int(counts)}
    if not counts:
        await world.seat()
    refused = (await world.ask(counts=counts)).exception()
    assert isinstance(refused, Overloaded) is counts
    assert world.held == {first: 1}


# The answer


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_what_a_dropped_request_is_answered_is_a_field(status: int):
    world = balanced_world(worker_capacity=1, workers_max=1, balancer_overload_status=status)
    await world.up()
    await world.seat()
    with pytest.raises(Overloaded) as dropped:
        await (await world.ask())
    assert (dropped.value.status, dropped.value.bare, dropped.value.row) == (status, True, "error.overloaded")
    assert world.balancer.platform.balancer_overload_status == status
