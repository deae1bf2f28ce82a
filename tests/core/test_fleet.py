"""The states of workers, what they hold, and how long they idle."""

from __future__ import annotations

import dataclasses

import pytest

from emulator.core.clock import VirtualClock
from emulator.core.fleet import Fleet, WorkerState
from emulator.core.job import Cancelled, Completed, Forgotten, Progressed, Requeued, Taken, apply
from emulator.core.platform import preset
from emulator.core.settings import default_settings
from emulator.core.timers import Timeline
from tests.core.passage import Passing
from tests.core.steps import finish
from tests.core.test_job import LEASE, QUEUED
from tests.worlds import RecordingLauncher


class Set:
    """A fleet, its launcher and its time."""

    def __init__(self, clock: object = None, **settings: int) -> None:
        self.launcher = RecordingLauncher()
        self.line = Timeline(clock or VirtualClock())
        endpoint = dataclasses.replace(default_settings("ep", preset("observed")), **settings)
        self.fleet = Fleet(endpoint, self.line, self.launcher)

    def up(self, *workers: str, concurrency: int = 1) -> None:
        for worker in workers:
            self.fleet.start(worker)
            self.fleet.ready(worker, concurrency)

    def take(self, worker: str, job: str = "j1"):
        taken = apply(QUEUED._replace(id=job), Taken(worker), 2_000)
        self.fleet.heard(taken)
        return taken.job

    def counted(self) -> dict[str, int]:
        """The counters that are not zero."""
        return {state: count for state, count in self.fleet.counts()._asdict().items() if count}


def test_a_worker_that_starts_is_initializing_until_it_is_up():
    it = Set()
    it.fleet.start("w1")
    assert it.launcher.started == ["w1"]
    assert it.counted() == {"initializing": 1}
    it.fleet.ready("w1", 1)
    assert it.counted() == {"idle": 1, "ready": 1}


def test_a_busy_worker_counts_as_running_only_whatever_it_holds():
    it = Set()
    it.up("w1", concurrency=4)
    jobs = [it.take("w1", f"j{number}") for number in range(4)]
    assert it.counted() == {"running": 1}
    assert (it.fleet.running, it.fleet.free_slots) == (1, 0)
    for job in jobs[:3]:
        it.fleet.heard(apply(job, Completed(LEASE), 3_000))
    assert it.counted() == {"running": 1}
    it.fleet.heard(apply(jobs[3], Completed(LEASE), 3_000))
    assert it.counted() == {"idle": 1, "ready": 1}


@pytest.mark.parametrize("event", [Completed(LEASE), Cancelled(), Requeued(LEASE), Forgotten()])
def test_every_way_out_of_a_run_frees_the_worker(event):
    it = Set()
    it.up("w1")
    job = it.take("w1")
    it.fleet.heard(apply(job, Progressed(LEASE, b"1"), 3_000))
    assert it.fleet.free_slots == 0
    it.fleet.heard(apply(job, event, 3_000))
    assert it.fleet.free_slots == 1
    assert it.fleet.workers["w1"].state is WorkerState.IDLE


def test_slots_count_those_of_workers_that_are_coming_up_but_not_of_broken_ones():
    it = Set()
    it.fleet.start("w1")
    assert it.fleet.free_slots == 1
    it.fleet.ready("w1", 3)
    it.fleet.start("w2")
    assert it.fleet.free_slots == 6, "the second one will be like the first"
    it.fleet.failed("w2", "no such module")
    assert (it.fleet.free_slots, it.fleet.alive) == (3, 1)


def test_a_worker_may_want_fewer_jobs_than_it_holds():
    it = Set()
    it.up("w1", concurrency=3)
    for number in range(3):
        it.take("w1", f"j{number}")
    it.fleet.ready("w1", 1)
    assert it.fleet.free_slots == 0
    assert it.counted() == {"running": 1}


def test_a_broken_worker_is_unhealthy_and_says_why_until_the_next_start():
    it = Set()
    it.fleet.start("w1")
    it.fleet.failed("w1", "no such module")
    assert it.counted() == {"unhealthy": 1}
    assert it.fleet.workers["w1"].reason == "no such module"
    it.fleet.start("w2")
    assert it.counted() == {"initializing": 1}


async def test_after_a_broken_start_nothing_starts_for_longer_and_longer(passing: Passing):
    it = Set(passing.clock)
    waits = []
    for number in range(8):
        assert it.fleet.may_start
        it.fleet.start(f"w{number}")
        waits.append(it.fleet.failed(f"w{number}", "broken"))
        await passing.by(waits[-1] - 1)
        assert not it.fleet.may_start
        await passing.by(1)
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]


def test_a_worker_that_is_up_ends_the_back_off():
    it = Set()
    it.fleet.start("w1")
    assert [it.fleet.failed("w1", "broken") for _ in range(3)] == [1_000, 2_000, 4_000]
    it.up("w2")
    it.fleet.start("w3")
    assert it.fleet.failed("w3", "broken") == 1_000


def test_the_maximum_counts_workers_that_are_up_or_coming_up():
    it = Set(workers_max=2)
    it.up("w1")
    assert it.fleet.may_start
    it.fleet.start("w2")
    assert not it.fleet.may_start
    it.fleet.forget("w2")
    assert it.fleet.may_start


