"""The clocks: what the time of day does to them, and what a frozen `time` does."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from freezegun import freeze_time

from emulator.api.admin import shapes
from emulator.core import clock as clock_module
from emulator.core.clock import AutoClock, RealClock, VirtualClock
from emulator.core.endpoint import Submission
from emulator.core.timeline import Timeline
from emulator.core.waiting import Outcome, WaitingRoom
from tests.worlds import make_world


def test_the_real_clock_tells_whole_milliseconds_since_the_epoch():
    before = time.time()
    now = RealClock().now()
    assert isinstance(now, int)
    assert before * 1000 - 1 < now < time.time() * 1000 + 1


def test_the_real_clock_stands_where_time_is_frozen():
    with freeze_time("2026-01-05 12:00:00.250") as frozen:
        clock = RealClock()
        assert clock.now() == clock.now() == 1_767_614_400_250
        frozen.tick(timedelta(milliseconds=1))
        assert clock.now() == 1_767_614_400_251
        frozen.move_to("2026-02-01")
        assert clock.now() == 1_769_904_000_000


def test_a_thread_sees_the_frozen_time_too():
    """freezegun gives the genuine time to callers a few frames below `threading`: half the loop of a server was one."""
    with freeze_time("2020-01-01"):
        clock, seen = RealClock(), list[int]()
        for depth in range(8):

            def look(more: int = depth) -> None:
                seen.append(clock.now()) if not more else look(more - 1)

            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        assert seen == [1_577_836_800_000] * 8


def test_a_step_back_is_held_until_time_has_caught_up():
    with freeze_time("2026-01-05 12:00:10") as frozen:
        clock = RealClock()
        latest = clock.now()
        frozen.move_to("2026-01-05 12:00:00")
        assert clock.now() == latest
        frozen.tick(9.999)
        assert clock.now() == latest
        frozen.tick(0.002)
        assert clock.now() == latest + 1


@pytest.mark.parametrize("moment", ["2004-10-13 15:38:05.445", "2038-06-30 10:01:05.002"])
def test_no_millisecond_is_lost_on_the_way_from_a_float(moment: str):
    exact = (datetime.fromisoformat(moment) - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
    with freeze_time(moment):
        assert RealClock().now() == exact


def test_virtual_time_moves_only_when_told_and_never_back():
    clock = VirtualClock(500)
    assert clock.now() == clock.now() == 500
    clock.move_to(750)
    assert clock.now() == 750
    clock.move_to(600)
    assert clock.now() == 750


def test_alarms_are_worth_setting_only_where_time_runs():
    assert RealClock.runs and not VirtualClock.runs


# A system clock that is set


HOUR = 3_600_000


class System:
    """The machine's two clocks, in ms: the time of day, and the ticks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runs: bool = False) -> None:
        self.day = 1_800_000_000_000
        self._ticks = 5_000
        if not runs:
            monkeypatch.setattr(time, "monotonic_ns", lambda: self._ticks * 1_000_000)
        monkeypatch.setattr(clock_module, "_time_of_day", lambda: self.day)

    def pass_by(self, milliseconds: int) -> None:
        """Let time pass."""
        self.day += milliseconds
        self._ticks += milliseconds


@pytest.mark.parametrize("kind", [RealClock, AutoClock])
@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["back", "forward"])  # forward: also a machine that has slept
def test_time_runs_on_evenly_when_the_time_of_day_is_set(
    monkeypatch: pytest.MonkeyPatch, kind: type[RealClock], step: int
):
    system = System(monkeypatch)
    clock = kind()
    start = clock.now()
    assert (start, clock.drift()) == (system.day, 0)
    system.day += step
    assert (clock.now() - start, clock.drift()) == (0, step)
    system.pass_by(250)
    assert (clock.now() - start, clock.drift()) == (250, step)
    system.day -= step
    assert (clock.now() - start, clock.drift()) == (250, 0)


@pytest.mark.parametrize("step", [-999, 999])
def test_what_may_be_a_slow_look_is_no_drift(monkeypatch: pytest.MonkeyPatch, step: int):
    system = System(monkeypatch)
    clock = RealClock()
    clock.now()
    system.day += step
    assert clock.drift() == 0


@pytest.mark.parametrize(
    ("frozen_at", "during", "after"),
    [
        (86_400_000, 86_400_000, 86_400_000),  # ahead: what is due fires, and time runs on from there
        (-86_400_000, 100, 60_100),  # behind: time is held, and goes on with the time of day
        (30_000, 30_000, 60_100),
    ],
)
def test_a_freeze_is_followed_and_its_end_takes_no_time_back(
    monkeypatch: pytest.MonkeyPatch, frozen_at: int, during: int, after: int
):
    genuine = clock_module._time_of_day
    system = System(monkeypatch)
    clock = RealClock()
    start = clock.now()
    system.pass_by(100)
    moment = datetime.fromtimestamp((start + frozen_at) / 1000, timezone.utc)
    ticks = time.monotonic_ns
    with freeze_time(moment), monkeypatch.context() as patch:
        patch.setattr(clock_module, "_time_of_day", genuine)
        assert (clock.now() - start, clock.drift()) == (during, 0)
    monkeypatch.setattr(time, "monotonic_ns", ticks)  # its end has put the genuine one there
    system.pass_by(60_000)
    assert clock.now() - start == after
    system.pass_by(50)
    assert clock.now() - start == after + 50


def test_where_time_machine_may_move_the_time_of_day_that_is_followed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "time_machine", sys)
    system = System(monkeypatch)
    clock = RealClock()
    start = clock.now()
    system.day += HOUR
    assert (clock.now() - start, clock.drift()) == (HOUR, 0)


@pytest.mark.parametrize("step", [-HOUR, HOUR])
async def test_a_long_poll_lasts_as_long_as_it_should(monkeypatch: pytest.MonkeyPatch, step: int):
    system = System(monkeypatch, runs=True)
    line = Timeline(RealClock())
    room = WaitingRoom(line)
    wait = asyncio.ensure_future(room.wait("news", line.now() + 100))
    began = time.monotonic()
    await asyncio.sleep(0)
    system.day += step
    await line.present()
    assert await asyncio.wait_for(wait, 5) is Outcome.DEADLINE
    assert time.monotonic() - began >= 0.099
    line.close()


@pytest.mark.parametrize("step", [-HOUR, 0, HOUR])
async def test_an_execution_timeout_lasts_as_long_as_it_should(monkeypatch: pytest.MonkeyPatch, step: int):
    system = System(monkeypatch)
    world = make_world(clock=RealClock())
    _, job = await world.running(Submission(b"{}", execution_timeout=60_000))
    system.day += step
    for passing, status in ((59_999, "IN_PROGRESS"), (1, "FAILED")):
        system.pass_by(passing)
        found = await world.endpoint.status(job.id)
        assert found.status.value == status
    told = shapes.record(found, world.emulator.masks, world.emulator.timeline.drift())
    assert (told["endedAt"], told["endedAt"] - told["takenAt"]) == (system.day, 60_000)
    await world.emulator.stop()
