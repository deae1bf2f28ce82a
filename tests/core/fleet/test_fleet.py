"""The states of workers, what they hold, and how long they idle."""

from __future__ import annotations

import dataclasses

import pytest
from runpod_emulator.core.endpoint.workforce import follow
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.fleet.worker import WorkerState
from runpod_emulator.core.jobs.job import Cancelled, Completed, Forgotten, Progressed, Requeued, Taken, apply
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.timeline import Timeline

from tests.core.jobs.test_job import LEASE, QUEUED
from tests.core.passing_time import Passing
from tests.core.steps import finish
from tests.worlds import RecordingLauncher


class Owner:
    """Another endpoint's workers, none of which gives way."""

    def give_way(self) -> bool:
        return False


class Set:
    """A fleet, its launcher and its time."""

    def __init__(self, clock: object = None, limit: int | None = None, **settings: int) -> None:
        self.launcher = RecordingLauncher()
        self.line = Timeline(clock or VirtualClock())
        endpoint = dataclasses.replace(default_settings("ep", preset("observed")), **settings)
        self.capacity = Capacity(limit)
        self.fleet = Fleet(endpoint, self.line, self.launcher, self.capacity)

    def up(self, *workers: str, concurrency: int = 1) -> None:
        for worker in workers:
            self.fleet.start(worker)
            self.fleet.ready(worker, concurrency)

    def strangers_claim(self, worker: str) -> None:
        """A worker of another endpoint wants a place."""
        self.capacity.claim(worker, Owner(), lambda: None)

    @property
    def contended(self) -> bool:
        """Whether anybody waits for a place."""
        return self.capacity.wanted_by_others(Owner())

    def take(self, worker: str, job: str = "j1"):
        taken = apply(QUEUED._replace(id=job), Taken(worker), 2_000)
        follow(self.fleet, taken)
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
    assert (it.fleet.counts().running, it.fleet.free_slots) == (1, 0)
    for job in jobs[:3]:
        follow(it.fleet, apply(job, Completed(LEASE), it.line.now()))
    assert it.counted() == {"running": 1}
    follow(it.fleet, apply(jobs[3], Completed(LEASE), 3_000))
    assert it.counted() == {"idle": 1, "ready": 1}


@pytest.mark.parametrize("event", [Completed(LEASE), Cancelled(), Requeued(LEASE), Forgotten()])
def test_every_way_out_of_a_run_frees_the_worker(event):
    it = Set()
    it.up("w1")
    job = it.take("w1")
    follow(it.fleet, apply(job, Progressed(LEASE, b"1"), 3_000))
    assert it.fleet.free_slots == 0
    follow(it.fleet, apply(job, event, 3_000))
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
        assert not it.fleet.hindrance
        it.fleet.start(f"w{number}")
        waits.append(it.fleet.failed(f"w{number}", "broken"))
        await passing.by(waits[-1] - 1)
        assert it.fleet.hindrance
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
    assert not it.fleet.hindrance
    it.fleet.start("w2")
    assert it.fleet.hindrance
    it.fleet.forget("w2")
    assert not it.fleet.hindrance


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
    follow(it.fleet, apply(it.take("stranger"), Completed(LEASE), 3_000))
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
    follow(it.fleet, apply(job, Completed(LEASE), it.line.now()))
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
    follow(it.fleet, apply(job, Completed(LEASE), it.line.now()))
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
    follow(it.fleet, apply(it.take("w1"), Completed(LEASE), 3_000))
    await it.line.advance(it.line.now() + 60_000)
    assert it.launcher.stopped == []
    it.up("w2")
    job = it.take("w2")
    await it.line.advance(it.line.now() + 60_000)
    follow(it.fleet, apply(job, Completed(LEASE), it.line.now()))
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


def test_with_an_end_of_idling_in_sight_a_dismissed_worker_leaves_no_timer():
    it = Set()
    it.up("w1")
    it.fleet.dismiss(it.fleet.workers["w1"])
    assert it.launcher.stopped == ["w1"]
    assert it.counted() == {}
    assert finish(it.line.next_due()) is None


