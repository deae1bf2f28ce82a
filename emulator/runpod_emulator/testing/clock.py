"""The time of an emulator, as a test reads and moves it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.time.clock import AutoClock, RealClock, VirtualClock
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.values import bare, milliseconds
from runpod_emulator.world.standing import held_by

if TYPE_CHECKING:
    from runpod_emulator.testing.thread import Link
    from runpod_emulator.testing.written import Duration

_LONGEST = 1_000 * 366 * 86_400.0
"""Seconds: of all durations, as in `runpod_emulator.values`."""
_APART = 1_000
"""Milliseconds by which two real clocks differ that do not tell the same time."""
WEEK = 7 * 86_400.0


class Clock:
    """The time of an emulator. Only one that was made with clock="virtual" can be moved."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._shown() / 1000

    @property
    def is_true(self) -> bool:
        """Whether a clock that began now, frozen as `time` may be, would say the same but for what was left out."""
        clock = self._link.world.timeline.clock
        shown = RealClock.now(clock) + RealClock.drift(clock) if isinstance(clock, AutoClock) else self._shown()
        return abs(shown - RealClock().now()) < _APART

    def advance(self, by: Duration) -> list[float]:
        """Move on, deadline by deadline; returns the deadlines that fired, in seconds since the epoch.

        `by` is seconds, a text such as "31m", or a timedelta.

        >>> from runpod_emulator import Emulator
        >>> with Emulator("llm", clock="virtual") as emu:
        ...     before = emu.clock.now()
        ...     _ = emu.clock.advance("1h")
        ...     emu.clock.now() - before
        3600.0
        """
        self._link.refuse_in_handlers("clock.advance")
        return self._link.do(self.advancing(by))

    def run_until_idle(self, most: Duration = WEEK) -> list[float]:
        """Move on until no job waits or runs and no webhook is owed; by `most` where that is not so before.

        `most` is seconds, a text such as "7d", or a timedelta.
        """
        self._link.refuse_in_handlers("clock.run_until_idle")
        return self._link.do(self.running_until_idle(most))

    def held_by(self) -> list[str]:
        """What holds time at this moment, one text each: what really runs, and on a clock that stands who waits.

        >>> from runpod_emulator import Emulator
        >>> with Emulator("llm", clock="virtual") as emu:
        ...     emu.clock.held_by()
        []
        """
        return self._link.do(held_by(self._link.world))

    async def advancing(self, by: Duration) -> list[float]:
        """`advance`, in the emulator's own thread."""
        length = in_milliseconds(by)
        timeline = self._movable()
        return self._in_seconds(await timeline.advance(timeline.now() + length))

    async def running_until_idle(self, most: Duration) -> list[float]:
        """`run_until_idle`, in the emulator's own thread."""
        self._movable()
        return self._in_seconds(await self._link.world.run_until_idle(in_milliseconds(most)))

    def _shown(self) -> int:
        timeline = self._link.world.timeline
        return timeline.now() + timeline.drift()

    def _in_seconds(self, fired: list[int]) -> list[float]:
        drift = self._link.world.timeline.drift()
        return [(due + drift) / 1000 for due in fired]

    def _movable(self) -> Timeline:
        timeline = self._link.world.timeline
        if not isinstance(timeline.clock, VirtualClock):
            raise ConfigurationError('only a virtual clock can be moved: make it with Emulator(clock="virtual")')
        return timeline


def in_milliseconds(duration: Duration, name: str = "") -> int:
    """A duration in ms, of seconds, a text such as "31m", or a timedelta; `name` is the argument's.

    Raises ConfigurationError for what is none, and for a text without a unit.
    """
    place = f"{name}: " if name else ""
    told = f"{place}{duration!r} is no duration"
    if isinstance(duration, str | datetime.timedelta):
        if problem := bare(duration):
            raise ConfigurationError(f"{place}{problem}, or seconds as a number")
        try:
            return int(milliseconds(duration))
        except ValueError as error:
            raise ConfigurationError(f"{told}: {str(error).replace('write milliseconds, or', 'write')}") from error
    is_number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if not is_number or not 0 <= duration < _LONGEST:  # what is no number is not less either
        raise ConfigurationError(f"{told}: write seconds, from 0 to {_LONGEST:.0f}, '31m', or a timedelta")
    return round(duration * 1000)
