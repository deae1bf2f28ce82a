"""How many workers may have a process at once, over all endpoints of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

Grant = Callable[[], None]


class Lender(Protocol):
    """The workers of one endpoint, which may make room for another's."""

    def give_way(self) -> bool:
        """End a worker that has nothing to do; answers whether there was one."""
        ...


class _Claim(NamedTuple):
    owner: Lender
    granted: Grant


class Capacity:
    """Hands out places for processes, first come first served; `limit` None is no limit.

    Whoever waits makes idle workers of other endpoints give way, never those of its own.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._holders: set[str] = set()
        self._waiting: dict[str, _Claim] = {}
        self._lenders: list[Lender] = []

    def wanted_by_others(self, lender: Lender) -> bool:
        """Whether a worker of another endpoint waits for a place."""
        return bool(self._waiting) and any(claim.owner is not lender for claim in self._waiting.values())

    def lend(self, lender: Lender) -> None:
        """Ask the lender for room when another one wants it."""
        self._lenders.append(lender)

    def leave(self, lender: Lender) -> None:
        """Ask the lender no more."""
        self._lenders.remove(lender)

    def claim(self, worker: str, owner: Lender, granted: Grant) -> None:
        """Call `granted` once the worker may have a process, at once where there is room."""
        self._waiting[worker] = _Claim(owner, granted)
        self._grant()
        if worker in self._waiting:
            any(lender.give_way() for lender in self._lenders if lender is not owner)

    def seize(self, worker: str) -> None:
        """Give the worker a place at once, above the limit if need be."""
        self._holders.add(worker)

    def release(self, worker: str) -> None:
        """The worker wants no place any more."""
        self._waiting.pop(worker, None)
        if worker in self._holders:
            self._holders.remove(worker)
            self._grant()

    def _grant(self) -> None:
        while self._waiting and (self.limit is None or len(self._holders) < self.limit):
            worker = next(iter(self._waiting))
            granted = self._waiting.pop(worker).granted
            self._holders.add(worker)
            granted()
