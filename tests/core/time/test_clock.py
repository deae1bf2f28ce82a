"""The clocks: what the time of day does to them, and what a frozen `time` does."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from freezegun import freeze_time
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.time import clock as clock_module
from runpod_emulator.core.time.clock import AutoClock, RealClock, VirtualClock
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.waiting import Outcome, WaitingRoom
from runpod_emulator.doors.admin import shapes

from tests.tables import table
from tests.worlds import make_world


def test_the_real_clock_tells_whole_milliseconds_since_the_epoch():
    before = time.time()
    now = RealClock().now()
    assert isinstance(now, int)
    assert before * 1000 - 1 < now < time.time() * 1000 + 1


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes by the machine's own ticks."""
    monkeypatch.setattr(clock_module, "nanoticks", lambda: 5_000_000_000)


@pytest.mark.usefixtures("standing")
def test_the_real_clock_begins_at_the_frozen_time_and_is_moved_with_it():
    with freeze_time("2026-01-05 12:00:00.250") as frozen:
        clock = RealClock()
        assert clock.now() == clock.now() == 1_767_614_400_250
        frozen.tick(timedelta(milliseconds=1))
        assert clock.now() == 1_767_614_400_251
        frozen.move_to("2026-02-01")
        assert clock.now() == 1_769_904_000_000


@pytest.mark.usefixtures("standing")
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


@pytest.mark.usefixtures("standing")
def test_a_step_back_takes_no_time_back_and_holds_nothing_up():
    with freeze_time("2026-01-05 12:00:10") as frozen:
        clock = RealClock()
        latest = clock.now()
        frozen.move_to("2026-01-05 12:00:00")
        assert (clock.now() - latest, clock.drift()) == (0, -10_000)
        frozen.tick(0.002)
        assert (clock.now() - latest, clock.drift()) == (2, -10_000)
        frozen.tick(20)
        assert (clock.now() - latest, clock.drift()) == (20_002, -10_000)


@pytest.mark.parametrize("moment", ["2004-10-13 15:38:05.445", "2038-06-30 10:01:05.002"])
@pytest.mark.usefixtures("standing")
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


def test_a_virtual_clock_shows_a_saved_time_again_and_never_goes_back():
    clock = VirtualClock(500)
    clock.go_on(900)
    assert (clock.now(), clock.drift()) == (900, 0)
    clock.move_to(2_000)
    clock.go_on(1_200)
    assert (clock.now(), clock.now() + clock.drift()) == (2_000, 1_200)
    clock.move_to(2_100)
    assert clock.now() + clock.drift() == 1_300


@pytest.mark.usefixtures("standing")
def test_an_automatic_clock_leaves_out_what_it_has_left_out_before():
    clock = AutoClock()
    now = clock.now()
    clock.go_on(now + 5_000)
    assert (clock.now(), clock.skipped) == (now + 5_000, 5_000)
    clock.go_on(now)
    assert clock.now() == now + 5_000
    clock.restart()
    clock.go_on(now + 1_000)
    assert clock.now() + clock.drift() == now + 1_000


@pytest.mark.usefixtures("standing")
def test_a_real_clock_is_not_moved():
    clock = RealClock()
    now = clock.now()
    clock.go_on(now + 5_000)
    assert (clock.now(), clock.drift()) == (now, 0)


def test_alarms_are_worth_setting_only_where_time_runs():
    assert RealClock.runs and not VirtualClock.runs


# A system clock that is set


HOUR = 3_600_000


