"""What time it is, in whole milliseconds since the epoch. The only file that asks the system."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A source of the present time."""

    runs: bool
    """Whether time passes by itself, so that alarms are worth setting."""

    def now(self) -> int:
        """Milliseconds since the epoch; never less than what an earlier call answered."""
        ...


class RealClock:
    """The system's time of day, looked up at each call, so that a frozen `time` freezes it as well."""

    runs = True

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """The present time; a step back of the system's clock is held until it has caught up."""
        present = (time.time_ns() + 500_000) // 1_000_000
        if present > self._last:
            self._last = present
        return self._last


class VirtualClock:
    """Time that stands still until it is moved."""

    runs = False

    def __init__(self, start: int = 1_700_000_000_000) -> None:
        self._now = start

    def now(self) -> int:
        """The time it was last moved to."""
        return self._now

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


def work_time() -> float:
    """Seconds since some moment: how long work takes that holds up the loop. No rule may look at it."""
    return time.perf_counter()


async def turn() -> None:
    """Let everything else that is ready run once."""
    await asyncio.sleep(0)


def pause(seconds: float) -> None:
    """Sleep in real time: for a command that waits for another process."""
    time.sleep(seconds)
