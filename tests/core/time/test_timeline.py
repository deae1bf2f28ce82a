"""One order of deadlines, three drivers of one `catch_up`."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

import pytest
import runpod_emulator.core.time.timeline
from freezegun import freeze_time
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.time import clock as clock_module
from runpod_emulator.core.time.clock import RealClock, VirtualClock
from runpod_emulator.core.time.timeline import BATCH, LONGEST_BATCH, Timeline

from tests.core.steps import finish, started, turns


def timeline(start: int = 1_000) -> tuple[Timeline, VirtualClock]:
    clock = VirtualClock(start)
    return Timeline(clock), clock


def noting(line: Timeline, notes: list[object], name: object = None) -> Callable[[], None]:
    """A callback that notes when it was called."""
    return lambda: notes.append(line.now() if name is None else (name, line.now()))


def test_timers_fire_in_order_and_each_at_its_own_time():
    line, clock = timeline()
    notes: list[object] = []
    for name, due in (("late", 3_000), ("soon", 1_001), ("tie one", 2_000), ("tie two", 2_000)):
        line.at(due, noting(line, notes, name))
    clock.move_to(2_500)
    finish(line.catch_up())
    assert notes == [("soon", 1_001), ("tie one", 2_000), ("tie two", 2_000)]
    assert line.now() == 2_500
    assert finish(line.next_due()) == 3_000


def test_a_timer_fires_at_its_very_millisecond_and_once():
    line, clock = timeline()
    notes: list[object] = []
    line.at(2_000, noting(line, notes))
    clock.move_to(1_999)
    finish(line.catch_up())
    assert notes == []
    clock.move_to(2_000)
    finish(line.catch_up())
    finish(line.catch_up())
    assert notes == [2_000]


def test_a_cancelled_timer_never_fires_and_cancelling_late_is_harmless():
    line, clock = timeline()
    notes: list[object] = []
    gone, fired = line.at(2_000, noting(line, notes, "gone")), line.at(2_000, noting(line, notes, "fired"))
    gone.cancel()
    gone.cancel()
    clock.move_to(9_000)
    finish(line.catch_up())
    fired.cancel()
    assert notes == [("fired", 2_000)]
    assert finish(line.next_due()) is None


def test_a_timer_may_set_another_that_is_due_as_well():
    line, clock = timeline()
    notes: list[object] = []
    line.at(2_000, lambda: line.at(line.now() + 500, noting(line, notes)))
    clock.move_to(5_000)
    finish(line.catch_up())
    assert notes == [2_500]


def test_a_timer_may_cancel_its_neighbour():
    line, clock = timeline()
    notes: list[object] = []
    line.at(2_000, lambda: neighbour.cancel())
    neighbour = line.at(2_000, noting(line, notes))
    clock.move_to(5_000)
    finish(line.catch_up())
    assert notes == []


def test_catching_up_inside_a_timer_does_nothing():
    line, clock = timeline()
    notes: list[object] = []
    line.at(2_000, lambda: finish(line.catch_up()))
    line.at(2_001, noting(line, notes))
    line.at(2_000, lambda: notes.append("still the first timer's turn"))
    clock.move_to(5_000)
    finish(line.catch_up())
    assert notes == ["still the first timer's turn", 2_001]


def test_a_timer_that_fails_is_logged_and_the_others_fire(caplog: pytest.LogCaptureFixture):
    line, clock = timeline()
    notes: list[object] = []
    line.at(2_000, lambda: 1 // 0)
    line.at(2_000, noting(line, notes))
    clock.move_to(2_000)
    with caplog.at_level(logging.ERROR, "runpod_emulator.timers"):
        finish(line.catch_up())
    assert notes == [2_000]
    assert "ZeroDivisionError" in caplog.text


async def test_after_a_batch_of_deadlines_the_loop_gets_its_turn_and_then_the_rest_fires():
    line, clock = timeline()
    notes: list[object] = []
    for _ in range(2 * BATCH + 5):
        line.at(2_000, noting(line, notes))
    clock.move_to(2_000)
    fired: list[int] = []
    catching_up = asyncio.ensure_future(line.catch_up())
    while not catching_up.done():
        await turns(1)
        fired.append(len(notes))
    assert fired[:3] == [BATCH, 2 * BATCH, 2 * BATCH + 5]
    assert line.now() == 2_000
    assert await line.next_due() is None


@pytest.mark.parametrize(("runs", "batches"), [(True, [3, 6, 8]), (False, [8, 8, 8])])
async def test_slow_deadlines_hold_up_the_loop_no_longer_than_they_must_where_time_runs(
    monkeypatch: pytest.MonkeyPatch, runs: bool, batches: list[int]
):
    work = itertools.count(step=0.4 * LONGEST_BATCH)
    monkeypatch.setattr(runpod_emulator.core.time.timeline, "work_time", lambda: next(work))
    line, clock = timeline()
    notes: list[object] = []
    for _ in range(8):
        line.at(2_000, noting(line, notes))
    clock.move_to(2_000)
    clock.runs = runs
    fired: list[int] = []
    catching_up = asyncio.ensure_future(line.catch_up())
    for _ in batches:
        await turns(1)
        fired.append(len(notes))
    await catching_up
    assert fired == batches


async def test_two_who_catch_up_at_once_fire_each_deadline_once():
    line, clock = timeline()
    notes: list[object] = []
    for number in range(3 * BATCH):
        line.at(2_000 + number, noting(line, notes))
    clock.move_to(9_000)
    await asyncio.gather(line.catch_up(), line.catch_up())
    assert notes == [2_000 + number for number in range(3 * BATCH)]


class JobDeadline:
    """One deadline of a job, that may be moved by what fires before it."""

    def __init__(self, due: int | None, notes: list[object]) -> None:
        self.due = due
        self.notes = notes

    async def first_due(self) -> tuple[int, str] | None:
        return None if self.due is None else (self.due, "job")

    async def expire_next(self, now: int) -> None:
        self.notes.append(("job", now))
        self.due = None


def test_jobs_and_timers_share_one_order():
    line, clock = timeline()
    notes: list[object] = []
    line.watch(JobDeadline(2_000, notes))
    line.expect(2_000)
    line.at(1_500, noting(line, notes, "before"))
    line.at(2_500, noting(line, notes, "after"))
    assert finish(line.next_due()) == 1_500
    clock.move_to(9_000)
    finish(line.catch_up())
    assert notes == [("before", 1_500), ("job", 2_000), ("after", 2_500)]


def test_a_timer_that_moves_a_jobs_deadline_away_saves_the_job():
    line, clock = timeline()
    notes: list[object] = []
    job = JobDeadline(2_000, notes)
    line.watch(job)
    line.expect(2_000)
    line.at(1_500, lambda: setattr(job, "due", 20_000))
    clock.move_to(9_000)
    finish(line.catch_up())
    assert notes == []
    assert finish(line.next_due()) == 20_000


async def test_advancing_stops_at_each_deadline_and_answers_them():
    line, clock = timeline()
    seen: list[int] = []
    for due in (4_000, 2_000, 9_000):
        line.at(due, lambda: seen.append(clock.now()))
    assert await line.advance(5_000) == [2_000, 4_000]
    assert seen == [2_000, 4_000]
    assert clock.now() == 5_000


async def test_advancing_into_the_past_changes_nothing():
    line, clock = timeline()
    with pytest.raises(ConfigurationError, match="a clock moves from now, 1000, up to"):
        await line.advance(10)
    assert clock.now() == 1_000


async def test_real_time_cannot_be_advanced():
    with pytest.raises(TypeError):
        await Timeline(RealClock()).advance(1)


async def test_time_stands_while_something_runs():
    line, clock = timeline()
    notes: list[object] = []
    line.at(2_000, noting(line, notes))
    with line.activity():
        line.begin()
        advancing = await started(line.advance(3_000))
        await turns()
        assert (clock.now(), notes) == (1_000, [])
        line.end()
        await turns()
        assert clock.now() == 1_000
    assert await advancing == [2_000]
    assert clock.now() == 3_000


async def test_time_waits_before_each_deadline_for_what_the_last_one_started():
    line, clock = timeline()
    notes: list[object] = []
    line.at(2_000, line.begin)
    line.at(3_000, noting(line, notes))
    advancing = await started(line.advance(4_000))
    await turns()
    assert (clock.now(), notes) == (2_000, [])
    line.end()
    assert await advancing == [2_000, 3_000]


async def test_an_activity_that_fails_is_over():
    line, _ = timeline()
    with pytest.raises(KeyError), line.activity():
        raise KeyError
    await line.settle()


async def test_everyone_who_waits_for_calm_gets_it():
    line, _ = timeline()
    line.begin()
    waits = [await started(line.settle()) for _ in range(3)]
    await turns()
    assert not any(wait.done() for wait in waits)
    line.end()
    await asyncio.gather(*waits)


# The alarm


class Alarms:
    """Records the loop's alarms instead of setting them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.delays: list[float] = []
        self.callback: Callable[[], None] = lambda: None
        self.cancelled = 0
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self._call_later)
        monkeypatch.setattr(clock_module, "nanoticks", lambda: 5_000_000_000)  # time runs by these where it is frozen

    def _call_later(self, delay: float, callback: Callable[[], None]) -> Alarms:
        self.delays.append(delay)
        self.callback = callback
        return self

    def cancel(self) -> None:
        self.cancelled += 1


