"""The webhook calls of one emulator, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runpod_emulator.core.records.news import Attempt, Effect
from runpod_emulator.core.records.ring import KEPT_BYTES, Ring

_EACH = 700
"""Bytes that a call takes beside its texts."""


class Attempts(Effect):
    """Keeps the last calls, in `most_bytes` of memory."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._calls: Ring[Attempt] = Ring(most_bytes)
        self.acknowledged = 0
        """Calls that succeeded since the last reset."""

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def tried(self, attempt: Attempt) -> None:
        """Keep a call."""
        delivery = attempt.delivery
        self._calls.add(attempt, _EACH + len(delivery.body) + len(delivery.url) + len(attempt.problem))
        self.acknowledged += not attempt.problem

    def load(self, attempts: Iterable[Attempt]) -> None:
        """Keep these too, the oldest first."""
        for one in attempts:
            self.tried(one)

    def cleared(self, endpoint: str | None) -> None:
        """Forget all; those of one endpoint stay."""
        if endpoint is None:
            self._calls.clear()
            self.acknowledged = 0
