"""Two ways in which time passes in a test, and neither is a timer.

``advanced``: a virtual clock is moved, deadline by deadline. ``frozen``: the system's
clock is frozen and ticked, the machine's ticks stand, no alarm ever rings, and the next verb must notice by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from runpod_emulator.core.platform import Profile
from runpod_emulator.core.time import clock as clock_module
from runpod_emulator.core.time.clock import RealClock, VirtualClock

from tests.worlds import TestWorld, make_world


class Passing:
    """Makes one world and lets time pass in it."""

    def __init__(self, frozen: Any = None) -> None:
        self._frozen = frozen
        self.clock = VirtualClock() if frozen is None else RealClock()
        self._world: TestWorld | None = None

    def world(self, profile: Profile = "observed", **options: Any) -> TestWorld:
        self._world = make_world(profile, clock=self.clock, **options)
        return self._world

    async def by(self, milliseconds: int) -> None:
        """Let time pass. Nothing has been called since, so a frozen world does not know yet."""
        if self._frozen is not None:
            self._frozen.shift(timedelta(milliseconds=milliseconds))
        elif self._world is not None:
            await self._world.advance(milliseconds)
        else:
            self.clock.move_to(self.clock.now() + milliseconds)


@pytest.fixture(params=["advanced", "frozen"])
def passing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Passing]:
    if request.param == "advanced":
        yield Passing()
        return
    monkeypatch.setattr(RealClock, "runs", False)  # so nobody sets an alarm
    monkeypatch.setattr(clock_module, "nanoticks", lambda: 5_000_000_000)
    with time_machine.travel(1_767_614_400, tick=False) as frozen:  # freezegun takes 20 ms for each
        yield Passing(frozen)
