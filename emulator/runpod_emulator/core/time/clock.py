"""What time it is, in whole milliseconds since the epoch. The only file that asks the system."""

from __future__ import annotations

import asyncio
import datetime
import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType
from typing import Any, Protocol


class Clock(Protocol):
    """A source of the present time."""

    runs: bool
    """Whether time passes by itself, so that alarms are worth setting."""

    def now(self) -> int:
        """Milliseconds since the epoch; never less than what an earlier call answered."""
        ...

    def drift(self) -> int:
        """How much later than `now` it is for people, in ms: by the clock on the wall, or since `restart`."""
        ...

    def restart(self) -> int:
        """Show the time of the start again, without what was moved or left out since; inside, time goes on.

        Returns what to add to a time inside for that, in ms: 0 or less.
        """
        ...

    def go_on(self, shown: int) -> None:
        """Go on from the time that people were shown when a world was saved, as far as this clock can be moved."""
        ...


_STEP = 1_000
"""Milliseconds by which the time of day must have been set to be noticed; less may be how long it took to look."""
_NOISE = 500_000
"""Nanoseconds by which two looks at two clocks may differ; whoever moves a frozen time moves it further."""
_NANO = 1_000_000

_FRAMES = 6
"""More than freezegun looks up the stack for a caller that is to have the genuine time, as `threading` is."""
_UP = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)
"""A clock that stands while the machine sleeps: on macOS the monotonic one does not."""
_MODULES = sys.modules
_OURS = __name__.partition(".")[0]
_TRAVEL = "time_machine"
"""A module that replaces `time` where nobody sees it, below Python."""
_STACKS = (("freezegun.api", "freeze_factories"), (_TRAVEL, "traveller_stack"), (_TRAVEL, "coordinates_stack"))
"""Where those who replace `time` keep what it is replaced by, the present one last."""

nanoticks = functools.partial(time.clock_gettime_ns, _UP)
"""Nanoseconds that never jump. Nobody replaces these, neither before this file is imported nor later."""


def _time_of_day(frames: int = _FRAMES) -> int:
    """What `time` says, in ns; asked from below some frames of our own, or a loop in a thread would see two times."""
    return _time_of_day(frames - 1) if frames else time.time_ns()


def _era() -> object:
    """What has replaced `time` at present; None where it is the system's own."""
    for module, stack in _STACKS:
        if module in _MODULES and (layers := getattr(_MODULES[module], stack, None)):
            return layers[-1]
    return None if type(time.time_ns) is BuiltinFunctionType else time.time_ns


