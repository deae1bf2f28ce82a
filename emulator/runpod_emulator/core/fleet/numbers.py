"""Small numbers of workers, in the order of their coming: short names for people."""

from __future__ import annotations

_KNOWN = 1_000
"""Workers whose numbers are known: what one has printed may come after its end."""


class Numbers:
    """The numbers of one endpoint's workers, from 1. One that comes again has its own again, if that is still known."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._last = 0

    def give(self, worker: str) -> int:
        """The number of a worker that comes."""
        known = self._numbers.get(worker)
        if known is not None:
            return known
        self._last += 1
        if len(self._numbers) == _KNOWN:
            del self._numbers[next(iter(self._numbers))]
        self._numbers[worker] = self._last
        return self._last

    def of(self, worker: str) -> int:
        """The number of a worker that is here or was lately, 0 for another one."""
        return self._numbers.get(worker, 0)
