"""The newest of many things, bounded by their number and by the memory they take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from emulator.core.remains import free_later

KEPT = 10_000
"""Things; older ones are forgotten."""
KEPT_BYTES = 64 << 20
"""Bytes of them, unless the user says otherwise."""

Thing = TypeVar("Thing")


class Ring(Generic[Thing]):
    """Things with their sizes in bytes, oldest first. The newest is kept however large it is."""

    def __init__(self, most_bytes: int = KEPT_BYTES, most: int = KEPT) -> None:
        self._most_bytes = most_bytes
        self._most = most
        self._things: deque[Thing] = deque()
        self._sizes: deque[int] = deque()
        self._held = 0

    def __iter__(self) -> Iterator[Thing]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def __getitem__(self, place: int) -> Thing:
        return self._things[place]

    def add(self, thing: Thing, size: int) -> None:
        """Keep one more, and forget the oldest where there are too many."""
        things, sizes = self._things, self._sizes
        things.append(thing)
        sizes.append(size)
        held = self._held + size
        while (held > self._most_bytes or len(things) > self._most) and len(things) > 1:
            things.popleft()
            held -= sizes.popleft()
        self._held = held

    def clear(self, kept: Iterable[bool] = ()) -> None:
        """Forget all but those that are `kept`, one answer for each."""
        old, sizes = self._things, self._sizes
        left = [(thing, size) for thing, size, stays in zip(old, sizes, kept, strict=False) if stays]
        free_later([old, sizes])
        self._things, self._sizes = deque(thing for thing, _ in left), deque(size for _, size in left)
        self._held = sum(self._sizes)
