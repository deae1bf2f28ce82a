"""What running jobs have said: their chunks and progress updates. A look takes no chunk from a client."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.job import Emitted, Progressed, Transition
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.records.ring import KEPT_BYTES

_PIECE = 160
"""Bytes that a piece takes beside its JSON."""


class Piece(NamedTuple):
    """One chunk, or one progress update, of a job."""

    at: int
    is_progress: bool
    output: bytes
    """Its JSON."""


class Streams(Effect):
    """The pieces of one emulator's jobs, in `most_bytes` of memory; the jobs that began first are forgotten."""

    events = (Emitted, Progressed)

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pieces: dict[tuple[str, str], list[Piece]] = {}
        self._order: deque[tuple[str, str]] = deque()
        """The jobs, first come first."""

    def heard(self, transition: Transition) -> None:
        """Keep what the job has said."""
        event, job = transition.event, transition.job
        key = job.endpoint, job.id
        pieces = self._pieces.get(key)
        if pieces is None:
            pieces = self._pieces[key] = []
            self._order.append(key)
        outputs: Sequence[bytes] = ()
        if isinstance(event, Emitted):
            outputs = event.chunks
        elif isinstance(event, Progressed):
            outputs = (event.output,)
        for output in outputs:
            pieces.append(Piece(transition.at, isinstance(event, Progressed), output))
            self._bytes += _PIECE + len(output)
        while self._bytes > self._most_bytes and len(self._order) > 1:
            self._drop(self._order.popleft())
        if self._bytes > self._most_bytes:
            self._shorten(pieces)

    def dump(self) -> list[tuple[tuple[str, str], tuple[Piece, ...]]]:
        """What each job has said, by endpoint and id, as it is now; the jobs that began first come first."""
        return [(key, tuple(self._pieces[key])) for key in self._order]

    def load(self, said: Iterable[tuple[tuple[str, str], Sequence[Piece]]]) -> None:
        """Keep this too; no more of it than there is room for."""
        for key, pieces in said:
            if key not in self._pieces:
                self._order.append(key)
            self._pieces.setdefault(key, []).extend(pieces)
            self._bytes += _size(pieces)
        while self._bytes > self._most_bytes and len(self._order) > 1:
            self._drop(self._order.popleft())

    def _drop(self, key: tuple[str, str]) -> None:
        self._bytes -= _size(self._pieces.pop(key))

    def _shorten(self, pieces: list[Piece]) -> None:
        """Of one job that fills the memory alone, the older half goes, but never the newest piece."""
        half = pieces[: len(pieces) // 2]
        self._bytes -= _size(half)
        del pieces[: len(half)]

    def of(self, endpoint: str, job: str) -> list[Piece]:
        """What a job has said in all its runs, oldest first."""
        return list(self._pieces.get((endpoint, job), ()))

    def removed(self, endpoint: str) -> None:
        """Forget the jobs of an endpoint that was taken away."""
        self.cleared(endpoint)

    def cleared(self, endpoint: str | None = None) -> None:
        """Forget all, or the jobs of one endpoint."""
        kept = {} if endpoint is None else {key: value for key, value in self._pieces.items() if key[0] != endpoint}
        free_later([self._pieces, self._order])
        self._pieces, self._order = kept, deque(kept)
        self._bytes = sum(map(_size, kept.values()))


def _size(pieces: Sequence[Piece]) -> int:
    return sum(_PIECE + len(one.output) for one in pieces)
