"""How many requests of the management API there may be: windows of a minute, an hour and a day, each with its quota."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from runpod_emulator.core.management_errors import QuotaSpent
from runpod_emulator.core.platform import DAY, HOUR, MINUTE, SECOND, Platform


class Window(NamedTuple):
    """One window: it begins at whole multiples of its length, in ms."""

    name: str
    length: int
    quota: int


def windows_of(platform: Platform) -> tuple[Window, ...]:
    """The windows of a platform."""
    return (
        Window("minute", MINUTE, platform.management_minute_rate),
        Window("hour", HOUR, platform.management_hour_rate),
        Window("day", DAY, platform.management_day_rate),
    )


@dataclass(slots=True)
class _Count:
    window: Window
    opened_at: int = -1
    spent: int = 0

    def look(self, at: int) -> None:
        """Begin anew if the window of the time `at` is another one."""
        opened_at = at - at % self.window.length
        if opened_at != self.opened_at:
            self.opened_at, self.spent = opened_at, 0

    def resets_in(self, at: int) -> int:
        """Whole seconds until the next window."""
        return max(1, -(-(self.opened_at + self.window.length - at) // SECOND))

    @property
    def left(self) -> int:
        """Requests that there may still be."""
        return max(0, self.window.quota - self.spent)


class Quota:
    """Counts the requests of one world; times are ms since the epoch, as they are shown."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        self._counts = [_Count(window) for window in windows]

    def spend(self, at: int) -> None:
        """Count a request; raises QuotaSpent, and then does not."""
        for count in self._counts:
            count.look(at)
        for count in self._counts:
            if not count.left:
                raise QuotaSpent(count.window.name, count.resets_in(at))
        for count in self._counts:
            count.spent += 1

    def headers(self, at: int) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy`, as the last request has left the windows."""
        left = (f'"{one.window.name}";r={one.left};t={one.resets_in(at)}' for one in self._counts)
        policy = (
            f'"{name}";q={quota};w={length // SECOND}' for name, length, quota in (c.window for c in self._counts)
        )
        return {"RateLimit": ", ".join(left), "RateLimit-Policy": ", ".join(policy)}
