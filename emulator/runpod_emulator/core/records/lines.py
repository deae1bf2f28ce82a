"""What workers have printed, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from sys import getsizeof

from runpod_emulator.core.records.news import Effect, Line
from runpod_emulator.core.records.ring import KEPT_BYTES, Ring

KEPT = 100_000
"""Lines; older ones are forgotten."""
_EACH = 350
"""Bytes that a line takes beside its texts."""


class Lines(Effect):
    """Keeps the last lines, in `most_bytes` of memory."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._lines: Ring[Line] = Ring(most_bytes, KEPT)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, place: int) -> Line:
        return self._lines[place]

    def printed(self, line: Line) -> None:
        """Keep a line."""
        size = _EACH + getsizeof(line.text)
        self._lines.add(line, size + getsizeof(line.coloured) if line.coloured else size)

    def cleared(self, endpoint: str | None) -> None:
        """Forget all, or those of one endpoint. Those of one that was taken away stay."""
        self._lines.clear(() if endpoint is None else [line.endpoint != endpoint for line in self._lines])
