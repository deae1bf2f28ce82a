"""New code: one worker tries it, and only when that is up do the others end."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.fleet.release import Release
from runpod_emulator.core.jobs.job import Completed
from runpod_emulator.core.settings import Span

from tests.core.endpoint.test_endpoint_health import counters
from tests.core.steps import answer, beside, finish, started, take_now, turns, world_with
from tests.worlds import TestWorld

JOB = Submission(b'{"a":1}')


async def reload(world: TestWorld) -> tuple[asyncio.Task[bool | None], str]:
    """A reload that has begun, and the worker that tries the new code."""
    task = await started(world.endpoint.workforce.reload())
    (candidate,) = [worker.id for worker in world.endpoint.fleet.workers.values() if worker.is_coming_up]
    return task, candidate


async def minimum(world: TestWorld) -> list[str]:
    """The endpoint's least workers, all up."""
    await world.endpoint.work.worker_gone("nobody")
    for worker in world.launcher.started:
        await world.endpoint.work.worker_ready(worker, 1)
    return list(world.launcher.started)


async def broken(world: TestWorld) -> None:
    """A reload to code that cannot be started."""
    task, candidate = await reload(world)
    await world.endpoint.work.worker_broken(candidate, "SyntaxError")
    assert await answer(task) is False


# Good code


async def test_the_old_workers_stay_until_the_new_one_is_up():
    world = world_with()
    old = [await world.worker(), await world.worker()]
    task, candidate = await reload(world)
    assert candidate not in old
    await world.advance(1_000)
    assert await counters(world) == "idle 2, initializing 1, ready 2"
    assert (world.launcher.stopped, task.done()) == ([], False)
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert world.launcher.stopped == old
    assert list(world.endpoint.fleet.workers) == [candidate]


async def test_jobs_that_run_finish_on_the_old_code():
    world = world_with()
    worker, job = await world.running()
    idle = await world.worker()
    task, candidate = await reload(world)
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert (world.launcher.retired, world.launcher.stopped) == ([worker], [idle])
    assert await counters(world) == "running 1, idle 1, ready 1, running 1"
    assert world.endpoint.fleet.workers[worker].outdated
    assert await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    await world.endpoint.work.worker_gone(worker)
    assert await counters(world) == "completed 1, idle 1, ready 1"
    assert world.launcher.started == [worker, idle, candidate]


async def test_old_workers_serve_while_the_new_one_comes_up():
    world = world_with()
    worker = await world.worker()
    task, candidate = await reload(world)
    job = await world.endpoint.submit(JOB)
    assert [taken.id for taken in await take_now(world, worker)] == [job.id]
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert (world.launcher.retired, world.launcher.stopped) == ([worker], [])


async def test_an_outdated_worker_is_no_part_of_the_maximum_and_takes_no_share_of_the_jobs():
    world = world_with(workers_max=1)
    worker, _ = await world.running()
    task, candidate = await reload(world)
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    await world.endpoint.submit(JOB)
    await take_now(world, candidate)
    await world.endpoint.work.worker_gone(candidate)
    assert len(world.launcher.started) == 3, "the old one does not stand in for it"
    assert worker in world.endpoint.fleet.workers


async def test_a_job_whose_outdated_worker_is_lost_runs_on_the_new_code():
    world = world_with()
    worker, job = await world.running()
    task, candidate = await reload(world)
    await world.endpoint.work.worker_ready(candidate, 1)
    await answer(task)
    await world.endpoint.work.worker_gone(worker)
    (again,) = await take_now(world, candidate)
    assert (again.id, again.retries) == (job.id, 1)


async def test_an_outdated_worker_is_retired_once_whatever_reloads_follow():
    world = world_with()
    worker, _ = await world.running()
    for _ in range(3):
        task, candidate = await reload(world)
        await world.endpoint.work.worker_ready(candidate, 1)
        assert await answer(task) is True
    assert world.launcher.retired == [worker]
    assert world.launcher.stopped == world.launcher.started[1:-1]


async def test_workers_that_come_up_with_old_code_are_dismissed():
    world = world_with()
    await world.endpoint.submit(JOB)
    await world.endpoint.submit(JOB)
    coming = list(world.launcher.started)
    task, candidate = await reload(world)
    assert world.launcher.stopped == coming
    assert await counters(world) == "queued 2, initializing 1"
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert await counters(world) == "queued 2, idle 1, initializing 1, ready 1"


@pytest.mark.parametrize("at", [5, 15], ids=["throttled", "cold"])
async def test_workers_that_are_simulated_to_come_up_are_dismissed_as_well(at: int):
    world = world_with(throttle=Span(10, 10), cold_start=Span(10, 10))
    await world.endpoint.submit(JOB)
    await world.advance(at)
    _, candidate = await reload(world)
    assert world.launcher.started == [candidate], "and the new one comes up without simulated delays"
    await world.advance(1_000)
    assert world.launcher.started == [candidate]


async def test_new_code_is_tried_also_where_no_worker_is():
    world = world_with()
    task, candidate = await reload(world)
    assert world.launcher.started == [candidate]
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    await world.advance(5_000)
    assert world.launcher.stopped == [candidate], "it idles out like any other"


