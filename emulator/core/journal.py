"""What clients sent: the last requests of one emulator, and which of them fit."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from emulator.core.remains import free_later

KEPT = 10_000
"""Requests; older ones are forgotten."""


class Entry(NamedTuple):
    """One request and how it was answered."""

    number: int
    at: int
    endpoint: str
    operation: str
    method: str
    path: str
    query: str
    headers: Sequence[tuple[bytes, bytes]]
    """As they came."""
    body: bytes
    status: int
    """0 where the connection was reset instead of an answer."""
    job: str
    """The job that it made or is about, empty for none."""

    @property
    def json(self) -> Any:
        """The parsed body; None when it is no JSON."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


class Journal:
    """The requests of one emulator, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._count = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self,
        at: int,
        endpoint: str,
        operation: str,
        request: tuple[str, str, str, Sequence[tuple[bytes, bytes]]],
        body: bytes,
        status: int,
        job: str,
    ) -> None:
        """Note a request: its method, path, query and headers are `request`."""
        self._count += 1
        self._entries.append(Entry(self._count, at, endpoint, operation, *request, body, status, job))

    def find(self, fits: Callable[[Entry], bool]) -> list[Entry]:
        """The requests that fit, oldest first."""
        return [entry for entry in self._entries if fits(entry)]

    def clear(self, endpoint: str | None = None) -> None:
        """Forget all, or those of one endpoint."""
        kept = [] if endpoint is None else [entry for entry in self._entries if entry.endpoint != endpoint]
        free_later([self._entries])
        self._entries = deque(kept, maxlen=KEPT)
