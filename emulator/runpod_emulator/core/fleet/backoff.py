"""How long no worker is started after one that could not come up."""

from __future__ import annotations

FIRST_BACKOFF = 1_000
"""Milliseconds before a worker that could not start is tried again; doubles up to LONGEST_BACKOFF."""
LONGEST_BACKOFF = 30_000


class Backoff:
    """Doubles with each failure, and ends with a worker that is up."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0

    def failed(self, at: int) -> int:
        """A worker could not start; returns how long to wait, in ms."""
        length = min(FIRST_BACKOFF << min(self._failures, 8), LONGEST_BACKOFF)
        self._failures += 1
        self._until = at + length
        return length

    def restart(self) -> None:
        """Forget all failures: a worker is up, or time begins anew."""
        self._failures = self._until = 0

    def __bool__(self) -> bool:
        """Whether any worker has failed since one was up."""
        return bool(self._until)

    def is_over(self, at: int) -> bool:
        """Whether another may be tried."""
        return at >= self._until
