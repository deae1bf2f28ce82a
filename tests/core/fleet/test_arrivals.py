"""How workers come up: throttled, then cold, then in a process of their own that must be ready in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import Span, default_settings
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.timeline import Timeline

from tests.core.endpoint.test_endpoint_health import counters
from tests.core.passing_time import Passing
from tests.core.steps import beside, seen, take_now, world_with
from tests.worlds import RecordingLauncher, make_world

JOB = Submission(b'{"a":1}')


@dataclasses.dataclass
class TimingLauncher(RecordingLauncher):
    """A launcher that also remembers when."""

    line: Timeline | None = None
    times: dict[str, int] = dataclasses.field(default_factory=dict)

    def start(self, worker: str) -> None:
        super().start(worker)
        assert self.line is not None
        self.times[worker] = self.line.now()


class Arriving:
    """A fleet whose launcher knows when each worker was launched."""

    def __init__(
        self, endpoint: str = "ep", seed: int | None = 1, capacity: Capacity | None = None, **settings: object
    ) -> None:
        self.line = Timeline(VirtualClock(0))
        self.launcher = TimingLauncher(line=self.line)
        self.overdue: list[tuple[str, int]] = []
        self.fleet = Fleet(
            default_settings(endpoint, preset("observed"), **settings),
            self.line,
            self.launcher,
            capacity,
            lambda worker: self.overdue.append((worker.id, self.line.now())),
            seed,
        )

    def state(self, worker: str) -> str:
        return self.fleet.workers[worker].state.value

    async def delays(self, count: int = 20) -> list[int]:
        """How long each of `count` workers took from its first mention to its launch."""
        for number in range(count):
            self.fleet.start(f"w{number}")
        await self.line.advance(1_000_000)
        return [self.launcher.times[f"w{number}"] for number in range(count)]


# The steps


def test_without_simulation_a_worker_is_launched_at_once():
    it = Arriving()
    it.fleet.start("w1")
    assert it.launcher.times == {"w1": 0}
    assert it.state("w1") == "initializing"


async def test_a_worker_is_throttled_then_initializing_then_launched():
    it = Arriving(throttle=Span(1_500, 1_500), cold_start=Span(2_500, 2_500))
    it.fleet.start("w1")
    states = []
    for at in (0, 1_499, 1_500, 3_999, 4_000):
        await it.line.advance(at)
        states.append((at, it.state("w1"), bool(it.launcher.started)))
    assert states == [
        (0, "throttled", False),
        (1_499, "throttled", False),
        (1_500, "initializing", False),
        (3_999, "initializing", False),
        (4_000, "initializing", True),
    ]
    await it.line.advance(100_000)
    assert it.launcher.started == ["w1"]


async def test_a_cold_start_alone_is_initializing_from_the_first_moment():
    it = Arriving(cold_start=Span(10, 10))
    it.fleet.start("w1")
    assert (it.state("w1"), it.launcher.started) == ("initializing", [])
    await it.line.advance(10)
    assert it.launcher.times == {"w1": 10}


async def test_a_throttled_worker_without_a_cold_start_is_launched_with_its_machine():
    it = Arriving(throttle=Span(10, 10))
    it.fleet.start("w1")
    await it.line.advance(9)
    assert (it.state("w1"), it.launcher.started) == ("throttled", [])
    await it.line.advance(10)
    assert (it.state("w1"), it.launcher.times) == ("initializing", {"w1": 10})


def test_at_once_means_without_simulated_delays():
    it = Arriving(throttle=Span(10, 10), cold_start=Span(10, 10))
    it.fleet.start("w1", at_once=True)
    assert (it.state("w1"), it.launcher.times) == ("initializing", {"w1": 0})


async def test_at_once_still_waits_for_a_place():
    it = Arriving(capacity=Capacity(1), cold_start=Span(10, 10))
    it.fleet.start("w1", at_once=True)
    it.fleet.start("w2", at_once=True)
    assert (it.state("w2"), it.launcher.started) == ("throttled", ["w1"])
    await it.line.advance(7)
    it.fleet.forget("w1")
    assert it.launcher.times == {"w1": 0, "w2": 7}


async def test_a_worker_asks_for_a_place_when_the_throttling_ends_and_starts_cold_when_it_has_one():
    it = Arriving(capacity=Capacity(1), throttle=Span(10, 10), cold_start=Span(5, 5))
    it.fleet.start("first")
    await it.line.advance(1)
    it.fleet.start("second")
    await it.line.advance(100)
    assert (it.launcher.times, it.state("second")) == ({"first": 15}, "throttled")
    it.fleet.forget("first")
    assert it.state("second") == "initializing"
    await it.line.advance(200)
    assert it.launcher.times == {"first": 15, "second": 105}


ENDS: dict[str, Callable[[Fleet], object]] = {
    "dismiss": lambda fleet: fleet.dismiss(fleet.workers["w1"]),
    "forget": lambda fleet: fleet.forget("w1"),
    "failed": lambda fleet: fleet.failed("w1", "broken"),
}
"""How worker w1 can end."""


@pytest.mark.parametrize("at", [5, 15], ids=["throttled", "cold"])
@pytest.mark.parametrize("way", ENDS)
async def test_a_worker_that_ends_on_its_way_is_never_launched(at: int, way: str):
    it = Arriving(throttle=Span(10, 10), cold_start=Span(10, 10))
    it.fleet.start("w1")
    await it.line.advance(at)
    ENDS[way](it.fleet)
    assert await it.line.next_due() is None
    await it.line.advance(1_000)
    assert it.launcher.started == []


# Ranges and seeds

WIDE = Span(1_000, 500_000)


async def test_a_range_is_drawn_from_anew_for_each_worker_and_never_left():
    delays = await Arriving(cold_start=Span(5, 8)).delays(200)
    assert set(delays) == {5, 6, 7, 8}


async def test_a_range_may_begin_at_nothing():
    assert set(await Arriving(throttle=Span(0, 1)).delays(50)) == {0, 1}


async def test_the_same_seed_draws_the_same():
    for span in ({"cold_start": WIDE}, {"throttle": WIDE}):
        one, two = Arriving(**span), Arriving(**span)
        assert await one.delays() == await two.delays()


async def test_other_seeds_and_other_endpoints_draw_otherwise():
    draws = [
        await Arriving(cold_start=WIDE).delays(),
        await Arriving(cold_start=WIDE, seed=2).delays(),
        await Arriving(cold_start=WIDE, endpoint="other").delays(),
        await Arriving(throttle=WIDE).delays(),
        await Arriving(throttle=WIDE, seed=2).delays(),
        await Arriving(throttle=WIDE, endpoint="other").delays(),
    ]
    assert len(set(map(tuple, draws))) == len(draws)


async def test_without_a_seed_nobody_knows():
    one, two = Arriving(cold_start=WIDE, seed=None), Arriving(cold_start=WIDE, seed=None)
    assert await one.delays() != await two.delays()


async def test_the_seed_of_a_range_goes_before_the_servers():
    seeded = Span(*WIDE[:2], seed=7)
    draws = [
        await Arriving(cold_start=seeded, seed=1).delays(),
        await Arriving(cold_start=seeded, seed=2, endpoint="other").delays(),
        await Arriving(cold_start=seeded, seed=None).delays(),
    ]
    assert draws[0] == draws[1] == draws[2]
    assert draws[0] != await Arriving(cold_start=Span(*WIDE[:2], seed=8), seed=1).delays()


async def test_a_seed_of_zero_is_a_seed():
    one, two = (Arriving(cold_start=Span(*WIDE[:2], seed=0), seed=seed) for seed in (1, 2))
    assert await one.delays() == await two.delays()
    three, four = Arriving(cold_start=WIDE, seed=0), Arriving(cold_start=WIDE, seed=0)
    assert await three.delays() == await four.delays()


async def test_an_exact_span_draws_nothing():
    assert set(await Arriving(cold_start=Span(3, 3)).delays(5)) == {3}


# The time to be ready


async def test_a_worker_is_overdue_so_long_after_its_launch():
    it = Arriving(init_timeout=1_000)
    it.fleet.start("w1")
    await it.line.advance(999)
    assert it.overdue == []
    await it.line.advance(5_000)
    assert it.overdue == [("w1", 1_000)]


async def test_simulated_delays_are_not_part_of_the_time_to_be_ready():
    it = Arriving(init_timeout=1_000, throttle=Span(60_000, 60_000), cold_start=Span(30_000, 30_000))
    it.fleet.start("w1")
    await it.line.advance(200_000)
    assert it.overdue == [("w1", 91_000)]


async def test_the_wait_for_a_place_is_not_part_of_the_time_to_be_ready():
    it = Arriving(init_timeout=1_000, capacity=Capacity(1))
    it.fleet.start("w1")
    await it.line.advance(500)
    it.fleet.start("w2")
    await it.line.advance(900)
    it.fleet.forget("w1")
    await it.line.advance(100_000)
    assert it.overdue == [("w2", 1_900)]


async def test_a_worker_that_is_ready_in_time_is_never_overdue():
    it = Arriving(init_timeout=1_000)
    it.fleet.start("w1")
    await it.line.advance(999)
    it.fleet.ready("w1", 1)
    assert await it.line.next_due() == 999 + it.fleet.settings.idle_timeout
    await it.line.advance(5_000)
    assert it.overdue == []


@pytest.mark.parametrize("way", ENDS)
async def test_a_worker_that_ended_is_not_overdue(way: str):
    it = Arriving(init_timeout=1_000)
    it.fleet.start("w1")
    ENDS[way](it.fleet)
    assert await it.line.next_due() is None
    await it.line.advance(5_000)
    assert it.overdue == []


async def test_a_time_of_zero_is_for_ever():
    it = Arriving(init_timeout=0)
    it.fleet.start("w1")
    assert await it.line.next_due() is None
    await it.line.advance(10**9)
    assert it.overdue == []


# What clients see


async def test_a_jobs_delay_is_the_throttling_and_the_cold_start_and_the_start_itself(passing: Passing):
    simulated = {"throttle": Span(1_500, 1_500), "cold_start": Span(2_500, 2_500)}
    world = passing.world(settings=lambda settings: dataclasses.replace(settings, **simulated))
    job = await world.endpoint.submit(JOB)
    assert await counters(world) == "queued 1, throttled 1"
    await passing.by(1_499)
    assert await counters(world) == "queued 1, throttled 1"
    await passing.by(1)
    assert await counters(world) == "queued 1, initializing 1"
    await passing.by(2_499)
    assert await counters(world) == "queued 1, initializing 1"
    assert world.launcher.started == []
    await passing.by(1)
    assert await counters(world) == "queued 1, initializing 1"
    (worker,) = world.launcher.started
    await passing.by(250)
    await world.endpoint.work.worker_ready(worker, 1)
    assert await counters(world) == "queued 1, idle 1, ready 1"
    await take_now(world, worker)
    assert await counters(world) == "running 1, running 1"
    assert (await seen(world, job.id))["delayTime"] == 4_250


async def test_a_warm_worker_spares_the_next_job_the_delay():
    world = world_with(throttle=Span(1_500, 1_500), cold_start=Span(2_500, 2_500))
    worker = await world_up(world)
    job = await world.endpoint.submit(JOB)
    await take_now(world, worker)
    assert (await seen(world, job.id))["delayTime"] == 0
    await world.endpoint.submit(JOB)
    assert await counters(world) == "queued 1, running 1, running 1, throttled 1"


async def world_up(world):
    world.endpoint.autoscaler.start_one(at_once=True)
    (worker,) = world.launcher.started
    await world.endpoint.work.worker_ready(worker, 1)
    return worker


async def test_each_endpoint_of_an_emulator_has_its_own_delays():
    world = world_with(cold_start=Span(1_000, 1_000))
    other = beside(world, throttle=Span(300, 300))
    for each in (world, other):
        await each.endpoint.submit(JOB)
    assert (await counters(world), await counters(other)) == ("queued 1, initializing 1", "queued 1, throttled 1")
    await world.advance(300)
    assert (len(world.launcher.started), len(other.launcher.started)) == (0, 1)
    await world.advance(700)
    assert (len(world.launcher.started), len(other.launcher.started)) == (1, 1)


@pytest.mark.parametrize("end", ["cancel", "purge"])
async def test_a_worker_on_its_way_comes_up_even_when_its_job_is_gone(end: str):
    world = world_with(cold_start=Span(1_000, 1_000))
    job = await world.endpoint.submit(JOB)
    await (world.endpoint.purge() if end == "purge" else world.endpoint.cancel(job.id))
    await world.advance(1_000)
    assert len(world.launcher.started) == 1


async def test_the_seed_of_the_emulator_decides_when_workers_are_launched():
    async def launch() -> int:
        world = make_world(settings=lambda settings: dataclasses.replace(settings, cold_start=WIDE))
        begin = world.clock.now()
        await world.endpoint.submit(JOB)
        while not world.launcher.started:
            due = await world.emulator.timeline.next_due()
            await world.advance(due - world.clock.now())
        return world.clock.now() - begin

    assert await launch() == await launch()


async def test_no_worker_is_launched_once_the_server_is_stopping():
    world = world_with(cold_start=Span(1_000, 1_000))
    await world.endpoint.submit(JOB)

    async def close_slowly() -> None:
        await world.advance(1_000)

    world.launcher.close = close_slowly  # type: ignore[method-assign]
    await world.emulator.stop()
    assert world.launcher.started == []
