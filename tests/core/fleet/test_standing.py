"""Why a worker is in its state, and why it has gone, in words."""

from __future__ import annotations

from runpod_emulator.core.fleet.standing import reason_of
from runpod_emulator.core.fleet.worker import WorkerChange
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.settings import Span

from tests.core.steps import beside, world_with
from tests.worlds import TestWorld, make_world


class Gone(Effect):
    """Writes down why workers go."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def worker_changed(self, change: WorkerChange) -> None:
        if change.state is None:
            self.reasons.append(change.reason)


def reasons(world: TestWorld) -> list[str]:
    fleet, now = world.endpoint.fleet, world.emulator.timeline.now()
    return [reason_of(worker, fleet, now) for worker in fleet.workers.values()]


async def test_each_step_of_a_worker_is_told():
    world = world_with(throttle=Span(2_000, 2_000), cold_start=Span(3_000, 3_000))
    fleet = world.endpoint.fleet
    fleet.start("w1")
    assert reasons(world) == ["waits for a machine, 2 s left (throttle)"]
    await world.advance(2_500)
    assert reasons(world) == ["its container starts, 2.5 s left (cold_start)"]
    await world.advance(2_500)
    assert reasons(world) == ["its program starts"]
    fleet.ready("w1", 2)
    assert reasons(world) == ["its idle timeout ends in 5 s (idle_timeout)"]
    fleet.give("w1", "j1")
    assert reasons(world) == ["1 of 2 slots in use"]
    fleet.fell_ill("w1", "no memory")
    assert reasons(world) == ["no memory"]
    fleet.ready("w1", 2)
    assert reasons(world) == ["1 of 2 slots in use"], "it is well again"
    arrival, now = fleet.arrivals.of("w1"), world.emulator.timeline.now()
    assert arrival is not None
    assert (arrival.wanted_at, arrival.container_at, arrival.program_at, arrival.ready_at) == (
        now - 5_000, now - 3_000, now, now,
    )  # fmt: skip


async def test_who_waits_for_a_process_and_who_stays():
    world = world_with(limit=1, workers_min=1)
    await world.worker()
    other = beside(world)
    other.endpoint.fleet.start("w2")
    await world.advance(world.endpoint.settings.idle_timeout)
    assert reasons(world) == ["stays: its idle timeout is over, and it is none too many"]
    assert reasons(other) == ["waits for one of the server's 1 processes (max_processes)"]
    world.endpoint.fleet.welcome("far")
    world.endpoint.fleet.ready("far", 1)
    assert reasons(world)[1] == "started elsewhere: it comes and goes by itself"


async def test_why_workers_have_gone():
    gone = Gone()
    world = make_world(effects=[gone])
    await world.worker()
    await world.advance(world.endpoint.settings.idle_timeout)
    await world.endpoint.work.worker_gone(await world.worker())
    await world.endpoint.work.worker_gone(await world.worker(), reason="it exited with code 3")
    ill = await world.worker()
    await world.advance(world.endpoint.fleet.fell_ill(ill, "no memory"))
    await world.worker()
    world.endpoint.workforce.cool_down()
    assert gone.reasons == [
        "idle for 5 s (idle_timeout)",
        "it ended by itself",
        "it exited with code 3",
        "no memory",
        "the next job is to see a cold start",
    ]
