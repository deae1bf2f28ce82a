"""Small numbers of workers, in the order of their coming: short names for people."""

from __future__ import annotations

from collections import OrderedDict

_KNOWN = 1_000
"""Workers whose numbers are known: what one has printed may come after its end."""


class Numbers:
    """The numbers of one endpoint's workers, from 1. One that comes again has its own again, if that is still known."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._last = 0

    def give(self, worker: str) -> int:
        """The number of a worker that comes."""
        known = self._numbers.get(worker)
        if known is not None:
            return known
        self._last += 1
        if len(self._numbers) == _KNOWN:
            self._numbers.popitem(last=False)
        self._numbers[worker] = self._last
        return self._last

    def of(self, worker: str) -> int:
        """The number of a worker that is here or was lately, 0 for another one."""
        return self._numbers.get(worker, 0)

    def name(self, worker: str) -> str:
        """What a worker is called in the log, as in `echo#1`; by its id where its number is not known."""
        number = self._numbers.get(worker)
        return f"{self._endpoint}/{worker}" if number is None else f"{self._endpoint}#{number}"
