"""Keys in order of a number: deadlines by time, a queue by place."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_FEW = 64
"""Entries whose stale ones are not worth looking for."""
_AT_A_TIME = 4
"""Entries that are moved with each change. Of a million at once nobody could be served for 0.4 s."""


class Schedule(Generic[Key]):
    """A heap in which each key has one rank, and changing or removing it is cheap.

    Stale entries stay in the heap until they surface or are more than half of it. Then
    those that are not stale move over into a new heap, a few with each change.
    Keys of equal rank come out in their own order, so keys must be comparable.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, Any]] = []
        self._old: list[tuple[int, Any]] = []
        """What is left of the heap before; it is emptied from its end, so it stays a heap."""
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
        if self._old:
            self._move_some()
        elif len(self._heap) > _FEW and len(self._heap) > 2 * len(self._ranks):
            self._old, self._heap = self._heap, []

    def first(self) -> tuple[int, Key] | None:
        """The lowest rank and its key."""
        first: tuple[int, Key] | None = None
        for heap in (self._heap, self._old):
            while heap:
                entry = heap[0]
                if self._ranks.get(entry[1]) == entry[0]:
                    first = entry if first is None or entry < first else first
                    break
                heapq.heappop(heap)
        return first

    def pop(self) -> tuple[int, Key] | None:
        """Remove and return the lowest rank and its key."""
        first = self.first()
        if first is not None:
            del self._ranks[first[1]]
        return first

    def without(self, drop: Callable[[Key], bool]) -> Schedule[Key]:
        """Another schedule, with the keys that are not dropped; for many of them it is cheaper than removing each."""
        other: Schedule[Key] = Schedule()
        other._ranks = {key: rank for key, rank in self._ranks.items() if not drop(key)}
        other._heap = [(rank, key) for key, rank in other._ranks.items()]
        heapq.heapify(other._heap)
        return other

    def remains(self) -> list[dict[Any, Any] | list[Any]]:
        """What is to be freed once nobody uses it any more."""
        return [self._heap, self._old, self._ranks]

    def keys(self) -> list[Key]:
        """All keys, lowest rank first."""
        return sorted(self._ranks, key=lambda key: (self._ranks[key], key))

    def _move_some(self) -> None:
        for _ in range(min(_AT_A_TIME, len(self._old))):
            entry = self._old.pop()
            if self._ranks.get(entry[1]) == entry[0]:
                heapq.heappush(self._heap, entry)
