"""What one reader of news has not read yet: bounded, and told with every request, so each step here is short."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

MOST = 1_000
"""Pieces of news that wait to be read; then what comes is left out, until all that waits has been read."""
FEW = 500
"""The same for kinds that come with every request."""
MOST_BYTES = 4 << 20
"""Of the texts among them that may be long."""

Written = Callable[[Any], dict[str, Any]]
"""Puts a piece of news into words, as it is read."""
Waiting = tuple[str, Written, Any, int]
"""A piece of news that waits: its kind, what puts it into words, what was kept of it, and its bytes."""


class Backlog:
    """News in their order; `wake` is called with each that comes while nobody is awake."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.news: deque[Waiting] = deque()
        self.left_out: defaultdict[str, int] = defaultdict(int)
        """How many at least, by their kind, after all that waits: whoever has read that is to be told."""
        self.is_awake = False
        """Whether the reader comes anyway."""
        self._wake = wake
        self._bytes = 0
        self.is_crowded = self.is_full = False
        """Whether so much waits that news of kinds that come with every request, or all news, are left out. Effects
        that are told often look themselves, count it, and save the call."""

    def put(self, kind: str, written: Written, kept: Any, size: int = 0) -> None:
        """Keep a piece of news of a kind until it is read; `size` is in bytes."""
        if self.is_full:
            self.left_out[kind] += 1
            return
        news = self.news
        news.append((kind, written, kept, size))
        self._bytes += size
        if len(news) >= FEW:
            self.is_crowded = True
            self.is_full = len(news) >= MOST
        if self._bytes >= MOST_BYTES:
            self.is_crowded = self.is_full = True
        if not self.is_awake:
            self._wake()

    def take(self) -> Waiting:
        """The oldest, for whoever reads it."""
        first = self.news.popleft()
        self._bytes -= first[3]
        if not self.news:
            self.is_crowded = self.is_full = False
        return first