async def test_the_alarm_is_set_for_the_earliest_deadline(monkeypatch: pytest.MonkeyPatch):
    with freeze_time("2026-01-05"):
        alarms = Alarms(monkeypatch)
        line = Timeline(RealClock())
        now = line.now()
        line.at(now + 5_000, lambda: None)
        line.at(now + 9_000, lambda: None)
        line.expect(now + 250)
        line.expect(None)
    assert alarms.delays == [5, 0.25]
    assert alarms.cancelled == 1


async def test_an_alarm_is_a_day_away_at_most_and_never_in_the_past(monkeypatch: pytest.MonkeyPatch):
    with freeze_time("2026-01-05"):
        alarms = Alarms(monkeypatch)
        line = Timeline(RealClock())
        line.expect(line.now() + 7 * 86_400_000)
        line.expect(line.now() - 1)
    assert alarms.delays == [86_400, 0]


async def test_the_alarm_catches_up_and_is_set_again(monkeypatch: pytest.MonkeyPatch):
    with freeze_time("2026-01-05") as frozen:
        alarms = Alarms(monkeypatch)
        line = Timeline(RealClock())
        start = line.now()
        notes: list[object] = []
        for due in (start + 1_000, start + 3_000):
            line.at(due, noting(line, notes))
        frozen.tick(1.5)
        alarms.callback()
        await turns()
        assert notes == [start + 1_000]
        assert alarms.delays == [1, 1.5]


