"""What time it is, in whole milliseconds since the epoch. The only file that asks the system."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Protocol


class Clock(Protocol):
    """A source of the present time."""

    runs: bool
    """Whether time passes by itself, so that alarms are worth setting."""

    def now(self) -> int:
        """Milliseconds since the epoch; never less than what an earlier call answered."""
        ...

    def drift(self) -> int:
        """How much later than `now` it is by the clock on the wall, in ms: for stamps that people read."""
        ...


_STEP = 1_000
"""Milliseconds by which the time of day must have been set to be noticed; less may be how long it took to look."""


_FRAMES = 6
"""More than freezegun looks up the stack for a caller that is to have the genuine time, as `threading` is."""


def _time_of_day(frames: int = _FRAMES) -> int:
    """What `time` says, in ms; asked from below some frames of our own, or a loop in a thread would see two times."""
    return _time_of_day(frames - 1) if frames else (time.time_ns() + 500_000) // 1_000_000


class RealClock:
    """Time that runs evenly from the time of day at its start, however that is set later.

    A system clock that is put back holds nothing up, one that is put forward lets nothing expire,
    nor does a laptop's sleep. But where `time` itself was replaced, as freezegun does, time is what
    that says at each call: it may stand, and jump ahead; a step back is held until it has caught up.
    """

    runs = True

    def __init__(self) -> None:
        self._last = 0
        self._genuine: Callable[[], int] | None = None
        """`time.time_ns`, while time runs by itself; None while it is what that says. freezegun would find a global."""
        self._ticks: Callable[[], int] = int
        """Nanoseconds that never jump, and stand while the machine sleeps."""
        self._ahead = 0
        """Nanoseconds from the ticks to the present."""
        self._follows = "time_machine" in sys.modules
        """Whether `time` may be replaced where nobody sees it: time-machine does so below Python."""

    def now(self) -> int:
        """The present time."""
        if time.time_ns is not self._genuine:
            return self._look_up()
        return (self._ticks() + self._ahead) // 1_000_000

    def drift(self) -> int:
        """How much later it is by the system's clock, if that was set, or the machine slept, since this one began."""
        now = RealClock.now(self)
        drift = 0 if self._genuine is None else _time_of_day() - now
        return drift if abs(drift) >= _STEP else 0

    def _look_up(self) -> int:
        """What `time` says; where nobody has replaced it, time runs by itself from there."""
        if self._genuine is not None:
            self._last = (self._ticks() + self._ahead) // 1_000_000
        self._last = max(self._last, _time_of_day())
        if self._follows or type(time.time_ns) is not BuiltinFunctionType:
            self._genuine = None
        else:
            self._genuine, self._ticks = time.time_ns, time.monotonic_ns
            self._ahead = self._last * 1_000_000 - self._ticks()
        return self._last


class VirtualClock:
    """Time that stands still until it is moved."""

    runs = False

    def __init__(self, start: int = 1_700_000_000_000) -> None:
        self._now = start

    def now(self) -> int:
        """The time it was last moved to."""
        return self._now

    def drift(self) -> int:
        """None: there is no other clock."""
        return 0

    def move_to(self, at: int) -> None:
        """Move to `at`; a move backwards is ignored."""
        self._now = max(self._now, at)


class AutoClock(RealClock):
    """Real time that is moved ahead while somebody waits and nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0
        """Milliseconds that have been left out so far."""

    def now(self) -> int:
        """The present time, with all that was left out."""
        return super().now() + self.skipped

    def skip_to(self, at: int) -> None:
        """Leave out the time until `at`; a time that has passed is ignored."""
        self.skipped += max(0, at - self.now())


def ticks(genuine: Callable[[], float] = time.monotonic) -> float:
    """Seconds since some moment, on the machine's own clock also where `time` is replaced: for what the host holds."""
    return genuine()


def work_time() -> float:
    """Seconds since some moment: how long work takes that holds up the loop. No rule may look at it."""
    return time.perf_counter()


def cpu_time() -> float:
    """Seconds that this thread has worked: how long work takes, however busy the machine is. No rule may look at it."""
    return time.thread_time()


async def turn() -> None:
    """Let everything else that is ready run once."""
    await asyncio.sleep(0)


def pause(seconds: float) -> None:
    """Sleep in real time: for a command that waits for another process."""
    time.sleep(seconds)
