"""Timers in order of their time."""

from __future__ import annotations

import heapq
from collections.abc import Callable

_FEW = 32
"""Cancelled timers that are not worth looking for."""


class Timer:
    """A callback that waits for its time."""

    __slots__ = ("_timers", "callback", "due")

    def __init__(self, timers: Timers, due: int, callback: Callable[[], None]) -> None:
        self._timers = timers
        self.due = due
        self.callback: Callable[[], None] | None = callback
        """None once it was called, or never will be."""

    def cancel(self) -> None:
        """Never call back; harmless when it has."""
        if self.callback is not None:
            self.callback = None
            self._timers.cancelled()


class Timers:
    """Timers in order of their time; those of the same time in the order they were set.

    Cancelled ones stay in the heap until they surface or are more than half of it.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._serial = 0
        self._cancelled = 0

    def add(self, due: int, callback: Callable[[], None]) -> Timer:
        """One timer more."""
        self._serial += 1
        timer = Timer(self, due, callback)
        heapq.heappush(self._heap, (due, self._serial, timer))
        return timer

    def first_due(self) -> int | None:
        """The earliest time."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def pop(self) -> Callable[[], None]:
        """Take out the first, which `first_due` has found, and return its callback."""
        timer = heapq.heappop(self._heap)[2]
        callback, timer.callback = timer.callback, None
        assert callback is not None
        return callback

    def cancelled(self) -> None:
        """One of the timers was cancelled."""
        self._cancelled += 1
        if self._cancelled > _FEW and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
