"""A maximum of workers that is lowered holds for all of them: at once, or when their jobs are over."""

from __future__ import annotations

import dataclasses

import pytest
from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Job

from tests.core.balanced import balanced_world
from tests.core.endpoint.test_scripts import Mock, after, output
from tests.core.fleet.test_fleet import Set
from tests.core.steps import answer, started, take_now, turns
from tests.worlds import TestWorld, make_world

JOB = Submission(b'{"a":1}')


async def two_busy() -> tuple[TestWorld, list[str], list[Job]]:
    """Two workers, each with a job."""
    world = make_world()
    workers = [await world.worker(), await world.worker()]
    jobs = [await world.endpoint.submit(JOB), await world.endpoint.submit(JOB)]
    for worker in workers:
        await world.take(worker)
    return world, workers, jobs


@pytest.mark.parametrize(
    ("most", "stopped", "retired"),
    [
        (4, [], []),
        (3, ["coming"], []),
        (2, ["coming", "idle"], []),
        (1, ["coming", "idle"], ["free slot"]),
    ],
)
def test_those_go_first_who_have_the_least_to_do(most: int, stopped: list[str], retired: list[str]):
    it = Set(workers_max=9)
    it.up("busy", "free slot", "idle")
    it.fleet.ready("free slot", 2)
    it.fleet.start("coming")
    it.take("busy", "j1")
    it.take("free slot", "j2")
    it.fleet.configure(dataclasses.replace(it.fleet.settings, workers_max=most))
    assert (it.launcher.stopped, it.launcher.retired) == (stopped, retired)
    assert it.fleet.alive == most
    assert it.fleet.hindrance


def test_a_busy_worker_that_asks_for_more_at_once_is_the_one_too_many():
    it = Set(workers_max=2)
    it.up("one", "other")
    it.take("one", "j1")
    it.take("other", "j2")
    it.fleet.configure(dataclasses.replace(it.fleet.settings, workers_max=1))
    assert it.launcher.retired == []  # neither could take anything
    it.fleet.ready("one", 2)
    it.fleet.ready("other", 2)
    assert it.launcher.retired == ["one"]
    assert it.fleet.free_slots == 1


def test_workers_from_elsewhere_and_ill_ones_do_not_count():
    it = Set(workers_max=9)
    it.up("ours", "ill")
    it.fleet.failed("ill", "broken")
    it.fleet.welcome("far")
    it.fleet.configure(dataclasses.replace(it.fleet.settings, workers_max=1))
    assert (it.launcher.stopped, it.fleet.alive) == ([], 1)


async def test_a_worker_that_tries_new_code_stays():
    world = make_world()
    old = await world.worker()
    reload = await started(world.endpoint.workforce.reload())
    await world.endpoint.configure(dataclasses.replace(world.endpoint.settings, workers_max=1))
    candidate = world.launcher.started[-1]
    assert list(world.endpoint.fleet.workers) == [old, candidate]
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(reload) is True


async def test_the_check_of_a_handler_ends_when_its_worker_is_one_too_many():
    world = make_world()
    check = await started(world.endpoint.workforce.first_worker())
    await world.endpoint.configure(dataclasses.replace(world.endpoint.settings, workers_max=0))
    await answer(check)


async def test_a_mock_worker_that_is_one_too_many_takes_no_job_more():
    mock = Mock()
    mock.play(output(before_end=after(1_000)))
    jobs = [await mock.submit() for _ in range(6)]
    await turns()
    await mock.emulator.endpoints.configure("ep", workers_max=1)
    assert mock.endpoint.fleet.counts().running == 3
    most = []
    for _ in range(4):
        await mock.advance(1_000)
        await turns()
        most.append(mock.endpoint.fleet.counts().running)
    assert most == [1, 1, 1, 0]
    workers = {(await mock.look(job)).worker for job in jobs}
    assert len(workers) == 3
    await mock.emulator.endpoints.configure("ep", workers_max=3)
    await mock.submit()
    await mock.advance(1_000)
    assert (await mock.endpoint.health()).completed == 7
    await mock.emulator.stop()


@pytest.mark.parametrize("held", [1, 2])
async def test_a_mock_worker_with_several_jobs_ends_them_all(held: int):
    mock = Mock(paused_endpoint="queue")
    await mock.emulator.endpoints.remove("ep")
    mock.endpoint = mock.emulator.endpoints.add_mock(
        dataclasses.replace(mock.endpoint.settings, workers_max=1), concurrency=2
    )
    mock.play(output(before_end=after(1_000)))
    for _ in range(held):
        await mock.submit()
        await turns()
    await mock.emulator.endpoints.configure("ep", workers_max=0)
    late = await mock.submit()
    await mock.advance(2_000)
    await turns()
    health = await mock.endpoint.health()
    assert (health.completed, health.queued, sum(health.workers)) == (held, 1, 0)
    assert await mock.seen(late) == "IN_QUEUE"
    await mock.emulator.stop()


async def test_a_server_that_is_one_too_many_gets_no_request_more_and_leaves_after_its_last():
    world = balanced_world(workers_max=2)
    await world.up(2)
    seats = [await world.seat(), await world.seat()]
    balancer: Balancer = world.balancer
    await balancer.configure(dataclasses.replace(balancer.settings, workers_max=1))
    assert (await world.seat()).worker == seats[0].worker
    assert world.launcher.stopped == []
    await balancer.release(seats[1])
    assert world.launcher.stopped == [seats[1].worker]


@pytest.mark.parametrize("first", [0, 1])
async def test_of_busy_workers_the_first_whose_job_ends_leaves_and_the_maximum_holds(first: int):
    """Chosen beforehand, one that works on would be there beside another that takes the next job."""
    world, workers, jobs = await two_busy()
    await world.endpoint.configure(dataclasses.replace(world.endpoint.settings, workers_max=1))
    assert (world.launcher.retired, world.launcher.stopped) == ([], [])
    waiting = await world.endpoint.submit(JOB)
    await world.endpoint.work.report(jobs[first].id, Completed(1))
    assert world.launcher.stopped == [workers[first]]
    assert world.endpoint.fleet.counts().running == world.endpoint.fleet.alive == 1
    await world.endpoint.work.report(jobs[1 - first].id, Completed(1))
    assert [job.id for job in await take_now(world, workers[1 - first])] == [waiting.id]
    assert len(world.launcher.started) == 2


async def test_with_a_maximum_of_zero_every_worker_leaves_after_its_job():
    world, workers, jobs = await two_busy()
    await world.endpoint.configure(dataclasses.replace(world.endpoint.settings, workers_max=0))
    for job in jobs:
        await world.endpoint.work.report(job.id, Completed(1))
    assert world.launcher.stopped == workers


async def test_a_worker_with_several_jobs_that_is_one_too_many_ends_them_all():
    world = make_world()
    workers = [await world.worker(2), await world.worker(2)]
    jobs = [await world.endpoint.submit(JOB) for _ in range(4)]
    for worker in workers:
        await take_now(world, worker, most=2)
    await world.endpoint.configure(dataclasses.replace(world.endpoint.settings, workers_max=1))
    await world.endpoint.work.report(jobs[0].id, Completed(1))
    assert (world.launcher.retired, world.launcher.stopped) == ([workers[0]], [])
    await world.endpoint.work.report(jobs[2].id, Completed(1))
    assert world.launcher.retired == [workers[0]]
    assert world.endpoint.fleet.alive == 1