def test_a_worker_that_is_gone_leaves_its_jobs():
    it = Set()
    it.up("w1", "w2", concurrency=2)
    it.take("w1", "j1")
    it.take("w1", "j2")
    it.take("w2", "j3")
    assert it.fleet.forget("w1") == {"j1", "j2"}
    assert it.fleet.forget("w1") == set()
    assert it.counted() == {"running": 1}


def test_a_job_that_was_dropped_frees_its_worker_at_once():
    it = Set()
    it.up("w1")
    it.take("w1", "j1")
    it.fleet.release("w1", "j1")
    it.fleet.release("nobody", "j1")
    assert it.counted() == {"idle": 1, "ready": 1}


def test_jobs_of_unknown_workers_are_no_concern():
    it = Set()
    it.up("w1")
    it.fleet.heard(apply(it.take("stranger"), Completed(LEASE), 3_000))
    it.fleet.ready("stranger", 5)
    assert it.counted() == {"idle": 1, "ready": 1}


# Idling


async def test_an_idle_worker_ends_after_the_idle_timeout(passing: Passing):
    it = Set(passing.clock)
    it.up("w1")
    await passing.by(4_999)
    await it.line.catch_up()
    assert it.launcher.stopped == []
    await passing.by(1)
    await it.line.catch_up()
    assert it.launcher.stopped == ["w1"]
    assert it.counted() == {}


async def test_a_job_starts_the_idle_time_anew(passing: Passing):
    it = Set(passing.clock)
    it.up("w1")
    await passing.by(4_000)
    await it.line.catch_up()
    job = it.take("w1")
    await passing.by(60_000)
    await it.line.catch_up()
    it.fleet.heard(apply(job, Completed(LEASE), 3_000))
    await passing.by(4_999)
    await it.line.catch_up()
    assert it.launcher.stopped == []
    await passing.by(1)
    await it.line.catch_up()
    assert it.launcher.stopped == ["w1"]


async def test_a_short_job_starts_the_idle_time_anew_as_well():
    it = Set()
    it.up("w1")
    await it.line.advance(it.line.now() + 4_000)
    job = it.take("w1")
    await it.line.advance(it.line.now() + 500)
    it.fleet.heard(apply(job, Completed(LEASE), 3_000))
    await it.line.advance(it.line.now() + 4_999)
    assert it.launcher.stopped == []
    await it.line.advance(it.line.now() + 1)
    assert it.launcher.stopped == ["w1"]


async def test_a_change_of_concurrency_does_not_prolong_the_idle_time():
    it = Set()
    it.up("w1")
    await it.line.advance(it.line.now() + 3_000)
    it.fleet.ready("w1", 4)
    await it.line.advance(it.line.now() + 2_000)
    assert it.launcher.stopped == ["w1"]


async def test_the_minimum_of_workers_is_kept(passing: Passing):
    it = Set(passing.clock, workers_min=1)
    it.up("w1", "w2", "w3")
    await passing.by(5_000)
    await it.line.catch_up()
    assert it.launcher.stopped == ["w1", "w2"]
    await passing.by(600_000)
    await it.line.catch_up()
    assert it.launcher.stopped == ["w1", "w2"]
    assert it.counted() == {"idle": 1, "ready": 1}


async def test_a_broken_worker_does_not_count_towards_the_minimum():
    it = Set(workers_min=1)
    it.up("w1")
    it.fleet.start("w2")
    it.fleet.failed("w2", "broken")
    await it.line.advance(it.line.now() + 60_000)
    assert it.launcher.stopped == []


async def test_a_second_idle_worker_beside_a_kept_one_is_superfluous():
    it = Set(workers_min=1)
    it.up("w1")
    await it.line.advance(it.line.now() + 12_000)
    it.up("w2")
    await it.line.advance(it.line.now() + 60_000)
    assert len(it.launcher.stopped) == 1
    assert it.counted() == {"idle": 1, "ready": 1}


async def test_a_kept_worker_that_has_worked_is_still_kept():
    it = Set(workers_min=1)
    it.up("w1")
    await it.line.advance(it.line.now() + 12_000)
    it.fleet.heard(apply(it.take("w1"), Completed(LEASE), 3_000))
    await it.line.advance(it.line.now() + 60_000)
    assert it.launcher.stopped == []
    it.up("w2")
    job = it.take("w2")
    await it.line.advance(it.line.now() + 60_000)
    it.fleet.heard(apply(job, Completed(LEASE), 3_000))
    await it.line.advance(it.line.now() + 60_000)
    assert it.counted() == {"idle": 1, "ready": 1}


async def test_a_worker_that_is_gone_idles_no_more():
    it = Set()
    it.up("w1")
    it.fleet.forget("w1")
    assert await it.line.next_due() is None


def test_an_idle_timeout_of_zero_does_not_spin():
    it = Set(workers_min=1, idle_timeout=0)
    it.up("w1")
    finish(it.line.catch_up())
    due = finish(it.line.next_due())
    assert due is None or due > it.line.now()