async def test_an_alarm_that_rings_early_is_set_again(monkeypatch: pytest.MonkeyPatch):
    with freeze_time("2026-01-05") as frozen:
        alarms = Alarms(monkeypatch)
        line = Timeline(RealClock())
        notes: list[object] = []
        line.at(line.now() + 1_000, noting(line, notes))
        frozen.tick(0.5)
        alarms.callback()
        await turns()
        assert notes == []
        assert alarms.delays == [1, 0.5]


async def test_virtual_time_sets_no_alarm(monkeypatch: pytest.MonkeyPatch):
    alarms = Alarms(monkeypatch)
    line, _ = timeline()
    line.at(line.now() + 1_000, lambda: None)
    assert alarms.delays == []


async def test_a_closed_timeline_sets_no_alarm(monkeypatch: pytest.MonkeyPatch):
    alarms = Alarms(monkeypatch)
    line = Timeline(RealClock())
    line.at(line.now() + 60_000, lambda: None)
    line.close()
    line.at(line.now() + 1, lambda: None)
    assert (len(alarms.delays), alarms.cancelled) == (1, 1)


async def test_a_closed_timeline_sets_no_alarm_when_it_catches_up(monkeypatch: pytest.MonkeyPatch):
    alarms = Alarms(monkeypatch)
    line = Timeline(RealClock())
    line.at(line.now() + 60_000, lambda: None)
    line.close()
    await line.catch_up()
    assert len(alarms.delays) == 1