class System:
    """The machine's two clocks, in ms: the time of day, and the ticks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runs: bool = False) -> None:
        self.day = 1_800_000_000_000
        self._passed = 5_000
        self.eras: list[str] = []
        if not runs:
            monkeypatch.setattr(clock_module, "nanoticks", lambda: self._passed * 1_000_000)
        monkeypatch.setattr(clock_module, "_time_of_day", lambda: self.day * 1_000_000)
        monkeypatch.setitem(sys.modules, "time_machine", self)  # type: ignore[arg-type]

    @property
    def traveller_stack(self) -> list[str]:
        """What time-machine tells of its trips."""
        return self.eras

    def pass_by(self, milliseconds: int) -> None:
        """Let time pass."""
        self.day += milliseconds
        self._passed += milliseconds

    def stand(self, milliseconds: int) -> None:
        """Let time pass while the time of day stands."""
        self._passed += milliseconds


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


DAY = 24 * HOUR
TRIPS: dict[str, tuple[list[object], int]] = {
    "frozen, and it stands": ([("enter", 0), ("stand", 5_000)], 5_000),
    "a later time has come": ([("enter", DAY)], DAY),
    "an earlier one has not": ([("enter", -DAY), ("stand", 70)], 70),
    "its end is no leap": ([("enter", -DAY), ("stand", 70), ("leave", DAY), ("pass", 30)], 100),
    "its end takes nothing back": ([("enter", DAY), ("leave", -DAY), ("pass", 30)], DAY + 30),
    "moved on in the past": ([("enter", -DAY), ("stand", 9), ("set", HOUR)], HOUR + 9),
    "moved on after a while": ([("enter", 0), ("stand", 9_000), ("look", 0), ("set", 3_000)], 12_000),
    "moved back": ([("enter", 0), ("set", -HOUR), ("stand", 5), ("set", 5)], 10),
    "moved on by little": ([("enter", 0), *[("set", 1)] * 20], 20),
    "ticking": ([("enter", -DAY), *[("pass", 7)] * 20], 140),
    "nested, and its end": ([("enter", -DAY), ("enter", -DAY), ("stand", 4), ("leave", DAY), ("stand", 4)], 8),
    "nested, later": ([("enter", DAY), ("enter", DAY), ("leave", -DAY), ("leave", -DAY), ("pass", 1)], 2 * DAY + 1),
    "one after another": ([("enter", DAY), ("leave", -DAY), ("enter", HOUR), ("leave", -HOUR)], DAY + HOUR),
    "the system's clock is set": ([("set", HOUR), ("set", -3 * HOUR), ("pass", 5)], 5),
}
"""Steps in ms, and how much time has passed after them."""


@table("kind", [RealClock, AutoClock])
@table("trip", TRIPS)
def test_what_has_passed_while_time_is_replaced(monkeypatch: pytest.MonkeyPatch, kind: type[RealClock], trip: str):
    system = System(monkeypatch)
    clock = kind()
    start = latest = clock.now()
    steps, passed = TRIPS[trip]
    for step, by in steps:  # type: ignore[misc]
        if step in ("enter", "leave"):
            system.eras.append(f"{len(system.eras)} {by}") if step == "enter" else system.eras.pop()
        {"stand": system.stand, "pass": system.pass_by}.get(step, lambda by: setattr(system, "day", system.day + by))(
            by
        )
        assert clock.now() >= latest
        latest = clock.now()
        if system.eras and step != "stand":
            assert abs(latest + clock.drift() - system.day) <= 9_000
    assert latest - start == passed


@pytest.mark.parametrize(
    ("frozen_at", "during", "after"), [(DAY, DAY, DAY + 60_000), (-DAY, 100, 60_100), (30_000, 30_000, 90_000)]
)
def test_freezegun_is_noticed(monkeypatch: pytest.MonkeyPatch, frozen_at: int, during: int, after: int):
    genuine = clock_module._time_of_day
    system = System(monkeypatch)
    monkeypatch.delitem(sys.modules, "time_machine")
    clock = RealClock()
    start = clock.now()
    system.pass_by(100)
    moment = datetime.fromtimestamp((start + frozen_at) / 1000, timezone.utc)
    with freeze_time(moment), monkeypatch.context() as patch:
        patch.setattr(clock_module, "_time_of_day", genuine)
        assert clock.now() - start == during
        assert clock.now() + clock.drift() == start + frozen_at
    system.pass_by(60_000)
    assert clock.now() - start == after
    system.pass_by(50)
    assert (clock.now() - start, clock.drift()) == (after + 50, 100 + 60_000 - after if after > 60_100 else 0)


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


def test_a_library_that_is_loaded_beside_ours_has_the_frozen_dates_and_its_own_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its classes may inherit from dates as it is loaded."""
    text = "from datetime import date, datetime\nclass Day(date):\n    pass\ndef now():\n    return datetime.now()\n"
    (tmp_path / "shared_with_us.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with freeze_time("2019-01-01"):
        with clock_module.genuine_dates():
            library = importlib.import_module("shared_with_us")
        assert library.now() == datetime(2019, 1, 1)
        assert library.Day(2019, 1, 1).year == 2019
    assert library.now().year > 2019 and library.datetime is datetime
    del sys.modules["shared_with_us"]
