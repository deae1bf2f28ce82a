"""Keys in order of a number: deadlines by time, a queue by place."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_REBUILD_ABOVE = 64


class Schedule(Generic[Key]):
    """A heap in which each key has one rank, and changing or removing it is cheap.

    Stale entries stay in the heap until they surface or are more than half of it.
    Keys of equal rank come out in their own order, so keys must be comparable.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, Any]] = []
        self._ranks: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def set(self, key: Key, rank: int | None) -> None:
        """Give `key` this rank, or remove it with None."""
        if self._ranks.get(key) == rank:
            return
        if rank is None:
            del self._ranks[key]
        else:
            self._ranks[key] = rank
            heapq.heappush(self._heap, (rank, key))
        if len(self._heap) > _REBUILD_ABOVE and len(self._heap) > 2 * len(self._ranks):
            self._rebuild()

    def first(self) -> tuple[int, Key] | None:
        """The lowest rank and its key."""
        heap, ranks = self._heap, self._ranks
        while heap:
            rank, key = heap[0]
            if ranks.get(key) == rank:
                return rank, key
            heapq.heappop(heap)
        return None

    def pop(self) -> tuple[int, Key] | None:
        """Remove and answer the lowest rank and its key."""
        first = self.first()
        if first is not None:
            heapq.heappop(self._heap)
            del self._ranks[first[1]]
        return first

    def without(self, drop: Callable[[Key], bool]) -> Schedule[Key]:
        """Another with the keys that are not dropped; for many of them it is cheaper than removing each."""
        other: Schedule[Key] = Schedule()
        other._ranks = {key: rank for key, rank in self._ranks.items() if not drop(key)}
        other._rebuild()
        return other

    def remains(self) -> list[dict[Any, Any] | list[Any]]:
        """What is to be freed once nobody uses it any more."""
        return [self._heap, self._ranks]

    def keys(self) -> list[Key]:
        """All keys, lowest rank first."""
        return sorted(self._ranks, key=lambda key: (self._ranks[key], key))

    def _rebuild(self) -> None:
        self._heap = [(rank, key) for key, rank in self._ranks.items()]
        heapq.heapify(self._heap)