async def test_the_minimum_is_brought_up_with_the_new_code():
    world = world_with(workers_min=2)
    old = await minimum(world)
    task, candidate = await reload(world)
    assert len(world.launcher.started) == 3, "the others wait until the code is known to be good"
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert world.launcher.stopped == old
    assert await counters(world) == "idle 1, initializing 1, ready 1"


async def test_the_worker_that_tries_may_exceed_the_maximum():
    world = world_with(workers_max=1)
    await world.running()
    _, candidate = await reload(world)
    assert world.launcher.started[-1] == candidate
    await world.endpoint.submit(JOB)
    await world.endpoint.submit(JOB)
    assert len(world.launcher.started) == 2


async def test_while_new_code_is_tried_nobody_else_is_started():
    world = world_with()
    await reload(world)
    for _ in range(5):
        await world.endpoint.submit(JOB)
    await world.advance(60_000)
    assert len(world.launcher.started) == 1


async def test_after_good_code_as_many_come_as_jobs_want():
    world = world_with()
    _, candidate = await reload(world)
    for _ in range(5):
        await world.endpoint.submit(JOB)
    await world.endpoint.work.worker_ready(candidate, 1)
    assert len(world.launcher.started) == 3


async def test_a_worker_started_elsewhere_has_no_code_of_ours():
    world = world_with()
    world.endpoint.fleet.welcome("elsewhere")
    await world.endpoint.work.worker_ready("elsewhere", 1)
    task, candidate = await reload(world)
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert (world.launcher.stopped, world.launcher.retired) == ([], [])
    assert "elsewhere" in world.endpoint.fleet.workers


async def test_another_worker_that_is_ready_decides_nothing():
    world = world_with()
    worker = await world.worker()
    task, candidate = await reload(world)
    await world.endpoint.work.worker_ready(worker, 2)
    await turns()
    assert not task.done() and world.launcher.stopped == []
    await world.endpoint.work.worker_gone(worker)
    await turns()
    assert not task.done()
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True


async def test_a_reload_is_no_concern_of_other_endpoints():
    world = world_with()
    other = beside(world)
    theirs = await other.worker()
    task, candidate = await reload(world)
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert other.launcher.started == [theirs]
    assert other.launcher.stopped == []


async def test_new_code_is_tried_at_once_above_the_limit_of_processes_too():
    world = world_with(limit=1)
    old = await world.worker()
    task, candidate = await reload(world)
    assert (world.launcher.stopped, world.launcher.started) == ([], [old, candidate])
    await world.endpoint.work.worker_ready(candidate, 1)
    assert await answer(task) is True
    assert world.launcher.stopped == [old]


# Several reloads


async def test_newer_code_ends_the_try_of_older_code():
    world = world_with()
    old = await world.worker()
    first, one = await reload(world)
    second, two = await reload(world)
    assert await answer(first) is None
    assert world.launcher.stopped == [one]
    await world.endpoint.work.worker_gone(one)
    await turns()
    assert not second.done()
    await world.endpoint.work.worker_ready(two, 1)
    assert await answer(second) is True
    assert world.launcher.stopped == [one, old]


async def test_of_many_reloads_in_one_moment_only_the_last_learns_the_truth():
    world = world_with()
    tasks = [await started(world.endpoint.workforce.reload()) for _ in range(5)]
    assert world.launcher.stopped == world.launcher.started[:-1]
    await world.endpoint.work.worker_ready(world.launcher.started[-1], 1)
    assert [await answer(task) for task in tasks] == [None, None, None, None, True]


async def test_a_reload_after_one_that_is_over_leaves_that_ones_answer_alone():
    world = world_with()
    first, one = await reload(world)
    await world.endpoint.work.worker_ready(one, 1)
    second, two = await reload(world)
    assert await answer(first) is True
    await world.endpoint.work.worker_broken(two, "SyntaxError")
    assert await answer(second) is False
    assert list(world.endpoint.fleet.workers) == [one, two]


async def test_a_server_that_stops_leaves_the_question_open():
    world = world_with()
    task, _ = await reload(world)
    world.emulator.hang_up()
    assert await answer(task) is None


async def test_a_server_that_has_stopped_tries_nothing():
    world = world_with()
    world.endpoint.autoscaler.stop()
    assert finish(world.endpoint.workforce.reload()) is None
    assert world.launcher.started == []


def test_every_reload_is_answered_once():
    world = world_with()
    release = Release("ep", world.endpoint.fleet, world.endpoint.autoscaler)
    answers: list[tuple[str, bool | None]] = []
    for name in ("broken", "good", "passed over", "last"):
        release.begin(lambda good, name=name: answers.append((name, good)))
        candidate = world.launcher.started[-1]
        if name == "broken":
            release.failed(candidate)
            release.failed(candidate)
        elif name != "passed over":
            release.ready(candidate)
            release.ready(candidate)
            release.failed(candidate)
    assert answers == [("broken", False), ("good", True), ("passed over", None), ("last", True)]