class RealClock:
    """Time that runs evenly from the time of day at its start, however that is set later.

    A system clock that is put back holds nothing up, one that is put forward lets nothing expire,
    nor does a laptop's sleep. Where `time` itself is replaced, as freezegun and time-machine do, time runs evenly
    too, also while that stands; but where that is moved on, or begins at a later time, so much has passed.
    Its end, and a step back, change nothing but what is shown.
    """

    runs = True

    def __init__(self) -> None:
        self._genuine: Callable[[], int] | None = None
        """`time.time_ns`, while time runs by itself; None while it is asked. freezegun would find a global."""
        self._era: object = None
        self._ahead: int | None = None
        """Nanoseconds from the ticks to the present; None before the first look."""
        self.leapt: Callable[[], None] = lambda: None
        """Called when time has passed at once."""
        self._shown = 0
        """Nanoseconds from the ticks to the time of day that people see, while it is replaced."""
        self._day = self._base = self._top = 0
        """What `time` said last; that less the ticks, at that look, and at the latest time there was so far."""

    def now(self) -> int:
        """The present time."""
        if time.time_ns is not self._genuine or _TRAVEL in _MODULES:
            self._look_up()
        return (nanoticks() + self._ahead) // _NANO  # type: ignore[operator]  # it has been looked up

    def drift(self) -> int:
        """How much later it is by the system's clock, if that was set, or the machine slept, since this one began."""
        now = RealClock.now(self)
        if self._era is not None:
            return (nanoticks() + self._shown) // _NANO - now
        drift = (_time_of_day() + _NANO // 2) // _NANO - now
        return drift if abs(drift) >= _STEP else 0

    def restart(self) -> int:
        """Nothing: this one is never moved."""
        return 0

    def go_on(self, shown: int) -> None:
        """Nothing: this one is never moved."""

    def _look_up(self) -> None:
        """See whether `time` was replaced, or moved."""
        era, day = _era(), _time_of_day()
        lead = day - nanoticks()
        if self._ahead is None:
            self._ahead = self._shown = self._top = lead + _NANO // 2
        elif era is None:  # nothing is over because a freeze is, and a system clock may be set
            self._top = lead
        elif era is not self._era:
            self._leap(lead - self._top)
            self._shown = lead
        elif day != self._day and lead - self._base > _NOISE:
            self._leap(lead - self._base)
            self._shown += lead - self._base
        elif day < self._day:
            self._shown = lead
        if era is not self._era or day <= self._day or lead - self._base > _NOISE:
            self._base = lead
        self._top = max(self._top, lead)
        self._era, self._day = era, day
        self._genuine = time.time_ns if era is None else None

    def _leap(self, by: int) -> None:
        assert self._ahead is not None
        if by > 0:
            self._ahead += by
            self.leapt()


class VirtualClock:
    """Time that stands still until it is moved."""

    runs = False

    def __init__(self, start: int = 1_700_000_000_000) -> None:
        self._now = self._start = start
        self._drift = 0

    def now(self) -> int:
        """The time it was last moved to."""
        return self._now

    def drift(self) -> int:
        """None, until it is started again."""
        return self._drift

    def restart(self) -> int:
        """Show its start again: nothing that waits for a time inside is to meet it twice, or never."""
        self._drift = self._start - self._now
        return self._drift

    def move_to(self, at: int) -> None:
        """Move to `at`; a move backwards is ignored."""
        self._now = max(self._now, at)

    def go_on(self, shown: int) -> None:
        """Show this time again; inside, time does not go back."""
        self.move_to(shown)
        self._drift = shown - self._now


class AutoClock(RealClock):
    """Real time that is moved ahead while somebody waits and nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0
        """Milliseconds that have been left out so far."""
        self._unseen = 0
        """Those of them that are not shown any more."""

    def now(self) -> int:
        """The present time, with all that was left out."""
        return super().now() + self.skipped

    def drift(self) -> int:
        """How much later it is by the system's clock, and by what was left out since the last restart."""
        return super().drift() - self._unseen

    def restart(self) -> int:
        """Show the time without all that was left out."""
        self._unseen = self.skipped
        return -self._unseen

    def go_on(self, shown: int) -> None:
        """Leave out the time until then, if it has not come yet."""
        self.skip_to(shown - self.drift())

    def skip_to(self, at: int) -> None:
        """Leave out the time until `at`; a time that has passed is ignored."""
        self.skipped += max(0, at - self.now())


def ticks() -> float:
    """Seconds since some moment, on the machine's own clock also where `time` is replaced: for what the host holds."""
    return nanoticks() / 1e9


def work_time() -> float:
    """Seconds since some moment: how long work takes that holds up the loop. No rule may look at it."""
    return time.perf_counter()


def cpu_time() -> float:
    """Seconds that this thread has worked: how long work takes, however busy the machine is. No rule may look at it."""
    return time.thread_time()


@contextmanager
def genuine_dates() -> Iterator[None]:
    """Load modules in this block: while freezegun has replaced `datetime`, no class can inherit from its dates.

    What others have of them, a library that the user's program shares with us, has the frozen ones afterwards.
    """
    freezegun = _MODULES.get("freezegun.api")
    if not getattr(freezegun, "freeze_factories", None):
        yield
        return
    module = _MODULES[datetime.__name__].__dict__
    before = {"date": module["date"], "datetime": module["datetime"]}
    genuine: Any = freezegun
    frozen = {id(genuine.real_date): before["date"], id(genuine.real_datetime): before["datetime"]}
    loaded = set(_MODULES)
    module.update(date=genuine.real_date, datetime=genuine.real_datetime)
    try:
        yield
    finally:
        module.update(before)
        for name in {name for name in set(_MODULES) - loaded if name.partition(".")[0] != _OURS}:
            for attribute, value in list(vars(_MODULES[name]).items()):
                if (fake := frozen.get(id(value))) is not None:
                    setattr(_MODULES[name], attribute, fake)


async def turn() -> None:
    """Let everything else that is ready run once."""
    await asyncio.sleep(0)


async def wait_really(seconds: float) -> None:
    """Let so much real time pass, and everything else go on."""
    await asyncio.sleep(seconds)


def pause(seconds: float) -> None:
    """Sleep in real time: for a command that waits for another process."""
    time.sleep(seconds)