# Coming up


def test_a_worker_without_a_machine_is_throttled_and_counts_as_one_that_is_coming_up():
    it = Set(limit=0, workers_max=2)
    it.fleet.start("w1")
    assert it.counted() == {"throttled": 1}
    assert (it.fleet.alive, it.fleet.free_slots, not it.fleet.hindrance) == (1, 1, True)
    it.fleet.start("w2")
    assert it.counted() == {"throttled": 2}
    assert it.fleet.hindrance
    assert it.launcher.started == []


def test_a_worker_that_gets_its_machine_is_initializing():
    it = Set(limit=1)
    it.up("w1")
    it.take("w1")
    it.fleet.start("w2")
    assert it.counted() == {"running": 1, "throttled": 1}
    it.fleet.forget("w1")
    assert it.counted() == {"initializing": 1}
    assert it.launcher.started == ["w1", "w2"]


def test_a_throttled_worker_that_fails_is_unhealthy_like_any_other():
    it = Set(limit=0)
    it.fleet.start("w1")
    assert it.fleet.failed("w1", "no such module") == 1_000
    assert it.counted() == {"unhealthy": 1}
    assert not it.contended


def test_where_workers_are_started_elsewhere_none_may_start():
    it = Set(starts_workers=False)
    assert it.fleet.hindrance


# Outdated workers


def test_an_idle_worker_that_is_outdated_ends_at_once():
    it = Set()
    it.up("w1")
    it.fleet.outdate(it.fleet.workers["w1"])
    assert (it.launcher.stopped, it.launcher.retired) == (["w1"], [])
    assert it.counted() == {}


def test_a_busy_worker_that_is_outdated_is_retired_once_and_counts_as_running():
    it = Set()
    it.up("w1")
    it.take("w1")
    for _ in range(2):
        it.fleet.outdate(it.fleet.workers["w1"])
    assert (it.launcher.stopped, it.launcher.retired) == ([], ["w1"])
    assert it.counted() == {"running": 1}
    assert it.fleet.counts().running == 1


def test_an_outdated_worker_has_no_slot_and_leaves_its_place_within_the_maximum():
    it = Set(workers_max=1)
    it.up("w1", concurrency=4)
    it.take("w1")
    assert (it.fleet.free_slots, it.fleet.alive, not it.fleet.hindrance) == (3, 1, False)
    it.fleet.outdate(it.fleet.workers["w1"])
    assert (it.fleet.free_slots, it.fleet.alive, not it.fleet.hindrance) == (0, 0, True)
    it.fleet.ready("w1", 8)
    assert it.fleet.free_slots == 0


def test_an_outdated_worker_still_tells_which_jobs_it_held():
    it = Set()
    it.up("w1", concurrency=2)
    job = it.take("w1", "j1")
    it.take("w1", "j2")
    it.fleet.outdate(it.fleet.workers["w1"])
    follow(it.fleet, apply(job, Completed(LEASE), it.line.now()))
    assert it.fleet.forget("w1") == {"j2"}


async def test_an_outdated_worker_does_not_stand_in_for_one_of_the_minimum():
    it = Set(workers_min=1)
    it.up("old", "new")
    job = it.take("old")
    it.fleet.outdate(it.fleet.workers["old"])
    follow(it.fleet, apply(job, Completed(LEASE), it.line.now()))
    await it.line.advance(it.line.now() + 60_000)
    assert "new" in it.fleet.workers and "new" not in it.launcher.stopped


# The last worker while newer code is broken


async def test_the_last_worker_is_kept_past_its_idle_timeout_where_one_is_kept():
    it = Set()
    it.fleet.keeps_last = True
    it.up("w1", "w2")
    await it.line.advance(it.line.now() + 600_000)
    assert it.launcher.stopped == ["w1"]
    assert it.fleet.hindrance


