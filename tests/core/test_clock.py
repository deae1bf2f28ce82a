"""The two clocks."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
from freezegun import freeze_time

from emulator.core.clock import RealClock, VirtualClock


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
