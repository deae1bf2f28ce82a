"""Places for processes: who gets one, who waits, who gives way."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.fleet.worker import WorkerState
from runpod_emulator.core.jobs.job import Completed
from runpod_emulator.core.time.waiting import Caller

from tests.core.endpoint.test_endpoint_health import counters
from tests.core.steps import answer, beside, started, take_now, turns, world_with
from tests.worlds import TestWorld

JOB = Submission(b'{"a":1}')


class Owner:
    """Somebody whose workers want places, or who may make room by `give_way`."""

    def __init__(self, give_way: Callable[[], bool] = lambda: False) -> None:
        self.give_way = give_way


class Places:
    """A capacity, and who was granted a place in which order."""

    def __init__(self, limit: int | None) -> None:
        self.capacity = Capacity(limit)
        self.owner = Owner()
        self.granted: list[str] = []

    def claim(self, *workers: str) -> None:
        for worker in workers:
            self.capacity.claim(worker, self.owner, lambda worker=worker: self.granted.append(worker))


def contended(capacity: Capacity) -> bool:
    """Whether anybody waits for a place."""
    return capacity.wanted_by_others(Owner())


def test_without_a_limit_everyone_has_a_place_at_once():
    it = Places(None)
    it.claim(*"abcdefgh")
    assert it.granted == list("abcdefgh")
    assert not contended(it.capacity)


def test_within_the_limit_there_is_a_place_at_once_and_then_no_more():
    it = Places(2)
    it.claim("a", "b")
    assert (it.granted, contended(it.capacity)) == (["a", "b"], False)
    it.claim("c")
    assert (it.granted, contended(it.capacity)) == (["a", "b"], True)


def test_a_place_that_becomes_free_goes_to_who_has_waited_longest():
    it = Places(1)
    it.claim("a", "b", "c", "d")
    for worker in "abc":
        it.capacity.release(worker, it.owner)
    assert it.granted == ["a", "b", "c", "d"]
    assert not contended(it.capacity)


def test_who_waits_no_more_is_passed_over():
    it = Places(1)
    it.claim("a", "b", "c")
    it.capacity.release("b", it.owner)
    assert it.granted == ["a"], "it held no place that it could leave"
    it.capacity.release("a", it.owner)
    assert it.granted == ["a", "c"]


def test_a_place_is_left_only_once():
    it = Places(1)
    it.claim("a", "b", "c")
    it.capacity.release("a", it.owner)
    it.capacity.release("a", it.owner)
    it.capacity.release("stranger", it.owner)
    assert it.granted == ["a", "b"]


def test_who_leaves_while_the_place_is_granted_passes_it_on():
    it = Places(1)
    it.claim("a")
    it.capacity.claim("b", it.owner, lambda: it.capacity.release("b", it.owner))
    it.claim("c", "d")
    it.capacity.release("a", it.owner)
    assert it.granted == ["a", "c"]


def test_nobody_is_asked_to_give_way_while_there_is_room():
    it = Places(2)
    asked: list[str] = []
    it.capacity.lend(Owner(lambda: bool(asked.append("asked"))))
    it.claim("a", "b")
    assert asked == []
    it.claim("c")
    assert asked == ["asked"]


def test_of_several_one_gives_way():
    it = Places(3)
    asked: list[str] = []

    def lender(name: str, answer: bool) -> None:
        it.capacity.lend(Owner(lambda: (asked.append(name), answer)[1]))

    it.claim("a", "b", "c")
    lender("first", False)
    lender("second", True)
    lender("third", True)
    it.claim("d")
    assert asked == ["first", "second"]


def test_a_place_that_somebody_gave_up_goes_to_who_has_waited_longest():
    it = Places(2)
    it.claim("a", "b", "c")
    it.capacity.lend(Owner(lambda: (it.capacity.release("a", it.owner), True)[1]))
    it.claim("d")
    assert it.granted == ["a", "b", "c"]
    assert contended(it.capacity)


def test_nobody_gives_way_to_its_own():
    it = Places(1)
    asked: list[str] = []
    it.owner.give_way = lambda: bool(asked.append("asked"))
    it.capacity.lend(it.owner)
    it.claim("a", "b")
    assert asked == []
    assert not it.capacity.wanted_by_others(it.owner)


def test_a_place_can_be_seized_above_the_limit():
    it = Places(1)
    it.claim("a")
    it.capacity.seize("b", it.owner)
    it.claim("c")
    it.capacity.release("a", it.owner)
    assert it.granted == ["a"]
    it.capacity.release("b", it.owner)
    assert it.granted == ["a", "c"]


@settings(derandomize=True, database=None, deadline=None)
@given(st.integers(0, 4), st.lists(st.tuples(st.sampled_from(["claim", "release"]), st.integers(0, 30)), max_size=80))
def test_places_behave_like_a_queue_before_a_counter(limit: int, actions: list[tuple[str, int]]):
    it = Places(limit)
    known: list[str] = []
    waiting: list[str] = []
    holding: list[str] = []
    granted: list[str] = []
    for number, (action, pick) in enumerate(actions):
        if action == "claim":
            known.append(f"w{number}")
            waiting.append(f"w{number}")
            it.claim(f"w{number}")
        elif known:
            worker = known[pick % len(known)]
            for workers in (waiting, holding):
                if worker in workers:
                    workers.remove(worker)
            it.capacity.release(worker, it.owner)
        while waiting and len(holding) < limit:
            granted.append(waiting[0])
            holding.append(waiting.pop(0))
        assert it.granted == granted
        assert contended(it.capacity) == bool(waiting)


# Between two endpoints


async def busy(world: TestWorld) -> tuple[str, str]:
    """A worker more and the job that it runs."""
    worker, job = await world.running()
    return worker, job.id


async def completed(world: TestWorld, job: str) -> None:
    assert await world.endpoint.work.report(job, Completed(1))


async def test_a_worker_without_room_is_throttled_until_another_endpoints_worker_has_nothing_to_do():
    world = world_with(limit=2)
    other = beside(world)
    _, one = await busy(world)
    worker, _ = await busy(world)
    job = await other.endpoint.submit(JOB)
    await world.advance(60_000)
    assert await counters(other) == "queued 1, throttled 1"
    assert await counters(world) == "running 2, running 2"
    assert other.launcher.started == []
    await completed(world, one)
    assert len(world.launcher.stopped) == 1 and worker not in world.launcher.stopped
    assert await counters(other) == "queued 1, initializing 1"
    (started,) = other.launcher.started
    await other.endpoint.work.worker_ready(started, 1)
    assert [job.id for job in await take_now(other, started)] == [job.id]
    assert await counters(world) == "running 1, completed 1, running 1"


async def test_a_worker_that_has_idled_gives_way_at_once():
    world = world_with(limit=1)
    other = beside(world)
    idle = await world.worker()
    await world.advance(1_000)
    await other.endpoint.submit(JOB)
    assert world.launcher.stopped == [idle]
    assert len(other.launcher.started) == 1


async def test_a_worker_with_a_next_job_does_not_give_way():
    world = world_with(limit=1)
    other = beside(world)
    worker, job = await busy(world)
    await other.endpoint.submit(JOB)
    for _ in range(5):
        next_job = (await world.endpoint.submit(JOB)).id
        await completed(world, job)
        await take_now(world, worker)
        job = next_job
        await world.advance(500)
    assert (world.launcher.stopped, other.launcher.started) == ([], [])
    await completed(world, job)
    assert (world.launcher.stopped, len(other.launcher.started)) == ([worker], 1)


async def test_a_worker_that_runs_a_job_never_gives_way():
    world = world_with(limit=1, execution_timeout=0)
    other = beside(world)
    await busy(world)
    await other.endpoint.submit(JOB)
    await world.advance(3_600_000)
    assert (world.launcher.stopped, other.launcher.started) == ([], [])


async def test_the_minimum_does_not_give_way_but_what_is_above_it_does():
    world = world_with(limit=2, workers_min=1)
    other = beside(world)
    first, second = await world.worker(), await world.worker()
    await world.advance(1_000)
    await other.endpoint.submit(JOB)
    await other.endpoint.submit(JOB)
    await world.advance(60_000)
    assert len(world.launcher.stopped) == 1 and set(world.launcher.stopped) <= {first, second}
    assert len(other.launcher.started) == 1
    assert await counters(other) == "queued 2, initializing 1, throttled 1"


async def test_a_worker_started_elsewhere_takes_no_place_and_gives_none():
    world = world_with(limit=1)
    other = beside(world)
    await world.endpoint.polling.take("elsewhere", 1, True, world.clock.now(), Caller())
    assert await counters(world) == "idle 1, ready 1"
    await other.endpoint.submit(JOB)
    assert len(other.launcher.started) == 1
    await other.endpoint.submit(JOB)
    await world.advance(1_000)
    assert (len(other.launcher.started), world.launcher.stopped) == (1, [])


async def test_places_go_to_endpoints_in_the_order_of_their_claims():
    world = world_with(limit=1)
    second, third = beside(world, "second"), beside(world, "third")
    holder, _ = await busy(world)
    await third.endpoint.submit(JOB)
    await second.endpoint.submit(JOB)
    await third.endpoint.submit(JOB)
    starts = []
    for leaving, gone in ((world, holder), (third, None), (second, None)):
        await leaving.endpoint.work.worker_gone(gone or leaving.launcher.started[-1])
        starts.append((len(third.launcher.started), len(second.launcher.started)))
    assert starts == [(1, 0), (1, 1), (2, 1)]


@pytest.mark.parametrize("way", ["gone", "broken", "dismissed"])
async def test_a_worker_that_waits_and_leaves_is_forgotten(way: str):
    world = world_with(limit=1)
    other = beside(world)
    holder, _ = await busy(world)
    await other.endpoint.submit(JOB)
    (waiting,) = other.endpoint.fleet.workers.values()
    assert contended(world.endpoint.shared.capacity)
    other.endpoint.autoscaler.stop()
    if way == "gone":
        await other.endpoint.work.worker_gone(waiting.id)
    elif way == "broken":
        await other.endpoint.work.worker_broken(waiting.id, "broken")
    else:
        other.endpoint.fleet.dismiss(waiting)
    assert not contended(world.endpoint.shared.capacity)
    await world.endpoint.work.worker_gone(holder)
    await world.advance(60_000)
    assert other.launcher.started == []


@pytest.mark.parametrize("way", ["gone", "broken", "idle", "dismissed", "overdue"])
async def test_a_holder_that_ends_in_any_way_leaves_its_place(way: str):
    world = world_with(limit=1, init_timeout=2_000, idle_timeout=7)
    other = beside(world)
    world.endpoint.autoscaler.start_one()
    (holder,) = world.launcher.started
    await other.endpoint.submit(JOB)
    assert other.launcher.started == []
    if way == "gone":
        await world.endpoint.work.worker_gone(holder)
    elif way == "broken":
        await world.endpoint.work.worker_broken(holder, "broken")
    elif way == "idle":
        await world.endpoint.work.worker_ready(holder, 1)
        await world.advance(7)
    elif way == "overdue":
        await world.advance(2_000)
    else:
        world.endpoint.fleet.dismiss(world.endpoint.fleet.workers[holder])
    assert len(other.launcher.started) == 1


async def test_an_outdated_worker_holds_its_place_until_it_is_gone():
    world = world_with(limit=2)
    other = beside(world)
    worker, _ = await busy(world)
    reload = await started(world.endpoint.workforce.reload())
    candidate = world.launcher.started[-1]
    await world.endpoint.submit(JOB)
    await world.endpoint.work.worker_ready(candidate, 1)
    await take_now(world, candidate)
    assert await answer(reload) is True
    assert (world.launcher.retired, world.launcher.stopped) == ([worker], [])
    await other.endpoint.submit(JOB)
    await world.advance(60_000)
    assert other.launcher.started == []
    await world.endpoint.work.worker_gone(worker)
    assert len(other.launcher.started) == 1


async def test_jobs_above_the_limit_come_to_run_one_after_the_other():
    world = world_with(limit=1)
    await world.worker()
    await world.advance(1_000)
    await world.endpoint.submit(JOB)
    await world.endpoint.submit(JOB)
    for _ in range(20):
        for worker in list(world.endpoint.fleet.workers.values()):
            if worker.is_coming_up and worker.id in world.launcher.started:
                await world.endpoint.work.worker_ready(worker.id, 1)
            if worker.state is WorkerState.IDLE and worker.id in world.endpoint.fleet.workers:
                for job in await take_now(world, worker.id):
                    await completed(world, job.id)
    assert (await world.endpoint.health()).completed == 2


async def test_a_warm_worker_does_not_end_for_a_cold_one_of_its_own_endpoint():
    world = world_with(limit=1)
    await world.endpoint.submit(JOB)
    await world.endpoint.submit(JOB)
    (worker,) = world.launcher.started
    await world.endpoint.work.worker_ready(worker, 1)
    for _ in range(2):
        (job,) = await take_now(world, worker)
        await completed(world, job.id)
    await world.advance(1_000)
    assert (world.launcher.started, world.launcher.stopped) == ([worker], [])


async def test_a_job_whose_worker_gave_way_gets_another_worker():
    world = world_with(limit=1)
    other = beside(world)
    await world.worker()
    await world.advance(1_000)
    await world.endpoint.submit(JOB)
    await other.endpoint.submit(JOB)
    await world.advance(1_000)
    health = await world.endpoint.health()
    assert health.queued == 1 and sum(health.workers) > 0


async def test_only_as_many_workers_give_way_as_are_wanted():
    world = world_with(limit=2)
    other = beside(world)
    (_, one), (_, two) = await busy(world), await busy(world)
    await other.endpoint.submit(JOB)
    await completed(world, one)
    await world.advance(10)
    await completed(world, two)
    await world.advance(1_000)
    assert (len(other.launcher.started), len(world.launcher.stopped)) == (1, 1)


async def test_the_minimum_does_not_give_way_because_another_worker_waits():
    world = world_with(limit=1, workers_min=1)
    other = beside(world)
    worker, first = await busy(world)
    second = await world.endpoint.submit(JOB)
    await other.endpoint.submit(JOB)
    assert await counters(world) == "queued 1, running 1, running 1, throttled 1"
    await completed(world, first)
    await take_now(world, worker)
    await completed(world, second.id)
    await world.advance(1_000)
    assert world.launcher.stopped == []


# Many random lives of two endpoints


@pytest.mark.parametrize("seed", range(12))
async def test_never_more_processes_than_the_limit_and_no_place_left_empty(seed: int):
    chance = random.Random(seed)
    limit = chance.randint(1, 4)
    world = world_with(limit=limit, workers_max=4, workers_min=chance.randint(0, 1), init_timeout=3_000)
    worlds = (world, beside(world, workers_max=4, scaler="QUEUE_DELAY", scaler_delay=300))
    ended: set[str] = set()
    most = granted = 0
    for _ in range(400):
        world = chance.choice(worlds)
        await random_step(world, chance, ended)
        launched = {worker for each in worlds for worker in each.launcher.started}
        ended.update(worker for each in worlds for worker in each.launcher.stopped)
        running = launched - ended
        assert len(running) <= limit
        waiting = [w for each in worlds for w in each.endpoint.fleet.workers.values() if w.state.value == "throttled"]
        assert not waiting or len(running) == limit, "somebody waits though there is room"
        most, granted = max(most, len(running)), len(launched)
    assert most == limit and granted > 8, "the walk was too tame to tell anything"


async def random_step(world: TestWorld, chance: random.Random, ended: set[str]) -> None:
    endpoint = world.endpoint
    workers = [w for w in endpoint.fleet.workers.values() if w.id in world.launcher.started and w.id not in ended]
    worker = chance.choice(workers) if workers else None
    step = chance.choice(("submit", "advance", "ready", "ready", "take", "report", "end"))
    if step == "submit":
        await endpoint.submit(JOB)
    elif step == "advance":
        await world.advance(chance.choice((10, 100, 1_000, 6_000)))
    elif worker is None:
        return
    elif worker.is_coming_up:
        if step == "ready":
            await endpoint.work.worker_ready(worker.id, chance.randint(1, 2))
        elif step == "end" and chance.random() < 0.3:
            ended.add(worker.id)
            await endpoint.work.worker_broken(worker.id, "broken")
    elif step == "take":
        await take_now(world, worker.id)
    elif step == "report":
        for job_id in sorted(worker.jobs):
            job = await endpoint.status(job_id)
            await endpoint.work.report(job_id, Completed(job.lease))
    elif step == "end" and chance.random() < 0.3:
        ended.add(worker.id)
        await endpoint.work.worker_gone(worker.id)
    await turns(1)