async def test_where_one_is_kept_the_minimum_is_kept_too():
    it = Set(workers_min=2)
    it.fleet.keeps_last = True
    it.up("w1", "w2", "w3")
    await it.line.advance(it.line.now() + 600_000)
    assert it.launcher.stopped == ["w1"]


def test_where_the_last_is_kept_another_may_start_only_when_there_is_none():
    it = Set(workers_max=3)
    it.fleet.keeps_last = True
    assert not it.fleet.hindrance
    it.fleet.start("w1")
    assert it.fleet.hindrance
    it.fleet.forget("w1")
    assert not it.fleet.hindrance
    it.fleet.keeps_last = False
    it.up("w2")
    assert not it.fleet.hindrance


def test_a_broken_worker_is_not_the_last_one():
    it = Set()
    it.fleet.keeps_last = True
    it.fleet.start("w1")
    it.fleet.failed("w1", "broken")
    finish(it.line.catch_up())
    it.line.clock.move_to(it.line.now() + 1_000)
    assert not it.fleet.hindrance


def test_a_maximum_of_zero_is_kept_as_well():
    it = Set(workers_max=0)
    it.fleet.keeps_last = True
    assert it.fleet.hindrance


# Giving way


def test_a_worker_with_nothing_to_do_gives_way_as_soon_as_its_job_has_ended():
    it = Set(limit=1)
    it.up("w1")
    job = it.take("w1")
    it.strangers_claim("theirs")
    assert it.launcher.stopped == []
    follow(it.fleet, apply(job, Completed(LEASE), it.line.now()))
    assert it.launcher.stopped == ["w1"]
    assert not it.contended


def test_no_worker_gives_way_while_jobs_wait():
    it = Set(limit=1)
    it.up("w1")
    it.fleet.queued = 1
    it.strangers_claim("theirs")
    assert it.launcher.stopped == []
    it.fleet.queued = 0
    it.fleet.make_room()
    assert it.launcher.stopped == ["w1"]


def test_one_worker_gives_way_for_one_that_waits():
    it = Set(limit=3)
    it.up("w1", "w2", "w3")
    finish(it.line.catch_up())
    it.line.clock.move_to(it.line.now() + 1_000)
    it.strangers_claim("theirs")
    assert len(it.launcher.stopped) == 1
    assert not it.contended


@pytest.mark.parametrize("state", ["initializing", "running", "unhealthy", "welcome"])
def test_only_an_idle_worker_of_ours_gives_way(state: str):
    it = Set(limit=1)
    if state == "welcome":
        it.fleet.welcome("w1")
        it.fleet.ready("w1", 1)
        it.fleet.start("w2")
    else:
        it.fleet.start("w1")
        if state == "running":
            it.fleet.ready("w1", 1)
            it.take("w1")
        elif state == "unhealthy":
            it.fleet.failed("w1", "broken")
            it.strangers_claim("elsewhere")
    it.strangers_claim("theirs")
    assert it.launcher.stopped == []
    assert it.contended


def test_the_kept_last_worker_does_not_give_way():
    it = Set(limit=1)
    it.fleet.keeps_last = True
    it.up("w1")
    it.line.clock.move_to(it.line.now() + 1_000)
    it.strangers_claim("theirs")
    assert (it.launcher.stopped, it.contended) == ([], True)


async def test_the_last_worker_that_is_kept_warm_stays_however_long_it_is_idle():
    it = Set(keeps_warm=True)
    it.up("w1", "w2")
    await it.line.advance(it.line.now() + 60_000)
    assert it.launcher.stopped == ["w1"]
    it.up("w3")
    await it.line.advance(it.line.now() + 60_000)
    assert it.counted() == {"idle": 1, "ready": 1}


async def test_a_worker_that_is_kept_warm_gives_way_to_another_endpoint():
    it = Set(keeps_warm=True, limit=1)
    it.up("w1")
    await it.line.advance(it.line.now() + 60_000)
    assert it.launcher.stopped == []
    it.strangers_claim("s1")
    assert it.launcher.stopped == ["w1"]
