"""What clients sent: the last requests of one emulator, and which of them fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from emulator.core.ring import KEPT_BYTES, Ring

LONGEST_BODY = 64 * 1024
"""Bytes of a body that are kept."""
_EACH, _HEADER = 1_700, 160
"""Bytes that a request with a head of the usual length takes beside its body, and each of its headers."""


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
    """No more than the beginning of a long one."""
    status: int
    """0 where the connection was reset instead of an answer."""
    job: str
    """The job that it made or is about, empty for none."""
    body_size: int
    """Bytes of the whole body."""

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of the body was kept."""
        return len(self.body) < self.body_size

    @property
    def json(self) -> Any:
        """The parsed body; None when it is no JSON, or was cut."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


class Journal:
    """The requests of one emulator, oldest first, in `most_bytes` of memory."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._entries: Ring[Entry] = Ring(most_bytes)
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
        head: int = 0,
    ) -> None:
        """Note a request: its method, path, query and headers are `request`, `head` the bytes of a long head."""
        self._count += 1
        length = len(body)
        if length > LONGEST_BODY:
            body = body[:LONGEST_BODY]
        size = _EACH + _HEADER * len(request[3]) + len(body) + head
        self._entries.add(Entry(self._count, at, endpoint, operation, *request, body, status, job, length), size)

    def find(self, fits: Callable[[Entry], bool]) -> list[Entry]:
        """The requests that fit, oldest first."""
        return [entry for entry in self._entries if fits(entry)]

    def clear(self, endpoint: str | None = None) -> None:
        """Forget all, or those of one endpoint."""
        self._entries.clear(entry.endpoint != endpoint for entry in self._entries if endpoint is not None)
