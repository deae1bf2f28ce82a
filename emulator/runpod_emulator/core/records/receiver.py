"""Webhook calls that one emulator's own receiver got, and what it answers them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from runpod_emulator.core.records.ring import KEPT_BYTES, Ring

_EACH = 1_500
"""Bytes that a call takes beside its body: its headers are few, and most are the service's own."""


class Received(NamedTuple):
    """One call; `status` is what it was answered."""

    at: int
    name: str
    """The last part of the URL."""
    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def json(self) -> Any:
        """The parsed body; raises ValueError."""
        return json.loads(self.body)


class Receiver:
    """Takes webhook calls and answers 200, or first what it was told. Keeps the last, in `most_bytes` of memory."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._calls: Ring[Received] = Ring(most_bytes)
        self._answers: deque[int] = deque()

    def __iter__(self) -> Iterator[Received]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def answer(self, status: int, times: int = 1) -> None:
        """Answer the next calls with this status."""
        self._answers.extend([status] * times)

    def take(self, at: int, name: str, headers: Mapping[str, str], body: bytes) -> int:
        """Note a call; returns the status of its answer."""
        status = self._answers.popleft() if self._answers else 200
        size = _EACH + len(body) + sum(len(key) + len(value) for key, value in headers.items())
        self._calls.add(Received(at, name, headers, body, status), size)
        return status

    def clear(self) -> None:
        """Forget calls and answers."""
        self._calls.clear()
        self._answers.clear()
