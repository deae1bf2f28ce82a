"""What clients sent: the last requests of one emulator, and which of them fit."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.records.ring import KEPT, KEPT_BYTES

LONGEST_BODY = 64 * 1024
"""Bytes of a body that are kept."""
_EACH, _HEADER = 1_700, 160
"""Bytes that a request with a head of the usual length takes beside its body, and each of its headers."""
_USUAL_BODY, _USUAL_HEADERS = 1_024, 24
"""Bytes of a body, and headers, up to which a request is a usual one."""
_USUAL = _EACH + _HEADER * _USUAL_HEADERS + _USUAL_BODY
"""Bytes for which each request counts at least: then usual ones, which are nearly all, need no sums."""


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
    head: int = 0
    """Bytes of a head that is longer than usual."""

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
    """The requests of one emulator, oldest first, in `most_bytes` of memory; the newest is kept however large it is."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: deque[Entry] = deque(maxlen=max(1, min(KEPT, most_bytes // _USUAL)))
        self._more = 0
        """Bytes that the requests take beyond the usual."""
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
        entry = Entry(self._count, at, endpoint, operation, *request, body, status, job, length, head)
        if self._more or head or length > _USUAL_BODY or len(request[3]) > _USUAL_HEADERS:
            self._make_room(entry)
        self._entries.append(entry)

    def find(self, fits: Callable[[Entry], bool]) -> list[Entry]:
        """The requests that fit, oldest first."""
        return [entry for entry in self._entries if fits(entry)]

    def clear(self, endpoint: str | None = None) -> None:
        """Forget all, or those of one endpoint."""
        kept = [] if endpoint is None else [entry for entry in self._entries if entry.endpoint != endpoint]
        free_later([self._entries])
        self._entries = deque(kept, maxlen=self._entries.maxlen)
        self._more = sum(map(_beyond_usual, kept))

    def _make_room(self, entry: Entry) -> None:
        self._more += _beyond_usual(entry)
        entries, most = self._entries, self._entries.maxlen
        while entries and (len(entries) == most or (len(entries) + 1) * _USUAL + self._more > self._most_bytes):
            self._more -= _beyond_usual(entries.popleft())


def _beyond_usual(entry: Entry) -> int:
    return max(0, _EACH + _HEADER * len(entry.headers) + len(entry.body) + entry.head - _USUAL)
