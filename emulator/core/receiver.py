"""Webhook calls that one emulator's own receiver got, and what it answers them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

KEPT = 10_000
"""Calls; older ones are forgotten."""


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
    """Takes webhook calls and answers 200, or first what it was told."""

    def __init__(self) -> None:
        self._calls: deque[Received] = deque(maxlen=KEPT)
        self._answers: deque[int] = deque()

    def __iter__(self) -> Iterator[Received]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def answer(self, status: int, times: int = 1) -> None:
        """Answer the next calls with this status."""
        self._answers.extend([status] * times)

    def take(self, at: int, name: str, headers: Mapping[str, str], body: bytes) -> int:
        """Note a call; answers the status of its answer."""
        status = self._answers.popleft() if self._answers else 200
        self._calls.append(Received(at, name, headers, body, status))
        return status

    def clear(self) -> None:
        """Forget calls and answers."""
        self._calls.clear()
        self._answers.clear()
