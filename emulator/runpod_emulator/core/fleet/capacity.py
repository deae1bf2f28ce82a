"""How many workers may have a process at once, over all endpoints of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Grant = Callable[[], None]


class Lender(Protocol):
    """The workers of one endpoint, which may make room for another's."""

    def give_way(self) -> bool:
        """End a worker that has nothing to do; returns whether there was one."""
        ...


class Capacity:
    """Hands out places for processes, first come first served; `limit` None is no limit.

    Whoever waits makes idle workers of other endpoints give way, never those of its own.
    A worker is known by its owner and its id: the worlds of one server may mint the same ids.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._holders: set[tuple[Lender, str]] = set()
        self.waiting: dict[tuple[Lender, str], Grant] = {}
        """Owner and id of each worker that waits for a place, and what follows once it has one."""
        self._lenders: dict[int, Lender] = {}

    def wanted_by_others(self, lender: Lender) -> bool:
        """Whether a worker of another endpoint waits for a place."""
        return any(owner is not lender for owner, _ in self.waiting)

    def lend(self, lender: Lender) -> None:
        """Ask the lender for room when another one wants it."""
        self._lenders[id(lender)] = lender

    def leave(self, lender: Lender) -> None:
        """Ask the lender no more: none of its workers has, or wants, a place. Harmless when it has left."""
        self._lenders.pop(id(lender), None)
        self.withdraw(lender)
        self._holders = {place for place in self._holders if place[0] is not lender}
        self._grant()

    def withdraw(self, owner: Lender) -> None:
        """None of the owner's workers waits for a place any more."""
        self.waiting = {place: granted for place, granted in self.waiting.items() if place[0] is not owner}

    def claim(self, worker: str, owner: Lender, granted: Grant) -> None:
        """Call `granted` once the worker may have a process, at once where there is room."""
        place = owner, worker
        self.waiting[place] = granted
        self._grant()
        if place in self.waiting:
            any(lender.give_way() for lender in list(self._lenders.values()) if lender is not owner)

    def seize(self, worker: str, owner: Lender) -> None:
        """Give the worker a place at once, above the limit if need be."""
        self._holders.add((owner, worker))

    def release(self, worker: str, owner: Lender) -> None:
        """The worker wants no place any more."""
        place = owner, worker
        self.waiting.pop(place, None)
        if place in self._holders:
            self._holders.remove(place)
            self._grant()

    def _grant(self) -> None:
        while self.waiting and (self.limit is None or len(self._holders) < self.limit):
            place = next(iter(self.waiting))
            granted = self.waiting.pop(place)
            self._holders.add(place)
            granted()
