"""Whatever happens to a load-balancing endpoint, its counts stay true."""

from __future__ import annotations

import asyncio
import random

import pytest
from runpod_emulator.core.endpoint.balancer import Seat
from runpod_emulator.core.fleet.worker import WorkerState

from tests.core.balanced import BalancedWorld, balanced_world
from tests.core.steps import turns


@pytest.mark.parametrize("seed", range(30))
async def test_after_everything_is_released_nobody_holds_a_request(seed: int):
    chance = random.Random(seed)
    capacity = chance.choice((0, 0, 1, 2))
    world = balanced_world(
        idle_timeout=3_000, scaler_requests=chance.choice((1, 3)), limit=chance.choice((None, 2)),
        worker_capacity=capacity,
    )  # fmt: skip
    asked: list[asyncio.Task[Seat | None]] = []
    given: list[Seat] = []

    for _ in range(250):
        await _something(world, chance, asked, given)
        await turns(3)
        for task in [task for task in asked if task.done()]:
            asked.remove(task)
            if task.exception() is None and task.result() is not None:
                given.append(task.result())
            else:
                assert task.exception() is None or task.exception().status in (400, 404)
        workers = world.balancer.fleet.workers
        requests = {seat.request for seat in given if seat.request}
        assert {request for worker in workers.values() for request in worker.jobs} <= requests
        up = [one for one in workers.values() if one.state in (WorkerState.IDLE, WorkerState.RUNNING)]
        assert all((one.state is WorkerState.RUNNING) == bool(one.jobs) for one in up)
        assert sum(one.counts for one in workers.values()) <= 3
        assert not capacity or all(len(worker.jobs) <= capacity for worker in workers.values())
        assert 0 <= world.balancer._waiting <= len(asked)
        assert set(world.balancer._addresses) >= {one.id for one in up}

    for task in asked:
        world.callers[task].hang_up()
    await turns()
    for seat in [*given, *(task.result() for task in asked if not task.exception() and task.result())]:
        await world.balancer.release(seat)
    assert not any(world.held.values())
    assert world.balancer._waiting == 0 and world.emulator.timeline.running == 0


async def _something(
    world: BalancedWorld, chance: random.Random, asked: list[asyncio.Task[Seat | None]], given: list[Seat]
) -> None:
    balancer, workers = world.balancer, list(world.balancer.fleet.workers)
    known = chance.choice([*workers, *balancer._resting, "nobody"])
    match chance.choice(("ask", "ask", "strict", "leave", "end", "end", "end", "well", "well", "ill", "dead", "wait")):
        case "ask":
            asked.append(await world.ask(chance.choice(("", known)), chance.random() < 0.8))
        case "strict":
            asked.append(await world.ask(f"{chance.choice(('strict', 'strict-resume'))} {known}"))
        case "leave" if asked:
            world.callers[chance.choice(asked)].hang_up()
        case "end" if given:
            await balancer.release(given.pop(chance.randrange(len(given))))
        case "well" if known in balancer.fleet.workers:
            await _if_launched(world, known)
        case "ill":
            await balancer.worker_ill(known, "its health check fails")
        case "dead" if known in balancer.fleet.workers and known in world.launcher.started:
            coming = balancer.fleet.workers[known].is_coming_up
            await (balancer.worker_broken(known, "dead") if coming else balancer.worker_gone(known))
        case "wait":
            await world.advance(chance.choice((1, 500, 2_000, 130_000)))


async def _if_launched(world: BalancedWorld, worker: str) -> None:
    if world.balancer.fleet.workers[worker].state is not WorkerState.THROTTLED:
        world.balancer.worker_starting(worker)
        await world.healthy(worker)
