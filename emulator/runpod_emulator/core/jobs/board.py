"""Where the servers of one world tell each other what is not about jobs: requests, webhook calls, lines of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Board(Protocol):
    """Carries pieces of text between servers: soon, in the order in which each was put, and not for certain."""

    def put(self, piece: bytes) -> None:
        """Tell the others; nobody waits for it."""
        ...

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Call `listener` with each piece of another server; as this one begins, also with the last ones of before."""
        ...
