"""How many jobs a worker wants at once, by the rule of the official SDK."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .output import say
from .tracebacks import user_traceback


class Concurrency:
    """A number that the handler's `concurrency_modifier` moves, and only while no job is in flight."""

    def __init__(self, modifier: Callable[[int], Any] | None, fixed: int = 1) -> None:
        """`fixed` is the number where there is no modifier."""
        self.modifier = modifier
        self.applied = fixed if modifier is None else 1
        self._wanted = self.applied

    def review(self, in_flight: int) -> bool:
        """Ask the modifier, and tell whether `applied` changed.

        A change that waits for the jobs in flight to end is applied before the next question.
        """
        if self.modifier is not None and self._wanted == self.applied:
            self._ask(self.modifier)
        if in_flight or self._wanted == self.applied:
            return False
        self.applied = self._wanted
        return True

    def _ask(self, modifier: Callable[[int], Any]) -> None:
        try:
            answer = modifier(self.applied)
        except Exception as error:
            say(f"concurrency_modifier raised, the concurrency stays {self.applied}.\n{user_traceback(error)}")
            return
        try:
            wanted = operator.index(answer)
        except TypeError:
            wanted = 0
        if wanted < 1:
            say(f"concurrency_modifier returned {answer!r}, the concurrency stays {self.applied}.")
            return
        self._wanted = wanted
