"""What clients sent: the last requests of one emulator, and which of them fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.records.news import Effect, Entry
from runpod_emulator.core.records.ring import KEPT, KEPT_BYTES

_EACH, _HEADER = 1_700, 160
"""Bytes that a request with a head of the usual length takes beside its body, and each of its headers."""
_USUAL_BODY, _USUAL_HEADERS = 1_024, 24
"""Bytes of a body, and headers, up to which a request is a usual one."""
_USUAL = _EACH + _HEADER * _USUAL_HEADERS + _USUAL_BODY
"""Bytes for which each request counts at least: then usual ones, which are nearly all, need no sums."""


class Journal(Effect):
    """The requests of one emulator, oldest first, in `most_bytes` of memory; the newest is kept however large it is."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: deque[Entry] = deque(maxlen=max(1, min(KEPT, most_bytes // _USUAL)))
        self._more = 0
        """Bytes that the requests take beyond the usual."""
        self._first = 1
        """The number of the oldest request, if none had been forgotten for want of room."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def forgotten(self) -> int:
        """How many older requests were forgotten for want of room, since it was cleared."""
        return max(0, self._entries[0].number - self._first) if self._entries else 0

    def answered(self, entry: Entry) -> None:
        """Keep a request."""
        if self._more or entry.head or entry.body_size > _USUAL_BODY or len(entry.headers) > _USUAL_HEADERS:
            self._make_room(entry)
        self._entries.append(entry)

    def find(self, fits: Callable[[Entry], bool]) -> list[Entry]:
        """The requests that fit, oldest first."""
        return [entry for entry in self._entries if fits(entry)]

    def cleared(self, endpoint: str | None = None) -> None:
        """Forget all, or those of one endpoint. What clients sent to one that was taken away stays."""
        kept = [] if endpoint is None else [entry for entry in self._entries if entry.endpoint != endpoint]
        if endpoint is None:
            self._first = 1
        elif self._entries:
            self._first = (kept[0].number if kept else self._entries[-1].number + 1) - self.forgotten
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
