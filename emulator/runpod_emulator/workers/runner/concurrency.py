"""How many jobs a worker wants at once, by the rule of the official SDK.

It asks the handler's `concurrency_modifier` before each request for jobs, and wants as many more as the answer exceeds
the jobs in flight. So 2.5 admits a third job, 0 asks for none (and the modifier again a second later), and what is no
number, or an exception, ends the worker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

MOST = 1 << 20
"""Jobs at once that stand for any number."""


class Concurrency:
    """A number that the handler's `concurrency_modifier` moves, and only while no job is in flight."""

    def __init__(self, modifier: Callable[[int], Any] | None, fixed: int = 1) -> None:
        """`fixed` is the number where there is no modifier."""
        self.modifier = modifier
        self.applied: Any = fixed if modifier is None else 1
        self._wanted = self.applied
        self.slots = fixed if modifier is None else 1
        """How many jobs there may be, 0 for none."""

    def review(self, in_flight: int) -> bool:
        """Ask the modifier, and tell whether `slots` changed; raises what it raises, TypeError for no number.

        A change that waits for the jobs in flight to end is applied before the next question.
        """
        if self.modifier is not None and self._wanted == self.applied:
            self._wanted = self.modifier(self.applied)
        if in_flight or self._wanted == self.applied:
            return False
        self.applied = self._wanted
        before, self.slots = self.slots, _slots(self.applied)
        return before != self.slots


def _slots(wanted: Any) -> int:
    more = wanted - 0  # as the official worker counts: this is where it ends
    if more <= 0:
        return 0
    return MOST if more >= MOST else math.ceil(more)
