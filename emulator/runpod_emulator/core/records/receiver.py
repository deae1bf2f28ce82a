"""Webhook calls that one emulator's own receiver got, and what it answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from runpod_emulator.core.records.ring import KEPT_BYTES, Ring

_EACH = 1_500
"""Bytes that a call takes beside its body: its headers are few, and most are the service's own."""


class Received(NamedTuple):
    """One call; `status` is what it was answered, 0 where the connection was dropped."""

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


class Answer(NamedTuple):
    """What a call is answered, after `delay` ms; one that `drops` ends the connection instead."""

    status: int = 200
    delay: int = 0
    body: bytes = b""
    drops: bool = False


_TAKEN = Answer()
"""What a call is answered for which nobody has said anything else."""


@dataclass(slots=True)
class _Next:
    """An answer for the next calls, of one name or any."""

    answer: Answer
    name: str | None
    left: int


class Receiver:
    """Takes webhook calls and answers 200, or first what it was told. Keeps the last, in `most_bytes` of memory."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._calls: Ring[Received] = Ring(most_bytes)
        self._answers: list[_Next] = []

    def __iter__(self) -> Iterator[Received]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def answer(self, answer: Answer, times: int = 1, name: str | None = None) -> None:
        """Answer the next calls so: those of one name, or any."""
        if times > 0:
            self._answers.append(_Next(answer, name, times))

    def take(self, at: int, name: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Note a call; returns its answer."""
        answer = self._next(name) if self._answers else _TAKEN
        size = _EACH + len(body) + sum(map(len, headers)) + sum(map(len, headers.values()))
        self._calls.add(Received(at, name, headers, body, 0 if answer.drops else answer.status), size)
        return answer

    def _next(self, name: str) -> Answer:
        chosen = next((one for one in self._answers if one.name in (None, name)), None)
        if chosen is None:
            return _TAKEN
        chosen.left -= 1
        if not chosen.left:
            self._answers.remove(chosen)
        return chosen.answer

    def clear(self) -> None:
        """Forget calls and answers."""
        self._calls.clear()
        self._answers.clear()
