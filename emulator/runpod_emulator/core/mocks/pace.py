"""How fast a model answers, and what else it is told: as data, and as moments."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from runpod_emulator.core.settings import AT_ONCE, Span

LONGEST_CONTEXT = 131_072
"""Tokens of a request and its answer: what most open models of 2025 are served with."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The streaming physics of one answer. Without any, all of it is there at once."""

    ttft: Span = AT_ONCE
    """Time to the first token, from the moment on when a worker has the job."""
    tokens_per_second: float = 0.0
    """Of one answer; 0 is all at once."""
    jitter: float = 0.0
    """How much longer or shorter each wait may be than it should, from 0 to 1."""
    load_factor: float = 0.0
    """How much longer each wait is for every other request in flight: at 0.1, ten others double it."""

    @property
    def is_slow(self) -> bool:
        """Whether anything takes time."""
        return bool(self.ttft.high or self.tokens_per_second)

    def moments(self, chance: random.Random, others: Callable[[], int]) -> Iterator[float]:
        """When each token comes, in ms from the start, without an end.

        Each is counted from the one before as that should have come, so no lateness adds up. `others` tells how many
        other requests are in flight.
        """
        moment = chance.uniform(self.ttft.low, self.ttft.high) * self._stretch(chance, others())
        gap = 1_000 / self.tokens_per_second if self.tokens_per_second else 0.0
        while True:
            yield moment
            moment += gap * self._stretch(chance, others()) if gap else 0.0

    def _stretch(self, chance: random.Random, others: int) -> float:
        spread = chance.uniform(-self.jitter, self.jitter) if self.jitter else 0.0
        return (1 + spread) * (1 + self.load_factor * others)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What the model of an endpoint is told."""

    names: tuple[str, ...] = ()
    """The names that it answers to; empty for any."""
    text: Literal["lorem", "echo"] = "lorem"
    """What it says: made-up words, or the last user message."""
    pace: Pace = Pace()
    max_model_len: int = LONGEST_CONTEXT
    """Tokens of a request and its answer together."""
