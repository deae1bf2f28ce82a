"""The newest of many things, bounded by their number and by the memory they take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from runpod_emulator.core.freeing import free_later

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
        self._things: deque[Thing] = deque(maxlen=most)
        self._sizes: deque[int] = deque(maxlen=most)
        self._held = 0

    def __iter__(self) -> Iterator[Thing]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def __getitem__(self, place: int) -> Thing:
        return self._things[place]

    def add(self, thing: Thing, size: int) -> None:
        """Keep one more, and forget the oldest where there are too many."""
        sizes = self._sizes
        held = self._held + size
        if len(sizes) == self._most:
            held -= sizes[0]
        self._things.append(thing)
        sizes.append(size)
        self._held = held
        if held > self._most_bytes:
            self._trim()

    def _trim(self) -> None:
        while self._held > self._most_bytes and len(self._sizes) > 1:
            self._things.popleft()
            self._held -= self._sizes.popleft()

    def clear(self, kept: Iterable[bool] = ()) -> None:
        """Forget all but those that are `kept`, one answer for each."""
        old, sizes = self._things, self._sizes
        left = [(thing, size) for thing, size, stays in zip(old, sizes, kept, strict=False) if stays]
        free_later([old, sizes])
        self._things, self._sizes = (
            deque((one for one, _ in left), self._most),
            deque((size for _, size in left), self._most),
        )
        self._held = sum(self._sizes)
